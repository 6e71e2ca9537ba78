from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from sirtjax import networks
from sirtjax.train._config import plain
from sirtjax.train._data_config import FilesConfig, SyntheticConfig
from sirtjax.train._devices import sample_mesh
from sirtjax.train._file_source import file_source
from sirtjax.train._initial import initial_variables
from sirtjax.train._lock import run_lock
from sirtjax.train._loop import STATE, TrainingOutcome, train
from sirtjax.train._run_folder import check_folder, describe_run, remove_unfinished
from sirtjax.train._source import SampleSource
from sirtjax.train._state import Variables, first_state
from sirtjax.train._synthetic import synthetic_source
from sirtjax.train._training_file import TrainingConfig
from sirtjax.typing import Array


def run_training(
    config: TrainingConfig,
    run: Path,
    *,
    resume: bool = False,
    max_time_s: float | None = None,
    devices: Sequence[jax.Device] | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> TrainingOutcome:
    """Trains from a training file, or resumes the training, in a run folder.

    Args:
      config: result of `load_training`.
      run: folder to create, or to continue in.
      resume: continue from the state in the folder; a folder without a state starts from the beginning.
      max_time_s: time in seconds after which the training pauses.
      devices: devices that share the work. Default: all devices.
      on_progress: called with progress messages.
      on_note: called with a message if `resume` finds no state.

    Raises:
      OutputError: the folder contains files and `resume` is false, or another training writes there.
      ConfigError: the folder is a run of another config, or the network does not fit the classes or samples.
      ModelError: the initial weights do not exist, or belong to another network.
      ComputationError: the loss is not finite.
      InputError: a step needs more memory than is available.
    """
    mesh = sample_mesh(devices=devices)
    check_folder(run, config, resume=resume)
    with run_lock(run) if jax.process_index() == 0 else nullcontext():
        check_folder(run, config, resume=resume)  # another training may have ended there meanwhile
        if jax.process_index() == 0:
            remove_unfinished(run)
        source = make_source(config, mesh, on_progress=on_progress)
        goes_on = resume and (run / STATE).is_file()
        variables = initial_variables(config.model_copy(update={"weights": None}) if goes_on else config)

        def forward(variables: Variables, images: jax.Array, key: jax.Array) -> tuple[tuple[Array, ...], Any]:
            return networks.apply_training(config.network, variables, images, key=key)

        return train(
            forward,
            source,
            first_state(variables, optimiser=config.optimiser, seed=config.seed),
            recipe=config.recipe(),
            run=run,
            mesh=mesh,
            about=plain(config),
            resume=resume,
            max_time_s=max_time_s,
            on_begin=lambda: describe_run(run, config),
            on_progress=on_progress,
            on_note=on_note,
        )


def make_source(
    config: TrainingConfig, mesh: Mesh, *, on_progress: Callable[[str], None] = lambda text: None
) -> SampleSource:
    """Returns the source of the training samples."""
    match config.data:
        case SyntheticConfig():
            return synthetic_source(config, config.data, channels=config.network.classes, mesh=mesh)
        case FilesConfig():
            return file_source(config, config.data, mesh=mesh, on_progress=on_progress)
