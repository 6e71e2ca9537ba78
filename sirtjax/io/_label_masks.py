"""The masks in a file whose format holds labels: NIfTI, NRRD, and NRRD with segments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ImageFormatError
from sirtjax.io._label_file import is_segmentation, label_names, read_label_array
from sirtjax.io._mask_names import choose_names, unique_names
from sirtjax.io._nrrd_segments import read_seg_nrrd
from sirtjax.volume import LabelMap

# More distinct whole numbers than any label map has: the file is an image.
_MAX_LABELS = 256


def read_label_masks(
    path: Path | str, *, names: Mapping[int, str] | None = None, only: Collection[str] | None = None
) -> dict[str, LabelMap]:
    """Reads the masks of a NIfTI or NRRD file on its own grid, one per label, or those of a .seg.nrrd.

    Whole numbers are labels; other numbers from 0 to 1 are probabilities, and the mask is where they reach 0.5.

    Args:
      path: the file.
      names: names of the label values, instead of those that `write_nifti` stored in the file. Values without a
        name are called "label 3"; the only value of a file has the name of the file.
      only: names of the masks to read; default: all.

    Returns:
      A map with the one label 1 per mask, by name.

    Raises:
      ImageFormatError: damaged, NaN, negative or too many values, or an empty mask.
      GeometryError: the axes do not span space.
      InputError: no mask has a requested name.
    """
    path = Path(path)
    if is_segmentation(path):
        return read_seg_nrrd(path, only=only)
    stated, masks = _labels_of(path, names)
    if only is None:
        return masks
    wanted = choose_names(stated, only, where=str(path))
    return {name: labels for name, labels in masks.items() if name in wanted}


def _labels_of(path: Path, names: Mapping[int, str] | None) -> tuple[list[str], dict[str, LabelMap]]:
    """The name of each label, with repeats, and the masks by their numbered names."""
    array, geometry = read_label_array(path)
    values = _label_values(path, array)
    if values is None:
        mask = array >= 0.5
        if not mask.any():
            raise ImageFormatError(f"{path}: no probability reaches 0.5, so the mask is empty; choose another")
        return [_stem(path)], {_stem(path): LabelMap.from_mask(mask, geometry, name=_stem(path))}
    missing = sorted(set(names or {}) - set(values))
    if missing:
        found = ", ".join(map(str, values))
        raise ImageFormatError(f"{path}: no voxel has the value {missing[0]}; its values are {found}")
    plain = _stem(path) if len(values) == 1 else ""
    known = label_names(path) if names is None else names
    stated = [known.get(value) or plain or f"label {value}" for value in values]
    return stated, {
        name: LabelMap.from_mask(array == value, geometry, name=name)
        for name, value in zip(unique_names(stated), values, strict=True)
    }


def _label_values(path: Path, array: NDArray[Any]) -> list[int] | None:
    """The labels in use, ascending; None if the numbers are probabilities."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageFormatError(f"{path}: has NaN or infinite voxels; a mask holds labels, or numbers from 0 to 1")
    low, high = float(array.min()), float(array.max())
    if low < 0:
        raise ImageFormatError(f"{path}: values from {low:g} to {high:g}; a mask has none below 0; choose another")
    if high == 0:
        raise ImageFormatError(f"{path}: the mask is empty (every voxel is 0); choose another file")
    if array.dtype.kind == "f" and not (array == np.rint(array)).all():
        if high > 1:
            raise ImageFormatError(
                f"{path}: values up to {high:g} that are not whole: neither labels nor probabilities from 0 to 1"
            )
        return None
    values = [int(value) for value in np.unique(array) if value != 0]
    if len(values) > _MAX_LABELS:
        raise ImageFormatError(
            f"{path}: {len(values)} different values, an image rather than a mask; choose another file"
        )
    return values


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".nii.gz", ".nii", ".nrrd"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name
