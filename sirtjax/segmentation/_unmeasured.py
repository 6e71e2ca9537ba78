from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops
from sirtjax.segmentation._input import PADDING_HU
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop_geometry

Mask = NDArray[np.bool_]
# Areas are measured on voxels of up to this size, which takes a fraction of the time.
SAMPLE_MM = 2.0
# A network stops a voxel before the edge of the field of view. Between a liver and the skin there are more than 8 mm.
NEAR_MM = 5.0


def unmeasured_contact_cm2(labels: LabelMap, name: str, volume: Volume) -> float:
    """Returns the surface area of a structure at the edge of the field of view inside an image.

    Scanners fill the corners of a slice outside a circular field of view, and programs that rotate an image fill its
    corners, with a constant value. It is the lowest value of the image, or below -1100 HU, and reaches a corner of the
    image. A structure without distance to such voxels was not imaged completely.

    Args:
      labels: label map on the grid of the image.
      name: structure.
      volume: the image.
    """
    steps = [max(1, int(SAMPLE_MM / size_mm)) for size_mm in volume.geometry.spacing_mm]
    every = tuple(slice(None, None, step) for step in steps)
    mask, values = labels.mask(name)[every], np.asarray(volume.array)[every]
    grid = Geometry.from_affine(mask.shape, volume.geometry.affine @ np.diag([*steps, 1.0]))
    filled = at_corners(unmeasured_voxels(Volume(values, grid, unit=volume.unit)))
    if not (mask.any() and filled.any()):
        return 0.0
    margin = 1 + math.ceil(NEAR_MM / min(grid.spacing_mm))
    start, stop = bounding_box(mask, margin=margin)
    i, j, k = (slice(a, b) for a, b in zip(start, stop, strict=True))
    grid, mask, filled = crop_geometry(grid, start, stop), mask[i, j, k], filled[i, j, k]
    if not filled.any():
        return 0.0
    near = ops.distance_mm(filled, grid.spacing_mm) <= NEAR_MM
    return common_area_cm2(mask & ~near, near, grid)


def face_areas_cm2(geometry: Geometry) -> tuple[float, float, float]:
    """Returns the area of a voxel's faces across i, j and k, also on a sheared grid."""
    across = np.linalg.norm(geometry.voxel_from_world[:3, :3], axis=1)
    i, j, k = (10 * geometry.voxel_volume_ml * across).tolist()
    return i, j, k


def unmeasured_voxels(volume: Volume) -> Bool[np.ndarray, "i j k"]:
    """Returns the voxels with the value of padding.

    `at_corners` excludes constant air inside the image.

    Args:
      volume: the image.
    """
    values = np.asarray(volume.array)
    filled: Mask = values == values.min()
    return filled | (values < PADDING_HU) if volume.unit == "HU" else filled


def at_corners(filled: Bool[np.ndarray, "i j k"]) -> Bool[np.ndarray, "i j k"]:
    """Returns the components that contain a corner of the image; gas in the bowel does not.

    Args:
      filled: (i, j, k) booleans.
    """
    corners = np.ix_(*((0, -1),) * 3)
    if not filled[corners].any():
        return np.zeros_like(filled)
    numbers, _ = ndimage.label(filled)
    return np.isin(numbers, np.setdiff1d(numbers[corners], 0))


def common_area_cm2(one: Bool[np.ndarray, "i j k"], other: Bool[np.ndarray, "i j k"], geometry: Geometry) -> float:
    """Returns the area of the faces between voxels of two masks.

    Args:
      one: mask.
      other: mask without common voxels.
      geometry: grid of both.
    """
    total = 0.0
    for axis, area_cm2 in enumerate(face_areas_cm2(geometry)):
        a, b = np.moveaxis(one, axis, 0), np.moveaxis(other, axis, 0)
        total += area_cm2 * int((a[1:] & b[:-1]).sum() + (a[:-1] & b[1:]).sum())
    return total
