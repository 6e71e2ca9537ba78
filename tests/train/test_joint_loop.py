"""The training of a registration network: course, logs, exact resume, and failures that are named."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import joint_toy as toy
import numpy as np
import optax
import pytest

from sirtjax import networks, train
from sirtjax.errors import ComputationError, ConfigError, InputError
from sirtjax.train._joint_log import check_validation_pairs

HERE = Path(__file__).parent


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_learning_rates_are_those_of_optax():
    config = train.load_joint_training("joint-velocity")
    before = 0
    for stage in config.course.stages:
        expected = optax.warmup_cosine_decay_schedule(
            0.0, stage.learning_rate, 50, stage.steps, stage.learning_rate * 0.03
        )
        for done in (0, 1, 49, 50, 51, 700, stage.steps - 1):
            place = train.stage_place(config.course, before + done)
            found = train.stage_learning_rate(place, config=config.optimiser)
            assert place.stage is stage and place.done == done
            assert found == pytest.approx(float(expected(done)), rel=1e-4, abs=1e-9)
        before += stage.steps
    with pytest.raises(ValueError, match="step 5000 is not one of the 5000 steps"):
        train.stage_place(config.course, 5000)


def test_rounds_repeat_the_stages():
    course = train.load_joint_training("joint-regsegnet").course
    assert course.steps == 30 * 3 * 100
    places = [train.stage_place(course, step) for step in (0, 99, 100, 299, 300, 8999)]
    assert [place.cascade for place in places] == [0, 0, 1, 2, 0, 2]
    assert [place.round for place in places] == [0, 0, 0, 0, 1, 29]
    assert [place.done for place in places] == [0, 99, 0, 99, 0, 99]


def state_of(seed=0):
    """A state with other numbers in each cascade, in the output layers too."""
    made = toy.config()
    state = train.first_joint_state(made.network, train.joint_optimiser(made.optimiser, 0.0), seed=seed)
    rng = np.random.default_rng(seed)

    def filled(tree):
        return jax.tree.map(lambda x: jnp.asarray(rng.uniform(1, 2, x.shape), x.dtype), tree)

    variables = {**state.variables, "params": filled(state.variables["params"])}
    moments = jax.tree.map(lambda x: jnp.full_like(x, 3), state.optimiser)
    return state._replace(variables=variables, average=filled(state.average), optimiser=moments)


def test_a_stage_begins_with_the_weights_before_and_an_output_of_zero():
    state, made = state_of(), toy.config()
    begun = train.begin_stage(state, cascade=1, from_previous=True, config=made.optimiser)
    for before, after in ((state.variables["params"], begun.variables["params"]), (state.average, begun.average)):
        assert not any(np.any(x[1]) for x in jax.tree.leaves(after["decoder"]["heads"]))
        assert_same(networks.cascade_of(after, 0), networks.cascade_of(before, 0))
        assert_same(networks.cascade_of(after["encoder"], 1), networks.cascade_of(before["encoder"], 0))
    assert all(not np.any(x) for x in jax.tree.leaves(begun.optimiser))
    kept = made.optimiser.model_copy(update={"restart_count": False})
    begun = train.begin_stage(state, cascade=1, from_previous=False, config=kept)
    assert_same(begun.variables, state.variables)
    # The count of Adam is the only number without axes.
    assert [np.unique(x).tolist() for x in jax.tree.leaves(begun.optimiser) if x.ndim == 0] == [[3]]
    assert all(not np.any(x) for x in jax.tree.leaves(begun.optimiser) if x.ndim)
    with pytest.raises(ValueError, match="no cascade comes before"):
        train.begin_stage(state, cascade=0, from_previous=True, config=kept)


@pytest.mark.slow
def test_scores_are_those_of_numpy():
    pair = toy.pair_of(3)
    field = np.broadcast_to(np.array([8.0, 0.0, -8.0], np.float32), (*toy.SHAPE, 3))  # whole voxels
    seen = np.ones(toy.SHAPE, bool)
    seen[:, :5] = False
    pair = pair._replace(seen=jnp.asarray(seen))
    moved = np.asarray(pair.floating_liver)
    index = np.indices(toy.SHAPE) + np.array([1, 0, -1])[:, None, None, None]
    index = np.clip(index, 0, np.array(toy.SHAPE)[:, None, None, None] - 1)
    warped = (moved[tuple(index)] > 0.5) & seen
    true = (np.asarray(pair.reference_liver) > 0.5) & seen
    dsc, error = train.displacement_scores(jnp.asarray(field), pair, spacing_mm=toy.SPACING_MM)
    assert float(dsc) == pytest.approx(2 * (warped & true).sum() / (warped.sum() + true.sum()), abs=1e-6)
    missed = np.linalg.norm(field - np.asarray(pair.displacement_mm), axis=-1)[true].mean()
    assert float(error) == pytest.approx(missed, rel=1e-5)
    unknown = pair._replace(known=jnp.bool_(False), floating_liver=jnp.zeros(toy.SHAPE))
    assert np.isnan(train.displacement_scores(jnp.asarray(field), unknown, spacing_mm=toy.SPACING_MM)).all()


@pytest.mark.slow
def test_it_runs_the_course_and_writes_down_what_it_did(tmp_path):
    network = toy.table()["network"]
    network = {**network, "network": {**network["network"], "classes": 11}, "segmentation": True}
    made = toy.config(network=network, loss={"descriptors": 0.2, "segmentation": 0.5})
    outcome = toy.run(tmp_path, made)
    assert outcome.status == "finished" and outcome.steps == 6 and int(outcome.progress.state.step) == 6
    steps = rows(tmp_path / "log.csv")
    assert [row["step"] for row in steps] == list("123456")
    assert [row["cascade"] for row in steps] == ["0"] * 3 + ["1"] * 3
    for row in steps:
        assert 0 < float(row["descriptors"]) < 1
        weighted = sum(weight * float(row[name]) for name, weight in made.loss.model_dump().items() if name in row)
        assert float(row["loss"]) == pytest.approx(weighted, rel=1e-5)
    validations = rows(tmp_path / "validation.csv")
    assert [(row["step"], row["pair"]) for row in validations] == [
        (step, pair) for step in ("4", "6") for pair in ("pair 0", "pair 1")
    ]
    best, about = train.load_tree(tmp_path / "best.npz", train.first_progress(made).state.variables)
    assert about["step"] == int(outcome.progress.best_step)
    for row in [row for row in validations if row["step"] == str(about["step"])]:
        pair = toy.pair_of(1000 + int(row["pair"].removeprefix("pair ")))
        outputs = networks.cascade_outputs(made.network, best, *pair.sides(), (toy.SPACING_MM,) * 3)
        own, liver = np.asarray(outputs.liver[-1]) > 0.5, np.asarray(pair.reference_liver) > 0.5
        expected = 2 * (own & liver).sum() / (own.sum() + liver.sum())
        assert float(row["segmentation_dsc"]) == pytest.approx(expected, abs=2e-3)
    found = [float(row["dsc"]) for row in validations if row["step"] == str(about["step"])]
    assert about["dsc"] == pytest.approx(np.mean(found)) == pytest.approx(float(outcome.progress.best_dsc))
    # The cascade before is frozen, and the running mean is what is kept.
    state = outcome.progress.state
    first = train.first_progress(made).state
    trained = [np.any(x != y) for x, y in zip(*map(jax.tree.leaves, (state.variables, first.variables)), strict=True)]
    assert any(trained)
    if about["step"] == 6:
        assert_same(best["params"], state.average)


@pytest.mark.slow
def test_slices_end_where_one_run_does(tmp_path):
    made = toy.config()
    whole = toy.run(tmp_path / "whole", made)
    sliced = toy.run(tmp_path / "sliced", made, max_time_s=0.0)
    assert sliced.status == "paused" and int(sliced.progress.state.step) == 1
    for step in range(2, 6):  # each step in a slice of its own, the beginning of a stage among them
        sliced = toy.run(tmp_path / "sliced", made, resume=True, max_time_s=0.0)
        assert int(sliced.progress.state.step) == step
    sliced = toy.run(tmp_path / "sliced", made, resume=True)
    assert_same(whole.progress, sliced.progress)
    for name in ("log.csv", "validation.csv"):
        assert rows(tmp_path / "whole" / name) == rows(tmp_path / "sliced" / name)


def test_a_run_that_would_be_validated_on_other_pairs_does_not_go_on(tmp_path):
    """As after a change of the table, or of the rule by which a version divides its rows."""
    table = tmp_path / "validation.csv"
    check_validation_pairs(tmp_path, ["row 2"], step=4)  # nothing was validated yet
    table.write_text("step,cascade,pair,dsc,error_mm\n4,0,row 2,0.5,\n4,0,row 5,0.5,\n8,0,row 2,0.6,\n")
    check_validation_pairs(tmp_path, ["row 2"], step=3)
    for step in (4, 9):
        check_validation_pairs(tmp_path, ["row 5", "row 2"], step=step)
        for names, different in (
            (["row 2"], "row 5"),
            (["row 2", "row 5", "row 6"], "row 6"),
            (["row 3"], "row 2, row"),
        ):
            with pytest.raises(
                ConfigError, match=rf"validation\.csv: .* pairs than before \({different}.* another folder"
            ):
                check_validation_pairs(tmp_path, names, step=step)


@pytest.mark.slow
def test_a_run_with_other_validation_pairs_is_refused_before_anything_is_written(tmp_path):
    made = toy.config()
    toy.run(tmp_path, made)
    before = (tmp_path / "validation.csv").read_bytes()
    found = toy.source(made)
    other = replace(found, validation={"pair 7": found.validation["pair 1"]})
    with pytest.raises(
        ConfigError, match=r"other training and validation pairs than before \(pair 0, pair 1, pair 7\)"
    ):
        toy.run(tmp_path, made, pairs=other, resume=True)
    assert (tmp_path / "validation.csv").read_bytes() == before


KILLED = """
import sys, time
sys.path[:0] = [{here!r}]
from pathlib import Path
import joint_toy as toy
def slow(text):
    print(text, flush=True)
    time.sleep(0.1)
