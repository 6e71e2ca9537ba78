from __future__ import annotations

from pathlib import Path
from typing import Any

from sirtjax import phantom
from sirtjax.errors import ConfigError
from sirtjax.postprocess import FillHoles, LargestComponent
from sirtjax.preprocess import FixedPreprocessing, Foreground, IntensityScale
from sirtjax.segmentation import Model, ModelSpec, Tiles
from sirtjax.train._data_config import FilesConfig, SyntheticConfig
from sirtjax.train._run_folder import best_variables, run_config
from sirtjax.train._training_file import TrainingConfig


def model_of_run(run: Path, *, name: str, licence: str = "") -> tuple[Model, dict[str, Any]]:
    """The best weights of a training run as a model that `sirtjax.segmentation` runs, and what is known of them.

    Images are prepared as in training, and divided into tiles of the size that was trained on. An organ is one piece
    without holes: of the liver the largest part is kept and filled, of lesions all.

    Args:
      run: the folder of the run.
      name: of the model.
      licence: its short name.

    Returns:
      The model, and its "step" and "dsc" of the best validation.

    Raises:
      ConfigError: the folder is no run, or a class of it has no place in a label map.
      ImageFormatError: there was no validation yet.
    """
    config = run_config(run)
    variables, about = best_variables(run)
    preprocessing, shape = _preparation(config)
    spec = ModelSpec(
        name=name,
        task=config.task,
        modalities=tuple(scale.modality for scale in preprocessing.intensities),
        labels={one.name: number for number, one in enumerate(config.classes, start=1)},
        activation="softmax" if config.network.classes == len(config.classes) + 1 else "sigmoid",
        network=config.network,
        preprocessing=preprocessing,
        tiles=Tiles(shape=shape),
        postprocess=(LargestComponent(), FillHoles()) if config.task == "liver" else (),
        source=config.source,
        licence=licence,
    )
    return Model(spec=spec, folds=(variables,)), about


def synthetic_preprocessing(synthesis: phantom.SynthesisConfig) -> FixedPreprocessing:
    """How an image becomes what random samples of digital patients are (`phantom.normalised`)."""
    top = phantom.MR_LIMIT
    # Zero signal is -1 and the percentile is 1: the limit lies so much further up.
    foreground = Foreground(percentile=phantom.MR_PERCENTILE, headroom=(top + 1.0) / 2.0)
    return FixedPreprocessing(
        axes="LPS",
        spacing_mm=(synthesis.spacing_mm,) * 3,
        intensities=(
            IntensityScale(modality="CT", window=phantom.CT_WINDOW_HU, output=(-1.0, 1.0)),
            IntensityScale(modality="MR", foreground=foreground, output=(-1.0, top)),
        ),
    )


def _preparation(config: TrainingConfig) -> tuple[FixedPreprocessing, tuple[int, int, int]]:
    match config.data:
        case SyntheticConfig() as data:
            return synthetic_preprocessing(data.synthesis), data.synthesis.shape
        case FilesConfig() as data:
            if data.mask is not None or data.median:
                what = "data.mask" if data.mask is not None else "data.median"
                raise ConfigError(f"a run with {what} can't be made a model: `sirtjax segment` does not prepare so yet")
            return data.preprocessing, data.patch_shape
