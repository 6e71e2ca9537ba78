"""Displacements in NIfTI, in the way of ITK and ANTs."""

from __future__ import annotations

import io
import logging
import zlib
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.io._nifti_header import LPS_FROM_RAS
from sirtjax.io._transform_slices import displacement_slices
from sirtjax.spatial import DisplacementField, Transform
from sirtjax.volume import Geometry

_LOG = logging.getLogger(__name__)
# NIfTI intents: a vector in the world of ITK (LPS), and a displacement in that of NIfTI (RAS).
_INTENT_VECTOR, _INTENT_DISPLACEMENT = 1007, 1006


def read_nifti_field(path: Path) -> DisplacementField:
    """Reads the displacements of a NIfTI file on their own grid.

    Raises:
      ImageFormatError: the file is not a displacement field, or is damaged.
      GeometryError: displacements that are not finite.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
        intent = int(image.header["intent_code"])
        intent_name = image.header.get_intent()[2]
        shape = tuple(int(n) for n in image.shape)
        if len(shape) != 5 or shape[3:] != (1, 3) or intent not in (_INTENT_VECTOR, _INTENT_DISPLACEMENT):
            raise ImageFormatError(
                f"{path}: shape {shape}, intent {intent}: not a displacement field as ITK and ANTs write it; "
                "expected (x, y, z, 1, 3) and intent 1007 (vector) or 1006 (displacement vector)"
            )
        if intent_name.startswith("NREG"):
            raise ImageFormatError(
                f"{path}: a NiftyReg field (positions or velocities); convert it to an ITK transform"
            )
        values = np.asarray(image.dataobj, np.float64)[:, :, :, 0, :]
        affine = LPS_FROM_RAS @ np.asarray(image.affine, np.float64)
    except (ImageFileError, OSError, ValueError, KeyError, EOFError) as error:
        if isinstance(error, ImageFormatError):
            raise
        raise ImageFormatError(f"{path}: not readable as NIfTI ({error}); save the field again") from error
    geometry = Geometry.from_affine(shape[:3], affine)
    if intent == _INTENT_DISPLACEMENT:
        values = values * np.array([-1.0, -1.0, 1.0])
    return DisplacementField(checked_field(path, values.astype(np.float32)), geometry)


def write_nifti_field(path: Path, transform: Transform, geometry: Geometry, *, step_mm: float | None) -> None:
    """Writes the full displacement of a transform on a grid, or on an orthogonal one around it.

    The displacements are written slice by slice, rounded to multiples of `step_mm` if that is given.
    """
    import nibabel

    grid = _square(geometry)
    affine = LPS_FROM_RAS @ grid.affine
    header = nibabel.Nifti1Image(np.broadcast_to(np.float32(0), (*grid.shape, 1, 3)), affine).header
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header["intent_code"] = _INTENT_VECTOR
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    header.set_data_offset(header.single_vox_offset)
    with path.open("wb") as raw:
        # Runs only: the search for longer repeats takes twice the time and finds few. The header has no name and no
        # time, so that equal fields have equal bytes.
        gzip = zlib.compressobj(1, zlib.DEFLATED, 31, 9, zlib.Z_RLE) if path.name.lower().endswith(".gz") else None
        start = io.BytesIO()
        header.write_to(start)
        slices = displacement_slices(transform, grid)
        planes = (plane if step_mm is None else np.rint(plane / step_mm) * np.float32(step_mm) for plane in slices)
        for part in chain([start.getvalue()], (np.asarray(plane, np.float32).tobytes(order="F") for plane in planes)):
            raw.write(part if gzip is None else gzip.compress(part))
        if gzip is not None:
            raw.write(gzip.flush())


def checked_field(path: Path, array: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Returns the displacements after validation.

    Raises:
      GeometryError: a displacement is not finite, or exceeds 100 m.
    """
    if not (np.abs(array) < 1e5).all():
        raise GeometryError(f"{path}: displacements that are not finite or beyond 100 m; save it again")
    return array


def _square(geometry: Geometry) -> Geometry:
    """The grid, or where it is sheared, one with square axes near its own around all of it, no coarser."""
    direction = geometry.direction
    if np.allclose(direction.T @ direction, np.eye(3), atol=1e-5):
        return geometry
    _LOG.warning("the grid is sheared, which ITK cannot read from NIfTI; the field is written on a square one")
    left, _, right = np.linalg.svd(direction)
    axes = left @ right
    layer_mm = 1 / np.linalg.norm(geometry.voxel_from_world[:3, :3], axis=1)
    corners = geometry.corners_mm() @ axes
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.ceil((high - low) / layer_mm - 1e-6).astype(int)
    origin = axes @ (low + layer_mm / 2)
    return Geometry.from_axes(shape.tolist(), spacing_mm=layer_mm, origin_mm=origin, direction=axes)