toy.run(Path({folder!r}), toy.config(course={{"rounds": 20}}), on_progress=slow)
"""


@pytest.mark.slow
def test_killed_and_resumed_ends_bit_by_bit_as_if_nothing_had_been(tmp_path):
    folder, made = tmp_path / "killed", toy.config(course={"rounds": 20})
    script = KILLED.format(here=str(HERE), folder=str(folder))
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=os.environ | {"JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, text=True
    )
    told = [process.stdout.readline() for _ in range(14)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "of 120" in told[-1] or "DSC" in told[-1]
    assert process.returncode == -signal.SIGKILL
    stopped, _ = train.load_tree(folder / "state.npz", train.first_progress(made))
    assert 0 < int(stopped.state.step) < 120
    resumed = toy.run(folder, made, resume=True)
    whole = toy.run(tmp_path / "whole", made)
    assert_same(whole.progress, resumed.progress)
    assert rows(tmp_path / "whole" / "log.csv") == rows(folder / "log.csv")
    assert rows(tmp_path / "whole" / "validation.csv") == rows(folder / "validation.csv")


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it(tmp_path):
    made = toy.config()

    def broken():
        pair = toy.pair_of(0)
        return pair._replace(displacement_mm=pair.displacement_mm.at[8, 6, 6].set(jnp.nan))

    def feed(number):
        while True:
            yield train.LaterPair(broken)

    pairs = train.JointSource(feed=feed, validation={"pair": toy.pair_of(1)})
    with pytest.raises(ComputationError, match=r"step 1: the loss is not finite; lower course.stages.learning_rate"):
        toy.run(tmp_path, made, pairs=pairs)
    assert not (tmp_path / "state.npz").exists()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    class Mesh:
        size = 3

    with pytest.raises(ConfigError, match=r"1 pairs at a time can't be shared evenly by 3 devices; make trainer\."):
        train.train_joint(toy.config(), toy.source(toy.config()), run=tmp_path, mesh=Mesh())


def test_too_little_memory_is_said_before_anything_is_written(tmp_path, monkeypatch):
    class Program:
        def memory_analysis(self):
            class Memory:
                temp_size_in_bytes, output_size_in_bytes, alias_size_in_bytes = 5 << 30, 0, 0

            return Memory

    class Step:
        def lower(self, state, feed):
            return self

        def compile(self):
            return Program()

    from sirtjax.train import _joint_loop, _program

    monkeypatch.setattr(_program, "available_bytes", lambda device: 1 << 30)
    monkeypatch.setattr(_joint_loop, "make_joint_step", lambda *arguments, **settings: Step())
    made, mesh = toy.config(), train.sample_mesh(devices=jax.devices()[:1])
    with pytest.raises(InputError, match=r"needs 5\.0 GiB of memory on cpu, 1\.0 GiB are free; use fewer features"):
        train.train_joint(made, toy.source(made), run=tmp_path, mesh=mesh)
    assert not any(tmp_path.iterdir())
