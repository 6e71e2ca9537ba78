"""Images in NRRD files, as 3D Slicer and ITK write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real
from numpy.typing import NDArray

from sirtjax.errors import ImageFormatError
from sirtjax.io._finite import check_finite
from sirtjax.io._hash import file_sha256
from sirtjax.io._nrrd_header import NrrdHeader, has_segments, read_nrrd_header
from sirtjax.io._quiet import without_library_messages
from sirtjax.io._source import Image, Source
from sirtjax.volume import Geometry, Volume


def read_nrrd(path: Path | str, *, unit: str = "1") -> Image:
    """Reads an NRRD image as float32, its space directions converted to LPS.

    Args:
      path: a .nrrd file (raw or gzip) in space LPS, RAS or LAS with one value per voxel.
      unit: unit of the values; the file does not state it.

    Raises:
      ImageFormatError: the file is not NRRD, is truncated, states no position in the patient, has several values per
        voxel, or contains values that are NaN or infinite.
      GeometryError: the axes do not span space.
    """
    path = Path(path)
    if path.is_file() and has_segments(read_nrrd_header(path).keys):
        raise ImageFormatError(f"{path}: is a segmentation; expected an image")
    stored, geometry = read_nrrd_array(path)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(stored, np.float32)
    check_finite(array, path)
    source = Source(path=path, format="nrrd", sha256=file_sha256(path))
    return Image(volume=Volume(array, geometry, unit=unit), source=source)


def read_nrrd_array(path: Path | str) -> tuple[Real[np.ndarray, "i j k"], Geometry]:
    """Reads the voxels of an NRRD file as stored, and their grid (LPS, mm).

    Raises:
      ImageFormatError: the file is not NRRD, is truncated, states no position in the patient, or has several values
        per voxel.
      GeometryError: the axes do not span space.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected an NRRD image")
    header = read_nrrd_header(path)
    if header.layers != 1:
        raise ImageFormatError(f"{path}: {header.layers} values per voxel; expected an image with one")
    return read_layers(path, header)[0], header.geometry


def read_layers(path: Path, header: NrrdHeader) -> Real[np.ndarray, "layers i j k"]:
    """Reads the voxels of an NRRD file, (layer, i, j, k), by ITK.

    Raises:
      ImageFormatError: truncated or damaged data.
    """
    import SimpleITK as sitk

    try:
        with without_library_messages():
            stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="NrrdImageIO"))
    except (RuntimeError, MemoryError) as error:
        raise ImageFormatError(
            f"{path}: the voxel data cannot be read; the file is truncated or damaged, copy it again"
        ) from error
    shape = header.geometry.shape
    layers: NDArray[Any] = stored.reshape(*shape[::-1], header.layers).T
    return layers
