"""A run of the training of a registration network: from the training file to the folder and to a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from sirtjax import io, networks
from sirtjax.errors import ConfigError
from sirtjax.registration_networks import RegistrationModel, RegistrationModelSpec
from sirtjax.train._devices import sample_mesh
from sirtjax.train._joint_loop import JointOutcome, check_batch, train_joint
from sirtjax.train._joint_loss import JointLossConfig
from sirtjax.train._joint_progress import JointProgress, first_progress, judged_variables
from sirtjax.train._joint_source import JointSource, file_pair_source, mixed_pair_source, random_pair_source
from sirtjax.train._joint_training_file import JointTrainingConfig, joint_training_from_dict
from sirtjax.train._lock import run_lock
from sirtjax.train._loop import STATE
from sirtjax.train._pair_table import read_pair_table
from sirtjax.train._pairs_config import FilePairsConfig, MixedPairsConfig, RandomPairsConfig
from sirtjax.train._run_folder import (
    CONFIG,
    REGISTRATION,
    best_file,
    check_contents,
    check_folder,
    describe_run,
    remove_unfinished,
    run_modalities,
    run_table,
)
from sirtjax.train._state_file import load_tree


def run_joint_training(
    config: JointTrainingConfig,
    run: Path,
    *,
    resume: bool = False,
    max_time_s: float | None = None,
    devices: Sequence[jax.Device] | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> JointOutcome:
    """Trains a registration network from a training file, or resumes the training, in a run folder.

    Args:
      config: result of `load_joint_training`.
      run: folder to create, or to continue in.
      resume: continue from the state in the folder; a folder without a state starts from the beginning.
      max_time_s: time in seconds after which the training pauses.
      devices: devices that share the work. Default: all devices.
      on_progress: called with progress messages.
      on_note: called with a message if `resume` finds no state, and if no validation pair has both liver masks.

    Raises:
      OutputError: the folder contains files and `resume` is false, or another training writes there.
      ConfigError: the folder is a run of another config or of other pairs of files, the network does not fit the grid,
        or data are missing.
      ModelError: the initial weights do not exist, or belong to another network.
      ComputationError: the loss is not finite.
      InputError: an image cannot be used, or a step needs more memory than is available.
    """
    mesh = sample_mesh(devices=devices)
    check_folder(run, config, resume=resume, read=joint_run_config)
    check_batch(config, mesh)
    _check_grid(config)
    with run_lock(run) if jax.process_index() == 0 else nullcontext():
        check_folder(run, config, resume=resume, read=joint_run_config)  # another training may have ended meanwhile
        if jax.process_index() == 0:
            remove_unfinished(run)
        source = make_joint_source(config, on_progress=on_progress)
        if resume and (run / STATE).is_file():
            check_contents(run, source.contents)
        return train_joint(
            config,
            source,
            run=run,
            mesh=mesh,
            resume=resume,
            max_time_s=max_time_s,
            on_begin=lambda: describe_run(run, config, modalities=source.modalities, contents=source.contents),
            on_progress=on_progress,
            on_note=on_note,
        )


def make_joint_source(
    config: JointTrainingConfig, *, on_progress: Callable[[str], None] = lambda text: None
) -> JointSource:
    """Returns the source of the training pairs.

    Raises:
      InputError: the liver shapes, the table or one of its files cannot be used, or no pair has the masks that the loss
        needs.
    """
    # The network's weights are drawn from the seed itself.
    inputs, seed = config.network.inputs, config.seed + 1

    def of_files(data: FilePairsConfig) -> JointSource:
        return file_pair_source(
            data, preprocessing=config.preprocessing, inputs=inputs, seed=seed, on_progress=on_progress
        )

    match config.data:
        case RandomPairsConfig() as data:
            return random_pair_source(data, inputs=inputs, seed=seed)
        case FilePairsConfig() as data:
            _check_masks(data, config.loss)
            return of_files(data)
        case MixedPairsConfig() as data:
            files = of_files(data.files)
            return mixed_pair_source(
                data, random=random_pair_source(data.random, inputs=inputs, seed=seed), files=files
            )


def _check_masks(data: FilePairsConfig, loss: JointLossConfig) -> None:
    """Refuses parts of the loss that would have no effect on any pair of a table."""
    pairs = read_pair_table(data.path)
    if loss.lesion_rigidity != 1.0 and all(pair.lesions is None for pair in pairs):
        raise ConfigError(
            f"{data.path}: no pair has reference_lesions, which loss.lesion_rigidity needs; add masks, or set it to 1"
        )
    if loss.segmentation and all(None in pair.livers for pair in pairs):
        raise ConfigError(
            f"{data.path}: no pair has both liver masks, which loss.segmentation needs; add masks, or set it to 0 and "
            "network.segmentation to false"
        )


def is_joint_run(run: Path) -> bool:
    """Returns whether a folder is a run of a registration network."""
    try:
        return bool(run_table(run).get("task") == REGISTRATION)
    except ConfigError:
        return False


def joint_run_config(run: Path) -> JointTrainingConfig:
    """Returns the config of a run of a registration network.

    Raises:
      ConfigError: the folder is not such a run.
    """
    table = run_table(run)
    if table.get("task") != REGISTRATION:
        raise ConfigError(f"{run}: is a run of a segmentation network; expected one of a registration network")
    return joint_training_from_dict(table, source=str(run / CONFIG))


def joint_run_progress(run: Path) -> JointProgress:
    """Returns the progress that a run has saved.

    Raises:
      ConfigError: the folder is not a run of a registration network.
      ImageFormatError: the run has not saved a state yet.
    """
    return load_tree(run / STATE, first_progress(joint_run_config(run)))[0]


def model_of_joint_run(
    run: Path, *, name: str, licence: str = "", last: bool = False
) -> tuple[RegistrationModel, dict[str, PyTree]]:
    """Exports the weights of a training run as a model for `sirtjax.registration`.

    Args:
      run: folder of the run.
      name: name of the model.
      licence: short name of the licence.
      last: take the weights of the last saved step instead of those of the best validation.

    Returns:
      The model, and the "step" of its weights, with the "dsc" of the best validation for those.

    Raises:
      ConfigError: the name is not allowed, or the folder is not a run of a registration network.
      ImageFormatError: there was no validation yet, none with a DSC, or nothing was saved.
    """
    io.check_model_name(name)
    config = joint_run_config(run)
    about: dict[str, Any]
    if last:
        state = joint_run_progress(run).state
        variables, about = judged_variables(state), {"step": int(state.step)}
    else:
        variables, about = load_tree(best_file(run), judged_variables(first_progress(config).state))
    # A network that saw only CTs refuses an MR image.
    seen, how = run_modalities(run), config.preprocessing
    kept = tuple(scale for scale in how.intensities if not seen or scale.modality in seen)
    spec = RegistrationModelSpec(
        name=name,
        network=config.network,
        preprocessing=how.model_copy(update={"intensities": kept}),
        shape=config.grid[0],
        source=config.source,
        licence=licence,
    )
    return RegistrationModel(spec=spec, variables=variables), about


def _check_grid(config: JointTrainingConfig) -> None:
    shape, block = config.grid[0], config.network.block
    if any(n % block for n in shape):
        raise ConfigError(f"a grid of {shape} voxels is not a multiple of network.block = {block}; change one of them")
    blocks = (shape[0] // block, shape[1] // block, shape[2] // block)
    networks.output_shape(config.network.network, blocks)  # refuses what does not fit
