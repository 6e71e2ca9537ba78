"""Cases on the network's grid, computed once and kept as arrays that are read in parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import segmentation, spatial
from sirtjax.errors import ConfigError, ImageFormatError, OutputError
from sirtjax.io import atomic_folder, read_image, read_nifti_array
from sirtjax.ops import distance_mm
from sirtjax.preprocess import FixedPreprocessing, IntensityScale, intensity_window
from sirtjax.train._cases import Case
from sirtjax.volume import LabelMap, bounding_box

# Anything that changes what is kept changes this number.
_VERSION = 1
_FILL_HU = -1024.0


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Where to look: inside the label values, widened.

    Attributes:
      values: label values of the organ, lesions in it among them.
      margin_mm: how far beyond them.
    """

    values: tuple[int, ...]
    margin_mm: float


@dataclass(frozen=True, kw_only=True)
class PreparedCase:
    """A case on the network's grid.

    Attributes:
      case: where it is from.
      image: (i, j, k, channels) float32 in the image's own unit, read from the disk as needed.
      labels: (i, j, k) of the file's values, likewise.
      low, high: the intensities that the network's range begins and ends with, one a channel.
    """

    case: Case
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    low: tuple[float, ...]
    high: tuple[float, ...]


def prepare_cases(
    cases: Sequence[Case],
    *,
    preprocessing: FixedPreprocessing,
    mask: MaskConfig | None,
    median: bool,
    cache: Path,
    on_progress: Callable[[str], None] = lambda text: None,
) -> tuple[PreparedCase, ...]:
    """The cases on the network's grid, out of the cache where they are there.

    What is kept is found by the settings and by path, size and time of the files: a file that was changed is prepared
    anew.

    Args:
      cases: of `folder_cases` or `table_cases`.
      preprocessing: axes, spacing and intensity scales; intensities are clipped later, after they were varied.
      mask: keep the inside of an organ alone, cut to its box.
      median: a median of 3 x 3 x 3 voxels on the network's grid.
      cache: folder to keep them in.
      on_progress: told of each case that is prepared anew.

    Raises:
      ConfigError: no intensity scale for a case's modality, or labels and image on different grids.
      ImageFormatError: an image or label map that cannot be used.
    """
    prepared = []
    for number, case in enumerate(cases, start=1):
        scale = scale_of(preprocessing, case)
        folder = cache / _key(case, preprocessing, mask, median)
        if not folder.is_dir():
            on_progress(f"preparing {case.name} ({number} of {len(cases)})")
            try:
                _prepare(case, preprocessing, scale, mask, median, folder)
            except OutputError:
                # Another process may have prepared the same case meanwhile.
                if not folder.is_dir():
                    raise
        prepared.append(_read(case, folder))
    return tuple(prepared)


def scale_of(preprocessing: FixedPreprocessing, case: Case) -> IntensityScale:
    """The intensity scale of a case's modality.

    Raises:
      ConfigError: the preprocessing has none.
    """
    for scale in preprocessing.intensities:
        if scale.modality == case.modality:
            return scale
    known = ", ".join(scale.modality for scale in preprocessing.intensities)
    raise ConfigError(f"case {case.name} is {case.modality}; data.preprocessing.intensities has {known} alone")


def _key(case: Case, preprocessing: FixedPreprocessing, mask: MaskConfig | None, median: bool) -> str:
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in (*case.images, case.label)]
    setting = [_VERSION, preprocessing.model_dump(mode="json"), repr(mask), median, case.modality, files]
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:32]


def _prepare(
    case: Case,
    preprocessing: FixedPreprocessing,
    scale: IntensityScale,
    mask: MaskConfig | None,
    median: bool,
    folder: Path,
) -> None:
    volumes = [read_image(path).volume for path in case.images]
    first = volumes[0].geometry
    grid = segmentation.working_grid(first, spacing_mm=preprocessing.spacing_mm, axes=preprocessing.axes)
    values, own = read_nifti_array(case.label)
    if not own.matches(first) or any(not volume.geometry.matches(first) for volume in volumes):
        raise ConfigError(f"case {case.name}: images and labels lie on different grids; resample them onto one")
    label_values = _label_values(case, values)
    fill = _FILL_HU if case.modality == "CT" else 0.0
    channels = [segmentation.to_grid(volume, grid, fill=fill) for volume in volumes]
    names = tuple((int(value), str(value)) for value in np.unique(label_values) if value)
    labels = np.asarray(spatial.resample_labels(LabelMap(label_values, own, names=names), grid).array, np.uint8)
    if median:
        channels = [ndimage.median_filter(channel, size=3, mode="nearest") for channel in channels]
    windows = [intensity_window(np.asarray(volume.array), scale) for volume in volumes]
    image = np.stack(channels, axis=-1).astype(np.float32)
    if mask is not None:
        image, labels = _inside(case, image, labels, mask, preprocessing.spacing_mm, [low for low, _ in windows])
    with atomic_folder(folder) as temporary:
        np.save(temporary / "image.npy", image)
        np.save(temporary / "labels.npy", labels)
        (temporary / "window.json").write_text(json.dumps(windows), encoding="utf-8")


def _label_values(case: Case, values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.min() < 0 or values.max() > 255 or not np.array_equal(values, np.rint(values)):
        raise ImageFormatError(f"{case.label}: expected whole numbers from 0 to 255, one a structure")
    return np.asarray(values, np.uint8)


def _inside(
    case: Case,
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    mask: MaskConfig,
    spacing_mm: Sequence[float],
    low: Sequence[float],
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    organ = np.isin(labels, mask.values)
    if not organ.any():
        raise ConfigError(f"case {case.name}: no voxel has one of the mask's values {mask.values}; check data.mask")
    near = distance_mm(organ, spacing_mm) <= mask.margin_mm
    start, stop = bounding_box(near, margin=0)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    outside = np.asarray(low, np.float32)
    return np.where(near[..., None], image, outside)[box], labels[box]


def _read(case: Case, folder: Path) -> PreparedCase:
    windows = json.loads((folder / "window.json").read_text(encoding="utf-8"))
    return PreparedCase(
        case=case,
        image=np.load(folder / "image.npy", mmap_mode="r"),
        labels=np.load(folder / "labels.npy", mmap_mode="r"),
        low=tuple(float(low) for low, _ in windows),
        high=tuple(float(high) for _, high in windows),
    )
