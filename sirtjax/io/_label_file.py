"""Files whose voxels are the labels themselves: NIfTI, and NRRD without segments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Real

from sirtjax.io._nifti import is_nifti, read_nifti_array, stored_label_names, write_nifti
from sirtjax.io._nrrd import read_nrrd_array
from sirtjax.io._nrrd_header import has_segments, is_nrrd, read_nrrd_header
from sirtjax.io._nrrd_write import is_seg_nrrd, write_seg_nrrd
from sirtjax.volume import Geometry, LabelMap


def is_label_file(path: Path) -> bool:
    """Returns whether a file is NIfTI by its name, or an NRRD file without segments.

    Raises:
      ImageFormatError: a damaged NRRD header.
    """
    return path.is_file() and (is_nifti(path) or (is_nrrd(path) and not is_segmentation(path)))


def is_segmentation(path: Path) -> bool:
    """Returns whether a file is an NRRD file whose header describes segments.

    Raises:
      ImageFormatError: a damaged NRRD header.
    """
    return is_nrrd(path) and (is_seg_nrrd(path) or has_segments(read_nrrd_header(path).keys))


def read_label_array(path: Path | str) -> tuple[Real[np.ndarray, "i j k"], Geometry]:
    """Reads the voxels of a NIfTI or NRRD label file as stored, and their grid (LPS, mm).

    Raises:
      ImageFormatError: the file has neither format, is truncated, or states no position in the patient.
      GeometryError: the axes do not span space.
    """
    path = Path(path)
    return read_nrrd_array(path) if is_nrrd(path) else read_nifti_array(path)


def label_names(path: Path) -> Mapping[int, str]:
    """Returns the names that `write_nifti` stored by label value; empty for other files."""
    return stored_label_names(path) if is_nifti(path) else {}


def write_labels(path: Path | str, labels: LabelMap, *, force: bool = False) -> None:
    """Writes a label map as NIfTI, or as a 3D Slicer segmentation (.seg.nrrd); atomically.

    Raises:
      OutputError: the name ends in neither .nii, .nii.gz nor .seg.nrrd, or the file exists and `force` is not given.
    """
    path = Path(path)
    if is_seg_nrrd(path):
        write_seg_nrrd(path, labels, force=force)
    else:
        write_nifti(path, labels, force=force)
