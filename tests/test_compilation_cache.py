"""Compiled programs that outlive their process."""

import hashlib
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import compilation_cache
from sirtjax.compilation_cache import cached_jit, set_cache_dir


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Record:
    value: object


@pytest.fixture
def folder(tmp_path: Path):
    set_cache_dir(tmp_path / "programs")
    yield tmp_path / "programs"
    set_cache_dir(None)


def counted():
    """A kept function, and how often it was traced."""
    traces = []

    def scaled_sum(pair, factor, *, power: int = 1):
        traces.append(power)
        return {"sum": jnp.sum(pair[0] * factor) ** power, "other": pair[1] + 1}

    return cached_jit(scaled_sum, static_argnames=("power",)), traces


ARGUMENTS = ((np.arange(4, dtype=np.float32), np.ones((2, 3), np.int32)), np.float32(2.0))


def stored(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_without_a_folder_it_is_jit_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, traces = counted()
    assert float(function(*ARGUMENTS)["sum"]) == 12.0
    function(*ARGUMENTS)
    assert traces == [1]
    assert not list(tmp_path.iterdir())


def test_gives_what_jit_gives(folder):
    function, _ = counted()
    plain = jax.jit(lambda pair, factor: {"sum": jnp.sum(pair[0] * factor) ** 2, "other": pair[1] + 1})
    jax.tree.map(np.testing.assert_array_equal, function(*ARGUMENTS, power=2), plain(*ARGUMENTS))


def test_a_second_start_traces_nothing(folder):
    first, traces = counted()
    first(*ARGUMENTS)
    again, later = counted()  # as a new process would: nothing in memory
    result = again(*ARGUMENTS)
    assert (traces, later) == ([1], [])
    assert float(result["sum"]) == 12.0
    np.testing.assert_array_equal(result["other"], 2)


def test_shapes_types_and_static_arguments_have_programs_of_their_own(folder):
    function, traces = counted()
    (array, other), factor = ARGUMENTS
    function((array, other), factor)
    function((array[:3], other), factor)
    function((array, other.astype(np.int16)), factor)
    function((array, other), factor, power=3)
    assert traces == [1, 1, 1, 3]
    assert len(stored(folder)) == 4
    assert float(function((array[:3], other), factor)["sum"]) == 6.0


def test_functions_of_one_name_have_programs_of_their_own(folder):
    twice = cached_jit(lambda x: 2 * x)
    thrice = cached_jit(lambda x: 3 * x)
    assert (float(twice(np.float32(1))), float(thrice(np.float32(1)))) == (2.0, 3.0)
    assert len(stored(folder)) == 2


def test_values_share_a_program(folder):
    function, traces = counted()
    for factor in (1.0, 2.0, 3.0):
        assert float(function(ARGUMENTS[0], np.float32(factor))["sum"]) == 6.0 * factor
    assert traces == [1]


def test_other_source_other_program(folder, monkeypatch):
    function, _ = counted()
    function(*ARGUMENTS)
    monkeypatch.setattr(compilation_cache, "_maker", lambda: "another version of the package")
    again, traces = counted()
    again(*ARGUMENTS)
    assert traces == [1]
    assert len(stored(folder)) == 2


def test_the_source_of_the_package_is_part_of_what_a_program_depends_on(tmp_path, monkeypatch):
    (tmp_path / "module.py").write_text("value = 1\n")
    monkeypatch.setattr(compilation_cache.resources, "files", lambda name: tmp_path)
    before = compilation_cache._maker.__wrapped__()
    (tmp_path / "module.py").write_text("value = 2\n")
    assert compilation_cache._maker.__wrapped__() != before


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_program_is_made_anew(folder, damage):
    function, _ = counted()
    function(*ARGUMENTS)
    (path,) = stored(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again, traces = counted()
    assert float(again(*ARGUMENTS)["sum"]) == 12.0
    assert traces == [1]
    later, none = counted()
    later(*ARGUMENTS)
    assert none == []


def test_a_program_that_cannot_be_loaded_is_compiled_again_and_replaced(folder):
    function, _ = counted()
    function(*ARGUMENTS)
    (path,) = stored(folder)
    for record in (b"no pickle", pickle.dumps((b"no program", None, None)), pickle.dumps(1)):
        # Undamaged by its checksum, as what another version or driver wrote.
        path.write_bytes(hashlib.sha256(record).digest() + record)
        again, traces = counted()
        assert float(again(*ARGUMENTS)["sum"]) == 12.0
        assert traces == [1]
        later, none = counted()
        assert float(later(*ARGUMENTS)["sum"]) == 12.0
        assert none == []


OTHERS = ("thesis.tex", "report-final", ".program-killed")
HASH = "-" + 32 * "0a"


def aged(folder, name, *, days, size=1000):
    stem, dash, kind = name.partition("-")
    path = folder / (name if name in OTHERS else f"{stem}{HASH}{dash}{kind}")
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def names(folder):
    return sorted(path.name.replace(HASH, "") for path in folder.iterdir())


@pytest.mark.parametrize(
    ("message", "again"), [("NOT_FOUND: Function add_fusion.3 not found", True), ("out of memory", False)]
)
def test_a_program_without_its_functions_is_compiled_again(folder, monkeypatch, message, again):
    """XLA loads such a program, and notices only when it runs."""
    counted()[0](*ARGUMENTS)

    def incomplete(*args, **kwargs):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(compilation_cache, "_read", lambda path, device: incomplete)
    function, traces = counted()
    if again:
        assert float(function(*ARGUMENTS)["sum"]) == 12.0 and traces == [1]
        assert float(function(*ARGUMENTS)["sum"]) == 12.0 and traces == [1]
    else:
        with pytest.raises(jax.errors.JaxRuntimeError, match="out of memory"):
            function(*ARGUMENTS)


def test_programs_not_used_for_a_month_go(tmp_path):
    aged(tmp_path, "old", days=31)
    aged(tmp_path, "recent", days=29)
    aged(tmp_path, "jit_f-cache", days=40)  # JAX's own, used yesterday
    aged(tmp_path, "jit_f-atime", days=1)
    aged(tmp_path, "jit_g-cache", days=40)
    (tmp_path / "folder").mkdir()
    for name in OTHERS:
        aged(tmp_path, name, days=400)
    compilation_cache.limit_folder(tmp_path)
    assert names(tmp_path) == ["folder", "jit_f-atime", "jit_f-cache", "recent", "report-final", "thesis.tex"]


def test_the_least_recently_used_go_beyond_the_size(tmp_path):
    for days in range(5):
        aged(tmp_path, f"p{days}", days=days)
    compilation_cache.limit_folder(tmp_path, max_bytes=3500)
    assert names(tmp_path) == ["p0", "p1", "p2"]


def test_use_keeps_a_program_and_a_new_one_makes_room(folder, monkeypatch):
    function, _ = counted()
    function(*ARGUMENTS)
    (path,) = stored(folder)
    aged(folder, "of older source", days=40)
    os.utime(path, (time.time() - 29 * 86400,) * 2)
    again, _ = counted()
    again(*ARGUMENTS)
    assert time.time() - path.stat().st_mtime < 3600
    again(*ARGUMENTS, power=2)
    assert len(stored(folder)) == 2 and path in stored(folder)


def test_a_folder_that_is_changed_meanwhile_or_missing_is_no_error(tmp_path, monkeypatch):
    compilation_cache.limit_folder(tmp_path / "none")
    gone = aged(tmp_path, "gone", days=40)
    aged(tmp_path, "old", days=40)
    unlink = Path.unlink

    def by_another_process_first(path, *arguments, **options):
        gone.exists() and unlink(gone)
        unlink(path, *arguments, **options)

    monkeypatch.setattr(Path, "unlink", by_another_process_first)
    compilation_cache.limit_folder(tmp_path)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    set_cache_dir(tmp_path / "file")
    try:
        function, _ = counted()
        assert float(function(*ARGUMENTS)["sum"]) == 12.0
    finally:
        set_cache_dir(None)


def test_under_a_transformation_it_is_part_of_the_outer_program(folder):
    function = cached_jit(lambda x: jnp.sin(x) * x)
    assert float(jax.grad(function)(0.5)) == pytest.approx(np.sin(0.5) + 0.5 * np.cos(0.5))
    np.testing.assert_allclose(jax.vmap(function)(np.ones(3, np.float32)), np.sin(1.0), rtol=1e-6)
    assert stored(folder) == []


def test_a_static_argument_must_be_keyword_only():
    def loose(x, power):
        return x**power

    with pytest.raises(TypeError, match="loose: the static argument 'power' must be keyword-only"):
        cached_jit(loose, static_argnames=("power",))


def test_records_and_keys_pass(folder):
    noise = cached_jit(lambda record, key: Record(record.value + jax.random.normal(key, (3,))))
    for _ in range(2):
        one = noise(Record(np.zeros(3, np.float32)), jax.random.key(7)).value
        np.testing.assert_array_equal(one, jax.random.normal(jax.random.key(7), (3,)))
    assert len(stored(folder)) == 1


def test_what_cannot_be_written_runs_all_the_same(folder):
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Local:
        value: object

    assert float(cached_jit(lambda x: Local(x + 1))(np.float32(1)).value) == 2.0
    assert stored(folder) == []


SCRIPT = """
import sys, time
from pathlib import Path
import jax, numpy as np
jax.config.update("jax_compilation_cache_dir", sys.argv[1] + "/jax")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
from sirtjax import compilation_cache, ops
compilation_cache.set_cache_dir(Path(sys.argv[1]) / "programs")
traced = []
def blurred(x, width):
    traced.append(1)
    return ops.gaussian_filter(x, width, radius=3)
image = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.dtype("f4").newbyteorder(sys.argv[2]))
result = compilation_cache.cached_jit(blurred)(image, np.float32([1.0, 0.5, 0.8]))
plain = jax.jit(lambda x, w: ops.gaussian_filter(x, w, radius=3))(image, np.float32([1.0, 0.5, 0.8]))
np.testing.assert_allclose(result, plain, rtol=1e-6, atol=1e-7)
print(len(traced))
"""


@pytest.mark.slow
def test_three_processes_trace_once(tmp_path):
    # The second reads what the first wrote; JAX's own cache beside it, which once gave programs that can't be kept.
    # The first has its image as files do, whose type is the same but spelled "<f4".
    counts = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), order], capture_output=True, text=True, check=True
        ).stdout.strip()
        for order in "<=="
    ]
    assert counts == ["1", "0", "0"]


