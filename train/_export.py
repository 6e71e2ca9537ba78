from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from sirtjax import io, synthesis
from sirtjax.errors import ConfigError
from sirtjax.networks import DeepMedicConfig, NetworkConfig
from sirtjax.postprocess import FillHoles, LargestComponent, PostprocessStep, RemoveSmall
from sirtjax.preprocess import FixedPreprocessing
from sirtjax.segmentation import LesionDetectability, Model, ModelSpec, Tiles
from sirtjax.train._data_config import FilesConfig, SyntheticConfig
from sirtjax.train._run_folder import best_variables, run_config, run_state
from sirtjax.train._tile_shape import tile_shape
from sirtjax.train._training_file import TrainingConfig

# A ball of 5.8 mm: smaller parts are noise more often than lesions. Chosen here, the thesis keeps all.
MIN_LESION_ML = 0.1


def model_of_runs(
    runs: Sequence[Path], *, name: str, licence: str = "", last: bool = False
) -> tuple[Model, dict[str, PyTree]]:
    """Exports the mean weights of runs that were initialised from each other as one model.

    Such runs are in one valley of the loss, with the mean at its centre (Wortsman et al., Model soups, ICML 2022,
    arXiv 2203.05482); for independently initialised runs it is useless.

    Args:
      runs: folders of runs of one network on images of one preparation.
      name: name of the model.
      licence: short name of the licence.
      last: take the weights of the last steps instead of those of the best validations.

    Returns:
      The model, with the first run's source, and the "step" of each run's weights; of a single run `model_of_run`.

    Raises:
      ConfigError: the name is not allowed, a folder is not a run, or a run of another network, other classes or another
        preparation.
      ImageFormatError: there was no validation yet, or nothing was saved.
    """
    io.check_model_name(name)
    (first, about), *others = (model_of_run(run, name=name, licence=licence, last=last) for run in runs)
    if not others:
        return first, about
    for run, (other, _) in zip(runs[1:], others, strict=True):
        if other.spec.model_copy(update={"source": first.spec.source}) != first.spec:
            raise ConfigError(
                f"{run}: makes another model than {runs[0]} does (network, classes, preparation or tiles differ); "
                "weights have a mean only between runs of one recipe"
            )
    folds = (first.folds[0], *(other.folds[0] for other, _ in others))
    variables = jax.tree.map(lambda *arrays: np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype), *folds)
    return replace(first, folds=(variables,)), {"step": [about["step"], *(known["step"] for _, known in others)]}


def model_of_run(run: Path, *, name: str, licence: str = "", last: bool = False) -> tuple[Model, dict[str, PyTree]]:
    """Exports the weights of a training run as a model for `sirtjax.segmentation`.

    Images are prepared as in training, the part that was trained on and the median filter included, and divided into
    tiles as in validation. The largest component of the liver is retained and filled; small lesions are removed.

    Args:
      run: the folder of the run.
      name: name of the model.
      licence: short name of the licence.
      last: take the weights of the last step instead of those of the best validation.

    Returns:
      The model, and the "step" of its weights, with the "dsc" of the best validation for those.

    Raises:
      ConfigError: the name is not allowed, or the folder is not a run, or one on several images of a patient together.
      ImageFormatError: there was no validation yet, or nothing was saved.
    """
    io.check_model_name(name)
    config = run_config(run)
    if last:
        state = run_state(run)
        variables, about = state.judged(), {"step": int(state.step)}
    else:
        variables, about = best_variables(run)
    preprocessing, tiles = _preparation(config)
    if config.network.channels > 1:
        raise ConfigError(
            f"{run}: its network takes {config.network.channels} images of a patient together, `sirtjax segment` one; "
            "train on one to use it there"
        )
    spec = ModelSpec(
        name=name,
        task=config.task,
        modalities=tuple(scale.modality for scale in preprocessing.intensities),
        labels={one.name: number for number, one in enumerate(config.classes, start=1)},
        activation="softmax" if config.network.classes == len(config.classes) + 1 else "sigmoid",
        network=config.network,
        preprocessing=preprocessing,
        tiles=tiles,
        mirror_axes=_flipped(config),
        postprocess=_postprocess(config),
        detectability=_detectability(config),
        source=config.source,
        licence=licence,
    )
    return Model(spec=spec, folds=(variables,)), about


def _preparation(config: TrainingConfig) -> tuple[FixedPreprocessing, Tiles]:
    match config.data:
        case SyntheticConfig() as data:
            shape = tile_shape(config.network, data.patch_shape or data.synthesis.shape)
            return synthesis.learned_preprocessing(data.synthesis), Tiles(shape=shape, overlap=_overlap(config.network))
        case FilesConfig() as data:
            shape = tile_shape(config.network, data.patch_shape)
            return data.prepared, Tiles(shape=shape, overlap=data.overlap)


def _overlap(network: NetworkConfig) -> float:
    """Returns the overlap of tiles for which a training on random phantoms has no value.

    The output of DeepMedic does not depend on the tile, so its tiles need none.
    """
    return 0.0 if isinstance(network, DeepMedicConfig) else Tiles.model_fields["overlap"].default


def _flipped(config: TrainingConfig) -> tuple[int, ...]:
    match config.data:
        case SyntheticConfig():
            return ()  # left and right of the body are distinguished
        case FilesConfig() as data:
            return tuple(axis for axis, chance in enumerate(data.augmentation.flip) if chance > 0)


def _postprocess(config: TrainingConfig) -> tuple[PostprocessStep, ...]:
    match config.task:
        case "liver":
            # Of the structures around the liver, some have two parts.
            return LargestComponent(labels=("liver",) if len(config.classes) > 1 else None), FillHoles()
        case "lesions":
            return (RemoveSmall(min_volume_ml=MIN_LESION_ML),)
        case _:
            return ()


def _detectability(config: TrainingConfig) -> LesionDetectability | None:
    """Returns the limits of lesions that only random phantoms have taught, to which noise can look like a lesion."""
    match config.task, config.data:
        case "lesions", SyntheticConfig() as data:
            return LesionDetectability(least_contrast_hu=synthesis.LARGEST_CONTRAST_HU * data.synthesis.least_contrast)
        case _:
            return None
