from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.io._kind_of_file import check_file
from sirtjax.volume import Geometry

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_LOG = logging.getLogger(__name__)
# NIfTI's world is RAS, ours is LPS.
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# xyzt_units, low three bits: unknown is taken for millimetres, as every reader does.
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
# Deflate cannot do better than 1032:1, so that no honest .gz claims more.
_MAX_DEFLATION = 1032
_DISAGREE_MM = 1.0
_UNIT_NAMES = {0: "unknown (read as mm)", 1: "m", 2: "mm", 3: "µm"}
# Larger than any scanner: the header names the wrong unit.
_MAX_EXTENT_MM = 10_000.0


def load_header(path: Path) -> Nifti1Image:
    """Opens a NIfTI-1 or -2 file without reading its voxels, after checking that they fit into the file.

    Raises:
      ImageFormatError: the file does not exist, is not NIfTI, or is smaller than its header states.
    """
    import nibabel

    check_file(path, "a NIfTI image")
    try:
        start = _first_bytes(path)
        kind = nibabel.Nifti2Image if start[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nibabel.Nifti1Image
        image = kind.from_filename(str(path))
        shape = tuple(int(n) for n in image.shape)
        itemsize = int(image.header.get_data_dtype().itemsize)
        offset = int(image.dataobj.offset)
    except Exception as error:  # nibabel meets damaged bytes with almost any exception type
        raise ImageFormatError(f"{path}: not readable as NIfTI ({reason_of(error)}); export it again") from error
    if not shape or min(shape) < 1:
        raise ImageFormatError(f"{path}: the header states {shape} voxels; expected a 3D image")
    claimed = offset + itemsize * int(np.prod([float(n) for n in shape]))
    size = path.stat().st_size
    packed = start[:2] == b"\x1f\x8b" or path.name.lower().endswith(".gz")
    if offset < 0 or claimed > size * (_MAX_DEFLATION if packed else 1):
        raise ImageFormatError(
            f"{path}: the header states {'x'.join(map(str, shape))} voxels, {claimed} bytes, but the file has "
            f"{size}; it is truncated or damaged, copy it again"
        )
    return image


def header_geometry(path: Path, image: Nifti1Image) -> tuple[Geometry, tuple[str, ...]]:
    """Returns the grid in LPS mm of a 3D image, with notes about it.

    The sform counts where its code is positive, otherwise the qform; with neither code there is no place in
    the world, and the spacing is not taken for one.

    Raises:
      ImageFormatError: the header has neither sform nor qform, or more than one frame.
      GeometryError: the affine is singular or not finite, or the image is larger than any scanner.
    """
    header = image.header
    notes: list[str] = []
    try:
        sform, s_code = header.get_sform(coded=True)
        qform, q_code = header.get_qform(coded=True)
        unit = int(header["xyzt_units"]) & 7
    except Exception as error:  # a quaternion of damaged bytes, for one
        raise ImageFormatError(f"{path}: its affine is not readable ({reason_of(error)})") from error
    affine = sform if s_code > 0 else qform
    if affine is None or (s_code <= 0 and q_code <= 0):
        raise ImageFormatError(
            f"{path}: no affine (sform_code and qform_code are 0), so its place in the patient is not known; "
            "convert it again from DICOM"
        )
    if unit not in _MM_PER_UNIT:
        raise ImageFormatError(f"{path}: spatial unit code {unit}; expected m, mm or µm")
    to_mm = np.diag([*[_MM_PER_UNIT[unit]] * 3, 1.0])
    shape = three_dimensions(path, tuple(int(n) for n in image.shape))
    try:
        geometry = Geometry.from_affine(shape, LPS_FROM_RAS @ to_mm @ np.asarray(affine, np.float64))
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}; convert it again from DICOM") from error
    if max(n * mm for n, mm in zip(shape, geometry.spacing_mm, strict=True)) > _MAX_EXTENT_MM:
        sizes = "x".join(f"{mm:g}" for mm in geometry.spacing_mm)
        raise GeometryError(
            f"{path}: voxels of {sizes} mm, an image of more than {_MAX_EXTENT_MM / 1000:g} m (the header states the "
            f"unit {_UNIT_NAMES[unit]}); correct the affine or the unit in the header (xyzt_units)"
        )
    if s_code > 0 and q_code > 0:
        notes += _disagreement(path, geometry, LPS_FROM_RAS @ to_mm @ np.asarray(qform, np.float64))
    return geometry, tuple(notes)


def three_dimensions(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns three sizes, without further axes of size 1.

    Raises:
      ImageFormatError: a further axis has more than one frame.
    """
    padded = (*shape, 1, 1, 1)
    if any(n != 1 for n in shape[3:]):
        frames = int(np.prod(shape[3:]))
        raise ImageFormatError(
            f"{path}: {frames} frames of {'x'.join(map(str, shape[:3]))} voxels; expected one 3D image, "
            "extract a frame first"
        )
    return padded[0], padded[1], padded[2]


def _disagreement(path: Path, geometry: Geometry, other_affine: NDArray[np.float64]) -> list[str]:
    to_other = other_affine - geometry.affine
    corners = geometry.to_voxel(geometry.corners_mm())
    apart_mm = float(np.abs(corners @ to_other[:3, :3].T + to_other[:3, 3]).max())
    if apart_mm <= _DISAGREE_MM:
        return []
    note = f"sform and qform disagree by up to {apart_mm:.1f} mm; the sform was taken"
    _LOG.warning("%s: %s", path, note)
    return [note]


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start[:2] == b"\x1f\x8b":
        with gzip.open(path, "rb") as stream:
            return stream.read(4)
    return start


def reason_of(error: BaseException) -> str:
    """Returns the type and the first words of an error of another library, for one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
