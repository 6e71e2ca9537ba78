from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from sirtjax.errors import ComputationError, ConfigError
from sirtjax.train._config import Recipe
from sirtjax.train._devices import place
from sirtjax.train._event_file import new_event_file, write_scalars
from sirtjax.train._log import (
    STEP_COLUMNS,
    STEPS,
    VALIDATIONS,
    append_rows,
    begin_logs,
    check_validated,
    validation_rows,
)
from sirtjax.train._program import compiled_step
from sirtjax.train._save_schedule import FIRST_SAVE_S, Schedule, saved_or_first
from sirtjax.train._scores import Scores
from sirtjax.train._source import SampleSource
from sirtjax.train._state import TrainState, Variables, after_validation
from sirtjax.train._state_file import save_tree
from sirtjax.train._step import Forward, Metrics, Step, make_step

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

STATE, BEST = "state.npz", "best.npz"
Status = Literal["finished", "stopped early", "paused"]


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """The end of a training, or of a slice of one.

    Attributes:
      status: finished (all epochs), stopped early (no improvement, see `early_stopping`) or paused (out of time:
        continue with resume).
      state: state on the host.
      steps: number of steps of the whole training.
    """

    status: Status
    state: TrainState
    steps: int


def train(
    forward: Forward,
    source: SampleSource,
    state: TrainState,
    *,
    recipe: Recipe,
    run: Path,
    mesh: Mesh,
    about: dict[str, PyTree],
    resume: bool = False,
    max_time_s: float | None = None,
    on_begin: Callable[[], None] = lambda: None,
    on_progress: Callable[[str], None] = lambda text: None,
    on_note: Callable[[str], None] = lambda text: None,
    first_save_s: float = FIRST_SAVE_S,
) -> TrainingOutcome:
    """Trains until the recipe's end, writing state, best weights and logs into a folder.

    The samples of a step depend only on its number and the seed, and the state contains the rest, so that a training
    that was killed and resumed ends with the same weights, bit by bit, as one that was not (on the same device with
    the same program). The state is written whole and in one move.

    Args:
      forward: network in training mode.
      source: source of the samples.
      state: first state.
      recipe: loss, optimiser and course of the training.
      run: run folder; `state.npz`, `best.npz`, `log.csv` and `validation.csv` are written there by the first process.
      mesh: devices.
      about: metadata stored in both files.
      resume: continue from `state.npz` in the folder if it exists.
      max_time_s: time in seconds after which the slice ends, once the current step is complete; with several
        processes by the clock of the first one.
      on_begin: called in the first process after all checks, before anything is written.
      on_progress: called with progress messages.
      on_note: called with a message if `resume` finds no state.
      first_save_s: time in seconds after which a state is saved if there was none since the start.

    Raises:
      ComputationError: the loss or its gradients are not finite.
      InputError: a step needs more memory than is available.
      ConfigError: the number of steps in an epoch is not known, the state in the folder is of another config, or the
        run was validated on other cases.
    """
    per_epoch = _steps_per_epoch(recipe, source)
    end = recipe.trainer.epochs * per_epoch
    schedule = Schedule(
        end=end,
        validate_every=per_epoch * recipe.trainer.validate_every_epochs,
        save_every=recipe.trainer.save_every_steps,
        log_every=recipe.log.every_steps,
        max_time_s=max_time_s,
        first_save_s=first_save_s,
    )
    state = saved_or_first(run / STATE, state, resume=resume, on_note=on_note)
    writes = jax.process_index() == 0
    events: EventsWriter | None = None
    step: Step | None = None
    waiting: list[tuple[int, Metrics]] = []
    done = int(state.step)
    if done and source.validation:
        check_validated(run, source.validation, column="case", step=done)
    stale = int(state.stale)
    limit = recipe.trainer.early_stopping
    status: Status = "finished"
    state = place(state, mesh)
    while done < end:
        if limit is not None and stale >= limit:
            status = "stopped early"
            break
        feed = source.feed(done)
        if step is None:
            on_progress("compiling")
            made = make_step(forward, source.prepare, recipe=recipe, mesh=mesh, steps_per_epoch=per_epoch)
            step = compiled_step(made, state, feed, device=mesh.local_devices[0])
            if writes:
                on_begin()
                events = _begin(run, recipe, done)
        state, metrics = step(state, feed)
        done += 1
        waiting.append((done, metrics))
        if len(waiting) > 1:
            # Two steps under way keep a device busy; more would only make the clock below run ahead.
            jax.block_until_ready(waiting[-2][1])
        due = schedule.after(done)
        if due.log:
            _log(waiting, per_epoch, end, run if writes else None, events, on_progress)
            waiting = []
        if due.validate:
            on_progress(f"step {done} of {end}, validating")
            state = _validated(state, source, recipe, run if writes else None, events, about, per_epoch, on_progress)
            stale = int(state.stale)
            state = place(state, mesh)
        if due.save and writes:
            save_tree(run / STATE, state, about)
        if due.pause:
            status = "paused"
            break
    if events is not None:
        events.close()
    return TrainingOutcome(status=status, state=jax.tree.map(np.asarray, state), steps=end)


