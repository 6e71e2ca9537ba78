"""The training loop of a registration network, which ends with the same weights if it is interrupted and resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sirtjax.errors import ConfigError
from sirtjax.train._config import plain
from sirtjax.train._devices import AXIS, place, replicated
from sirtjax.train._joint_batch import make_joint_step
from sirtjax.train._joint_config import JointOptimiserConfig
from sirtjax.train._joint_course import StagePlace, begin_stage, stage_learning_rate, stage_place
from sirtjax.train._joint_initial import initial_progress
from sirtjax.train._joint_log import JointLog, check_validation_pairs
from sirtjax.train._joint_loss import JointPair
from sirtjax.train._joint_progress import JointProgress, first_progress, judged_variables
from sirtjax.train._joint_scores import JointScores, make_joint_scores
from sirtjax.train._joint_source import JointSource, LaterPair
from sirtjax.train._joint_step import JointState
from sirtjax.train._joint_training_file import JointTrainingConfig
from sirtjax.train._loop import STATE, Status
from sirtjax.train._program import compiled_step
from sirtjax.train._save_schedule import FIRST_SAVE_S, Schedule, saved_or_first
from sirtjax.train._state import Variables
from sirtjax.train._state_file import save_tree


@dataclass(frozen=True, kw_only=True)
class JointOutcome:
    """The end of a training of a registration network, or of a slice of one.

    Attributes:
      status: finished (all stages) or paused (out of time: continue with resume).
      progress: state on the host, and the best validation.
      steps: number of steps of the whole training.
    """

    status: Status
    progress: JointProgress
    steps: int


def train_joint(
    config: JointTrainingConfig,
    source: JointSource,
    *,
    run: Path,
    mesh: Mesh,
    resume: bool = False,
    max_time_s: float | None = None,
    on_begin: Callable[[], None] = lambda: None,
    on_progress: Callable[[str], None] = lambda text: None,
    on_note: Callable[[str], None] = lambda text: None,
    first_save_s: float = FIRST_SAVE_S,
) -> JointOutcome:
    """Trains until the end of the course, writing state, best weights and logs into a folder.

    The pairs of a step depend only on its number and the seed, and the state contains the rest, so that a training
    that was killed and resumed ends with the same weights, bit by bit, as one that was not (on the same device with
    the same program). The state is written whole and in one move.

    Args:
      config: training file.
      source: source of the pairs.
      run: run folder; `state.npz`, `best.npz`, `log.csv` and `validation.csv` are written there by the first process.
      mesh: devices.
      resume: continue from `state.npz` in the folder if it exists.
      max_time_s: time in seconds after which the slice ends, once the current step is complete; with several
        processes by the clock of the first one.
      on_begin: called in the first process after all checks, before anything is written.
      on_progress: called with progress messages.
      on_note: called with a message if `resume` finds no state, and if no validation pair has both liver masks.
      first_save_s: time in seconds after which a state is saved if there was none since the start.

    Raises:
      ComputationError: the loss or its gradients are not finite.
      InputError: a step needs more memory than is available.
      ConfigError: the devices cannot divide the batch, the state in the folder is of another config, or the run was
        validated on other pairs.
      ModelError: the initial weights do not exist, or belong to another network.
    """
    check_batch(config, mesh)
    schedule = Schedule(
        end=config.course.steps,
        validate_every=config.trainer.validate_every_steps,
        save_every=config.trainer.save_every_steps,
        log_every=config.log.every_steps,
        max_time_s=max_time_s,
        first_save_s=first_save_s,
    )
    goes_on = resume and (run / STATE).is_file()
    first = first_progress(config) if goes_on else initial_progress(config)
    progress = saved_or_first(run / STATE, first, resume=resume, on_note=on_note)
    state, done, end = place(progress.state, mesh), int(progress.state.step), config.course.steps
    if goes_on:
        check_validation_pairs(run, source.validation, step=done)
    if not any(np.any(pair.reference_liver) and np.any(pair.floating_liver) for pair in source.validation.values()):
        on_note("no validation pair has both liver masks, so no weights are the best; export with --last")
    log = JointLog(run if jax.process_index() == 0 else None, config, end, on_progress)
    pairs = source.feed(done * config.trainer.batch_size)
    steps: dict[bool, Any] = {}
    score = make_joint_scores(config.network, spacing_mm=config.grid[1])
    while done < end:
        at = stage_place(config.course, done)
        # The first stage needs no new moments, but it can begin with the weights of the cascade before.
        if at.done == 0 and (done or at.from_previous):
            state = _beginning(at.cascade, at.from_previous, config.optimiser, mesh)(state)
        feed = (_batch(pairs, config.trainer.batch_size, mesh), *_setting(at, config, mesh))
        together = at.cascade is None
        if together not in steps:
            on_progress("compiling")
            steps[together] = _compiled(state, feed, config, mesh)
            if len(steps) == 1:
                log.begin(done, on_begin)
        state, metrics = steps[together](state, feed)
        done += 1
        log.add(done, at, metrics, stage_learning_rate(at, config=config.optimiser))
        due = schedule.after(done)
        if due.log:
            log.write()
        if due.validate:
            on_progress(f"step {done} of {end}, validating")
            found = _scores(judged_variables(state), source, score)
            progress = log.validated(progress._replace(state=state), found, done, at)
        if due.save and log.run is not None:
            save_tree(log.run / STATE, progress._replace(state=state), plain(config))
        if due.pause:
            break
    log.close()
    host = jax.tree.map(np.asarray, progress._replace(state=state))
    return JointOutcome(status="finished" if done == end else "paused", progress=host, steps=end)


@lru_cache(maxsize=32)
def _beginning(cascade: int | None, from_previous: bool, config: JointOptimiserConfig, mesh: Mesh) -> Any:
    """A compiled function that returns the state at the beginning of a stage."""

    def begin(state: JointState) -> JointState:
        return begin_stage(state, cascade=cascade, from_previous=from_previous, config=config)

    return jax.jit(begin, out_shardings=replicated(mesh))


def _setting(at: StagePlace, config: JointTrainingConfig, mesh: Mesh) -> tuple[Any, Any]:
    """The cascade and the learning rate of a step on the devices."""
    cascade = None if at.cascade is None else np.int32(at.cascade)
    placed: tuple[Any, Any] = place((cascade, np.float32(stage_learning_rate(at, config=config.optimiser))), mesh)
    return placed


def _compiled(state: JointState, feed: Any, config: JointTrainingConfig, mesh: Mesh) -> Any:
    step = make_joint_step(
        config.network, loss=config.loss, optimiser=config.optimiser, spacing_mm=config.grid[1], mesh=mesh
    )
    remedy = "use fewer features, or fewer voxels"
    return compiled_step(step, state, feed, device=mesh.local_devices[0], remedy=remedy)


def _batch(pairs: Iterator[LaterPair], size: int, mesh: Mesh) -> JointPair:
    """The next pairs on the devices, along a new first axis; each process draws its own part of them."""
    taken = list(islice(pairs, size))
    part = size // jax.process_count()
    first = part * jax.process_index()
    own = [later.pair for later in taken[first : first + part]]
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    if jax.process_count() == 1:
        # Stays on the device: a copy through the host would cost more time than the step.
        stacked: JointPair = jax.device_put(_stacked(*own), sharding)
        return stacked
    host = [jax.tree.map(np.asarray, pair) for pair in own]
    shared: JointPair = jax.tree.map(
        lambda *leaves: jax.make_array_from_process_local_data(sharding, np.stack(leaves)), *host
    )
    return shared


@jax.jit
def _stacked(*pairs: JointPair) -> JointPair:
    stacked: JointPair = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pairs)
    return stacked


def _scores(variables: Variables, source: JointSource, score: Any) -> JointScores:
    # Every process judges all pairs on its own device, with the same result.
    held = jax.device_put(jax.tree.map(np.asarray, variables), jax.local_devices()[0])
    found = np.array([score(held, pair) for pair in source.validation.values()], np.float64)
    return JointScores(
        names=tuple(source.validation), dsc=found[:, 0], error_mm=found[:, 1], segmentation_dsc=found[:, 2]
    )


def check_batch(config: JointTrainingConfig, mesh: Mesh) -> None:
    """Checks that the devices can divide the batch evenly.

    Raises:
      ConfigError: the batch is not a multiple of the number of devices.
    """
    if config.trainer.batch_size % mesh.size:
        raise ConfigError(
            f"{config.trainer.batch_size} pairs at a time can't be shared evenly by {mesh.size} devices; make "
            f"trainer.batch_size a multiple of {mesh.size}, or show JAX fewer devices, for example with "
            "CUDA_VISIBLE_DEVICES=0"
        )
