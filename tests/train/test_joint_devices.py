"""The training of a registration network on one device, on four, and on those of two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import joint_toy as toy
import numpy as np
import pytest

from sirtjax import train

HERE = Path(__file__).parent
TRAINER = {"batch_size": 4, "validate_every_steps": 6}

FOUR = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
import jax
import joint_toy as toy
from sirtjax import train
assert jax.device_count() == 4
toy.run(Path({folder!r}), toy.config(trainer={trainer!r}), mesh=train.sample_mesh())
(program,) = toy.COMPILED.values()
assert "num_partitions=4" in program.as_text() and "all-reduce" in program.as_text()
"""

PROCESS = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
import jax
jax.distributed.initialize("localhost:{port}", num_processes=2, process_id=int(sys.argv[1]))
assert jax.process_count() == 2 and jax.device_count() == 2 and jax.local_device_count() == 1
import joint_toy as toy
from sirtjax import train
drawn = []
pair_of = toy.pair_of
toy.pair_of = lambda seed: drawn.append(seed) or pair_of(seed)
toy.run(Path({folder!r}), toy.config(trainer={trainer!r}), mesh=train.sample_mesh())
# Two validation pairs, and those of its half of 24 places, most of which use a pair again.
assert len(drawn) - 2 < 12, drawn
"""


def environment(devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def assert_trained_alike(folder, made, expected):
    found, _ = train.load_tree(folder / "state.npz", train.first_progress(made))
    assert int(found.state.step) == int(expected.state.step)
    for one, two in zip(*(jax.tree.leaves(each.state.variables) for each in (found, expected)), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-4)


@pytest.mark.slow
def test_four_devices_and_two_processes_train_as_one_device(tmp_path):
    made = toy.config(trainer=TRAINER)
    expected = toy.run(tmp_path / "one", made).progress
    script = FOUR.format(here=str(HERE), folder=str(tmp_path / "four"), trainer=TRAINER)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(4), timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert_trained_alike(tmp_path / "four", made, expected)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script = PROCESS.format(here=str(HERE), folder=str(tmp_path / "two"), trainer=TRAINER, port=port)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(number)],
            env=environment(1),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    said = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert_trained_alike(tmp_path / "two", made, expected)
    # Another batch does not pass.
    other = train.load_tree(tmp_path / "one" / "state.npz", train.first_progress(made))[0]
    single = toy.run(tmp_path / "single", toy.config()).progress
    differences = [
        np.abs(np.asarray(one) - np.asarray(two)).max()
        for one, two in zip(*(jax.tree.leaves(each.state.variables) for each in (other, single)), strict=True)
    ]
    assert max(differences) > 2e-3
