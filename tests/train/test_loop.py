import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import toy

from sirtjax import train
from sirtjax.errors import ComputationError, ConfigError, InputError

HERE = Path(__file__).parent


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.slow
def test_it_learns_and_writes_down_what_it_did(tmp_path):
    outcome = toy.run(tmp_path, toy.recipe(epochs=10, validate_every_epochs=2))
    assert outcome.status == "finished" and outcome.steps == 40 and int(outcome.state.step) == 40
    steps = rows(tmp_path / "log.csv")
    assert [int(row["step"]) for row in steps] == list(range(1, 41))
    assert [int(row["epoch"]) for row in steps[:5]] == [1, 1, 1, 1, 2]
    losses = np.array([float(row["loss"]) for row in steps])
    assert losses[-5:].mean() < 0.7 * losses[:5].mean()
    validations = rows(tmp_path / "validation.csv")
    assert [int(row["step"]) for row in validations] == [n for n in (8, 16, 24, 32, 40) for _ in range(3)]
    dsc = {step: np.mean([float(r["dsc"]) for r in validations if int(r["step"]) == step]) for step in (8, 40)}
    assert dsc[40] > max(dsc[8], 0.6)
    best, about = train.load_tree(tmp_path / "best.npz", toy.variables())
    assert about["dsc"] == pytest.approx(float(outcome.state.best_score))
    assert about["step"] == int(outcome.state.best_step) and about["toy"] is True
    if about["step"] == 40:
        assert_same(best, outcome.state.variables)


@pytest.mark.slow
def test_slices_end_where_one_run_does(tmp_path):
    made = toy.recipe()
    whole = toy.run(tmp_path / "whole", made)
    sliced = toy.run(tmp_path / "sliced", made, max_time_s=0.0)
    assert sliced.status == "paused" and int(sliced.state.step) == 1
    sliced = toy.run(tmp_path / "sliced", made, resume=True)
    assert_same(whole.state, sliced.state)
    for name in ("log.csv", "validation.csv"):
        assert rows(tmp_path / "whole" / name) == rows(tmp_path / "sliced" / name)


KILLED = """
import sys, time
sys.path[:0] = [{here!r}]
from dataclasses import replace
from pathlib import Path
import toy
def slow(text):
    print(text, flush=True)
    time.sleep(0.2)
toy.run(Path({folder!r}), toy.recipe(epochs=30), on_progress=slow)
"""


@pytest.mark.slow
def test_killed_and_resumed_ends_bit_by_bit_as_if_nothing_had_been(tmp_path):
    folder, made = tmp_path / "killed", toy.recipe(epochs=30)
    script = KILLED.format(here=str(HERE), folder=str(folder))
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    told = [process.stdout.readline() for _ in range(9)]
    time.sleep(0.07)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "of 120" in told[-1] and process.returncode == -signal.SIGKILL
    stopped, _ = train.load_tree(folder / "state.npz", template(made))
    assert 0 < int(stopped.step) < 120
    resumed = toy.run(folder, made, resume=True)
    whole = toy.run(tmp_path / "whole", made)
    assert_same(whole.state, resumed.state)
    assert rows(tmp_path / "whole" / "log.csv") == rows(folder / "log.csv")
    assert rows(tmp_path / "whole" / "validation.csv") == rows(folder / "validation.csv")


def template(made):
    return train.first_state(toy.variables(), optimiser=made.optimiser, seed=made.seed)


@pytest.mark.slow
def test_it_ends_early_where_nothing_gets_better(tmp_path):
    made = toy.recipe(epochs=50, early_stopping=2)
    stuck = made.model_copy(update={"optimiser": made.optimiser.model_copy(update={"learning_rate": 1e-12})})
    outcome = toy.run(tmp_path, stuck)
    assert outcome.status == "stopped early" and int(outcome.state.step) == 12
    assert toy.run(tmp_path, stuck, resume=True).status == "stopped early"


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it(tmp_path, monkeypatch):
    sample = toy.sample
    monkeypatch.setattr(
        toy, "sample", lambda key, bank: (np.float32(np.nan) * sample(key, bank)[0], sample(key, bank)[1])
    )
    with pytest.raises(ComputationError, match=r"step 1: the loss is not finite; lower optimiser.learning_rate"):
        toy.run(tmp_path, toy.recipe())
    assert not (tmp_path / "state.npz").exists()


@pytest.mark.slow
def test_too_little_memory_is_said_before_anything_is_written(tmp_path, monkeypatch):
    from sirtjax.train import _program

    monkeypatch.setattr(_program, "available_bytes", lambda device: 1000)
    with pytest.raises(
        InputError, match=r"a training step needs 0\.0 GiB of memory on cpu, .* raise trainer\.accumulation_steps"
    ):
        toy.run(tmp_path / "run", toy.recipe())
    assert not any((tmp_path / "run").iterdir())


def test_drawn_samples_have_no_epochs_of_their_own(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer.steps_per_epoch is missing"):
        toy.run(tmp_path, toy.recipe(steps_per_epoch=None))


def test_without_validation_samples_no_weights_are_the_best():
    mesh = train.sample_mesh(devices=jax.devices()[:1])
    with pytest.raises(ConfigError, match="0 validation samples; at least 1"):
        train.sample_source(
            toy.sample, toy.BANK, predict=toy.apply, recipe=toy.recipe(), mesh=mesh,
            validation_bank=toy.BANK, validation_count=0,
        )  # fmt: skip


def test_a_run_with_other_validation_cases_is_refused_before_anything_is_written(tmp_path):
    """As after a further case in the table, which can move a validation case to the training."""
    made = toy.recipe()
    mesh = train.sample_mesh(devices=jax.devices()[:1])
    found = replace(toy.source(made, mesh), validation=("a", "b", "=c"))
    (tmp_path / "validation.csv").write_text("step,epoch,case,label,dsc\n4,1,a,ball,0.5\n4,1,b,ball,\n4,1,'=c,ball,1\n")
    state = replace(train.first_state(toy.variables(), optimiser=made.optimiser, seed=made.seed), step=np.int32(4))
    train.save_tree(tmp_path / "state.npz", state, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = replace(found, validation=("a", "=c", "d"))
    with pytest.raises(ConfigError, match=r"other training and validation cases than before \(b, d\).*another folder"):
        train.train(
            toy.forward, other, state, recipe=made, run=tmp_path, mesh=mesh, about={}, resume=True, max_time_s=0.0
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    train.train(toy.forward, found, state, recipe=made, run=tmp_path, mesh=mesh, about={}, resume=True, max_time_s=0.0)
