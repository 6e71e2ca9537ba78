"""The same training on one device, on eight, and on those of two processes."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy

from sirtjax import train
from sirtjax.errors import ConfigError

HERE = Path(__file__).parent
TRAINER = {"epochs": 1, "steps_per_epoch": 3, "batch_size": 16, "accumulation_steps": 2}

EIGHT = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
import jax, toy
from sirtjax import train
from sirtjax.train._devices import divided
assert jax.device_count() == 8
made = toy.recipe(**{trainer!r})
mesh = train.sample_mesh()
spread = jax.jit(lambda x: divided(x, mesh))(jax.numpy.zeros((8, 3)))
assert all(shard.data.shape == (1, 3) for shard in spread.addressable_shards)
outcome = toy.run(Path({folder!r}), made, mesh=mesh)
step = train.make_step(toy.forward, toy.source(made, mesh).prepare, recipe=made, mesh=mesh, steps_per_epoch=3)
text = step.lower(outcome.state, toy.BANK).compile().as_text()
assert "num_partitions=8" in text and "all-reduce" in text
"""

PROCESS = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
import jax
jax.distributed.initialize("localhost:{port}", num_processes=2, process_id=int(sys.argv[1]))
assert jax.process_count() == 2 and jax.device_count() == 4 and jax.local_device_count() == 2
import toy
from sirtjax import train
toy.run(Path({folder!r}), toy.recipe(**{trainer!r}), mesh=train.sample_mesh())
"""


# The second process has another limit instead of another clock.
PAUSED = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
import jax
number = int(sys.argv[1])
jax.distributed.initialize("localhost:{port}", num_processes=2, process_id=number)
import toy
from sirtjax import train
made = toy.recipe(epochs=1, steps_per_epoch=1_000_000, save_every_steps=None)
outcome = toy.run(Path({folder!r}), made, mesh=train.sample_mesh(), max_time_s=(2.0, 3600.0)[number])
print(outcome.status, int(outcome.state.step))
"""


def environment(devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def losses(folder):
    with (folder / "log.csv").open(newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def on_one_device(folder):
    outcome = toy.run(folder, toy.recipe(**TRAINER))
    return losses(folder), outcome.state


def two_processes(script, **options):
    """Runs a script in two processes of one training; returns what each printed."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    text = script.format(here=str(HERE), port=port, **options)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(number)],
            env=environment(2),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    return said


@pytest.mark.slow
def test_two_processes_pause_after_the_same_step(tmp_path):
    said = [one.splitlines()[-1] for one in two_processes(PAUSED, folder=str(tmp_path / "run"))]
    assert said[0] == said[1] and said[0].startswith("paused ")
    state = train.first_state(toy.variables(), optimiser=toy.recipe().optimiser, seed=3)
    saved, _ = train.load_tree(tmp_path / "run" / "state.npz", state)
    assert said[0] == f"paused {int(saved.step)}"


@pytest.mark.slow
def test_eight_devices_and_two_processes_train_as_one_device(tmp_path):
    expected, state = on_one_device(tmp_path / "one")
    assert len(expected) == 3
    script = EIGHT.format(here=str(HERE), folder=str(tmp_path / "eight"), trainer=TRAINER)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(8), timeout=600
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(tmp_path / "eight"), expected, atol=1e-5)
    two_processes(PROCESS, folder=str(tmp_path / "two"), trainer=TRAINER)
    np.testing.assert_allclose(losses(tmp_path / "two"), expected, atol=1e-5)
    for name in ("eight", "two"):
        found, _ = train.load_tree(tmp_path / name / "state.npz", state)
        for one, two in zip(found.variables["params"].values(), state.variables["params"].values(), strict=True):
            np.testing.assert_allclose(one["kernel"], two["kernel"], atol=1e-4)


def test_a_batch_that_cannot_be_shared_is_refused():
    class Mesh:
        size = 3

    from sirtjax.train._devices import check_divides

    with pytest.raises(ConfigError, match=r"4 samples at a time can't be shared evenly by 3 devices; make trainer\."):
        check_divides(4, Mesh())
