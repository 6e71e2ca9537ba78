"""Cases on the network's grid, computed once and stored as arrays that are read in parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

from sirtjax import segmentation, spatial
from sirtjax.errors import ConfigError, ImageFormatError, OutputError
from sirtjax.formats import read_image
from sirtjax.io import atomic_folder, read_label_array
from sirtjax.parsing import parse_json
from sirtjax.preprocess import FixedPreprocessing, prepare_fixed
from sirtjax.train._cases import TrainingCase
from sirtjax.volume import Geometry, LabelMap

# Increase this number with every change of the cached arrays.
_VERSION = 4


@dataclass(frozen=True, kw_only=True)
class PreparedCase:
    """A case on the network's grid.

    Attributes:
      case: source of the images and labels.
      image: (i, j, k, channels) float32 in the image's own unit, read from the disk as needed.
      labels: (i, j, k) label values of the file.
      low, high: intensities at the ends of the network's range, one per channel.
      unseen: values outside the image, one per channel.
    """

    case: TrainingCase
    image: Float[np.ndarray, "i j k channels"]
    labels: Integer[np.ndarray, "i j k"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    unseen: tuple[float, ...]


def prepare_cases(
    cases: Sequence[TrainingCase],
    *,
    preprocessing: FixedPreprocessing,
    organ: Sequence[int] = (),
    cache: Path,
    on_progress: Callable[[str], None] = lambda text: None,
) -> tuple[PreparedCase, ...]:
    """Returns the cases on the network's grid, from the cache if they exist there.

    The cache is indexed by the settings and by path, size and time of the files: a changed file is prepared
    again.

    Args:
      cases: cases of `folder_cases` or `table_cases`.
      preprocessing: preprocessing as for a model of the result; intensities are clipped later, after their variation.
      organ: label values of the organ for its mask, including those of lesions in it.
      cache: folder of the prepared cases.
      on_progress: called with each case that is prepared again.

    Raises:
      ConfigError: no intensity scale for a case's modality, or labels and image on different grids.
      ImageFormatError: an image or label map that cannot be used.
    """
    prepared = []
    for number, case in enumerate(cases, start=1):
        _check_modality(preprocessing, case)
        folder = cache / _key(case, preprocessing, organ)
        if not folder.is_dir():
            on_progress(f"preparing {case.name} ({number} of {len(cases)})")
            try:
                _prepare(case, preprocessing, organ, folder)
            except OutputError:
                # Another process may have prepared the same case meanwhile.
                if not folder.is_dir():
                    raise
        prepared.append(_read(case, folder))
    return tuple(prepared)


def _check_modality(preprocessing: FixedPreprocessing, case: TrainingCase) -> None:
    if preprocessing.scale_of(case.modality) is None:
        known = ", ".join(scale.modality for scale in preprocessing.intensities)
        raise ConfigError(f"case {case.name} is {case.modality}; data.preprocessing.intensities has only {known}")


def _key(case: TrainingCase, preprocessing: FixedPreprocessing, organ: Sequence[int]) -> str:
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in (*case.images, case.label)]
    setting = [_VERSION, preprocessing.model_dump(mode="json"), list(organ), case.modality, files]
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:32]


def _prepare(case: TrainingCase, preprocessing: FixedPreprocessing, organ: Sequence[int], folder: Path) -> None:
    volumes = [read_image(path).volume for path in case.images]
    first = volumes[0].geometry
    values, own = read_label_array(case.label)
    if not own.matches(first) or any(not volume.geometry.matches(first) for volume in volumes):
        raise ConfigError(f"case {case.name}: images and labels lie on different grids; resample them onto one")
    label_values = _label_values(case, values)
    around = None if preprocessing.mask is None else _around(case, label_values, own, organ)
    ready = prepare_fixed(volumes, how=preprocessing, modality=case.modality, around=around)
    names = tuple((int(value), str(value)) for value in np.unique(label_values) if value)
    labels = spatial.resample_labels(LabelMap(label_values, own, names=names), ready.grid)
    with atomic_folder(folder) as temporary:
        np.save(temporary / "image.npy", ready.image)
        np.save(temporary / "labels.npy", np.asarray(labels.array, np.uint8)[ready.box])
        windows = list(zip(ready.low, ready.high, ready.unseen, strict=True))
        (temporary / "window.json").write_text(json.dumps(windows), encoding="utf-8")


def _label_values(case: TrainingCase, values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.min() < 0 or values.max() > 255 or not np.array_equal(values, np.rint(values)):
        raise ImageFormatError(f"{case.label}: expected whole numbers from 0 to 255, one a structure")
    return np.asarray(values, np.uint8)


def _around(
    case: TrainingCase, values: NDArray[np.uint8], own: Geometry, organ: Sequence[int]
) -> Callable[[Geometry, float], NDArray[np.bool_]]:
    inside = np.isin(values, organ)
    if not inside.any():
        raise ConfigError(f"case {case.name}: no voxel has one of the mask's values {tuple(organ)}; check data.mask")
    return partial(segmentation.around_organ, LabelMap.from_mask(inside, own, name="organ"))


def _read(case: TrainingCase, folder: Path) -> PreparedCase:
    windows: Any = parse_json((folder / "window.json").read_text(encoding="utf-8"))
    return PreparedCase(
        case=case,
        image=np.load(folder / "image.npy", mmap_mode="r"),
        labels=np.load(folder / "labels.npy", mmap_mode="r"),
        low=tuple(float(low) for low, _, _ in windows),
        high=tuple(float(high) for _, high, _ in windows),
        unseen=tuple(float(unseen) for _, _, unseen in windows),
    )