def _begin(run: Path, recipe: Recipe, step: int) -> EventsWriter | None:
    begin_logs(run, after_step=step)
    return new_event_file(run / "tensorboard", first_step=step + 1) if recipe.log.tensorboard else None


def _steps_per_epoch(recipe: Recipe, source: SampleSource) -> int:
    found = recipe.trainer.steps_per_epoch or source.steps_per_epoch
    if found is None:
        raise ConfigError("trainer.steps_per_epoch is missing; samples that are drawn have no epochs of their own")
    return found


def _log(
    waiting: list[tuple[int, Metrics]],
    per_epoch: int,
    end: int,
    run: Path | None,
    events: EventsWriter | None,
    on_progress: Callable[[str], None],
) -> None:
    rows = []
    for step, metrics in waiting:
        numbers = {name: float(metrics[name]) for name in STEP_COLUMNS if name in metrics}
        bad = [name for name, value in numbers.items() if not math.isfinite(value)]
        if bad:
            raise ComputationError(
                f"step {step}: the {bad[0].replace('_', ' ')} is not finite; lower optimiser.learning_rate or set "
                "optimiser.clip_norm, and look at the samples"
            )
        rows.append({"step": step, "epoch": 1 + (step - 1) // per_epoch, **numbers})
    if rows:
        mean = sum(row["loss"] for row in rows) / len(rows)
        on_progress(f"step {rows[-1]['step']} of {end}, loss {mean:.4f}")
    if run is not None:
        append_rows(run / STEPS, rows)
    if events is not None:
        for row in rows:
            write_scalars(
                events, int(row["step"]), {f"train/{name}": row[name] for name in row if name not in ("step", "epoch")}
            )


def _validated(
    state: TrainState,
    source: SampleSource,
    recipe: Recipe,
    run: Path | None,
    events: EventsWriter | None,
    about: dict[str, Any],
    per_epoch: int,
    on_progress: Callable[[str], None],
) -> TrainState:
    judged: Variables = state.judged()
    scores: Scores = source.validate(judged)
    step = int(state.step)
    after, best = after_validation(state, scores.mean, optimiser=recipe.optimiser)
    on_progress(f"step {step}, DSC {scores.mean:.4f}{', the best so far' if best else ''}")
    if run is not None:
        append_rows(run / VALIDATIONS, validation_rows(scores, step=step, epoch=1 + (step - 1) // per_epoch))
        if best:
            save_tree(run / BEST, judged, {**about, "step": step, "dsc": scores.mean})
    if events is not None and math.isfinite(scores.mean):
        write_scalars(events, step, {"validation/dsc": scores.mean})
    return after
