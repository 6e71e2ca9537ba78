"""The steps after which a training saves, by a clock of the test, and a training that was killed before or after."""

import math

import jax
import joint_toy
import numpy as np
import pytest
import toy

from sirtjax import train
from sirtjax.errors import ImageFormatError
from sirtjax.train._save_schedule import Schedule, saved_or_first


def schedule(times_s, **changes):
    times = iter([0.0, *times_s])
    table = {"end": 12, "validate_every": 6, "save_every": None, "log_every": None}
    return Schedule(**{**table, **changes}, clock=lambda: next(times))


def steps_of(made, action, count=12):
    return [step for step in range(1, count + 1) if getattr(made.after(step), action)]


def test_a_state_is_saved_after_the_first_minute_and_only_then():
    assert steps_of(schedule(range(20, 260, 20)), "save") == [3, 6, 12]
    assert steps_of(schedule(range(20, 260, 20)), "validate") == [6, 12]
    assert steps_of(schedule(range(20, 260, 20)), "log") == [3, 6, 12]


def test_no_other_state_is_saved_if_the_first_minute_had_one():
    assert steps_of(schedule(range(20, 260, 20), save_every=2), "save") == [2, 4, 6, 8, 10, 12]
    assert steps_of(schedule(range(9, 117, 9), validate_every=5), "save") == [5, 10, 12]


def test_a_training_without_validation_for_an_hour_saves_once():
    assert steps_of(schedule(range(300, 3900, 300), validate_every=12), "save") == [1, 12]


def test_rows_are_written_in_their_interval_and_before_each_state():
    assert steps_of(schedule([0.0] * 12, log_every=4), "log") == [4, 6, 8, 12]


def test_a_training_out_of_time_saves_and_pauses_but_not_at_its_end():
    made = schedule(range(1, 13), max_time_s=10)
    assert steps_of(made, "pause") == [11]
    made = schedule(range(1, 13), max_time_s=10, validate_every=100)
    assert steps_of(made, "save") == [11, 12]


def shared(first_s, second_s, *, first=None, second=None, **changes):
    """The schedules of two processes with clocks of their own, which take the decisions of the first one."""
    told = []

    def tell(flags):
        told.append(tuple(flags))
        return told[-1]

    table = {"end": 12, "validate_every": 100, "save_every": None, "log_every": None, **changes}
    clocks = [iter([0.0, *times]) for times in (first_s, second_s)]
    one = Schedule(**table, max_time_s=first, clock=lambda: next(clocks[0]), decide=tell)
    heard = iter(told)
    two = Schedule(**table, max_time_s=second, clock=lambda: next(clocks[1]), decide=lambda flags: next(heard))
    return one, two, told


@pytest.mark.parametrize("second", [10.0, 0.5, None])
def test_processes_that_share_a_training_pause_by_the_clock_of_the_first(second):
    one, two, _ = shared(range(1, 13), [t + 3.5 for t in range(1, 13)], first=10.0, second=second)
    dues = [[made.after(step) for step in range(1, 12)] for made in (one, two)]
    assert dues[0] == dues[1] and [step for step, due in enumerate(dues[0], start=1) if due.pause] == [11]


def test_processes_that_share_a_training_save_first_by_the_clock_of_the_first():
    one, two, told = shared(range(20, 260, 20), range(0, 240, 20), second=1.0)
    dues = [[made.after(step) for step in range(1, 13)] for made in (one, two)]
    assert dues[0] == dues[1] and [step for step, due in enumerate(dues[0], start=1) if due.save] == [3, 12]
    assert not any(due.pause for due in dues[1])
    assert len(told) == 1 + 3  # nothing is left to decide after the first saved state


def test_a_single_process_decides_without_jax(monkeypatch):
    from jax.experimental import multihost_utils

    def refuse(flags):
        raise AssertionError

    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", refuse)
    made = schedule(range(1, 13), max_time_s=10)
    assert steps_of(made, "pause") == [11]


def test_a_training_to_resume_without_a_state_is_reported(tmp_path):
    notes = []
    assert saved_or_first(tmp_path / "state.npz", {"x": 1}, resume=False, on_note=notes.append) == {"x": 1}
    assert notes == []
    assert saved_or_first(tmp_path / "state.npz", {"x": 1}, resume=True, on_note=notes.append) == {"x": 1}
    assert notes == [f"{tmp_path}: nothing was saved yet; training starts at step 1"]
    (tmp_path / "state.npz").write_bytes(b"half")
    with pytest.raises(ImageFormatError, match="is damaged"):
        saved_or_first(tmp_path / "state.npz", {"x": np.zeros(1)}, resume=True, on_note=notes.append)


class Killed(Exception):
    """The end of a process, at a step of the test."""


def killed_at(step):
    def report(text):
        if text.startswith(f"step {step} of"):
            raise Killed

    return report


def segmentation_run(folder, **options):
    return toy.run(folder, toy.recipe(epochs=1, steps_per_epoch=5, save_every_steps=None), **options).state


def registration_run(folder, **options):
    rare = {"validate_every_steps": 100, "save_every_steps": None}
    return joint_toy.run(folder, joint_toy.config(trainer=rare), **options).progress


@pytest.mark.slow
@pytest.mark.parametrize("run", [segmentation_run, registration_run])
def test_a_training_that_was_killed_early_resumes_exactly(run, tmp_path):
    whole = run(tmp_path / "whole", first_save_s=math.inf)
    for name, first_save_s in (("before", math.inf), ("after", 0.0)):
        folder, notes, begun = tmp_path / name, [], []
        with pytest.raises(Killed):
            run(folder, first_save_s=first_save_s, on_progress=killed_at(3))
        assert (folder / "state.npz").is_file() == (name == "after")
        resumed = run(folder, first_save_s=math.inf, resume=True, on_note=notes.append, on_progress=begun.append)
        first = {"before": 1, "after": 2}[name]
        assert begun[1].startswith(f"step {first} of")
        assert notes == ([f"{folder}: nothing was saved yet; training starts at step 1"] if first == 1 else [])
        jax.tree.map(np.testing.assert_array_equal, whole, resumed)
        for table in ("log.csv", "validation.csv"):
            assert (folder / table).read_text() == (tmp_path / "whole" / table).read_text()


def test_the_first_minute_is_the_default():
    from inspect import signature

    for function in (train.train, train.train_joint):
        assert signature(function).parameters["first_save_s"].default == 60.0