DEVICES = """
import sys
from pathlib import Path
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sirtjax import compilation_cache
compilation_cache.set_cache_dir(Path(sys.argv[1]))
image = np.arange(4, dtype=np.float32)
def check(image, devices, programs):
    result = compilation_cache.cached_jit(lambda x: 2 * x)(image)  # as in a new process: nothing in memory
    np.testing.assert_array_equal(result, [0, 2, 4, 6])
    assert result.devices() == set(devices), result.devices()
    assert len(list(Path(sys.argv[1]).iterdir())) == programs
zero, one, two, three = jax.devices()
check(image, [zero], 1)
check(image, [zero], 1)  # JAX would load it for all four devices and refuse the arguments
check(jax.device_put(image, zero), [zero], 1)
check(jax.device_put(image, one), [one], 1)
check(jax.device_put(image, NamedSharding(Mesh([two, three], "i"), PartitionSpec("i"))), [two, three], 1)
for _ in range(2):
    with jax.default_device(two):
        check(image, [two], 2)
check(image, [zero], 2)
same = compilation_cache.cached_jit(lambda x: 3 * x)
for device in zero, one, zero:
    assert same(jax.device_put(image, device)).devices() == {device}
"""


def test_with_several_devices_programs_run_where_their_arguments_are(tmp_path):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    command = [sys.executable, "-c", DEVICES, str(tmp_path / "programs")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
