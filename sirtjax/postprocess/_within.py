from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from sirtjax import ops
from sirtjax.errors import GeometryError
from sirtjax.volume import bounding_box

# Thesis, chapter 7: the liver mask "is slightly dilated by 6 mm to avoid excluding the voxels on the liver boundary".
LIVER_MARGIN_MM = 6.0
# Axes closer to perpendicular than by the rounding of an affine are perpendicular.
SHEARED = 1e-3


def dilate(
    mask: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    margin_mm: float,
    direction: Float[np.ndarray, "3 3"] | None = None,
) -> Bool[np.ndarray, "i j k"]:
    """Returns all voxels whose centre is within a distance of a voxel centre of the mask. On the host.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k.
      margin_mm: the distance, zero or more.
      direction: unit vectors of the axes as columns, needed on a sheared grid. Default: perpendicular axes.

    Raises:
      ValueError: the distance is negative.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import postprocess
      >>> mask = np.zeros((5, 5, 5), bool)
      >>> mask[2, 2, 2] = True
      >>> int(postprocess.dilate(mask, (3.0, 3.0, 3.0), margin_mm=3.0).sum())  # the voxel and its six faces
      7
    """
    if margin_mm < 0:
        raise ValueError(f"margin_mm must not be negative, got {margin_mm}")
    inside = np.asarray(mask, bool)
    result = np.zeros_like(inside)
    if not inside.any():
        return result
    start, stop = bounding_box(inside)
    # A true distance is the one for perpendicular axes times a factor between the square roots of these.
    cosines = np.eye(3) if direction is None else direction.T @ direction
    least, most = np.sqrt(np.linalg.eigvalsh(cosines)[[0, -1]])
    reach = [int(np.ceil(margin_mm / (s * least))) for s in spacing_mm]
    box = tuple(slice(max(0, a - r), b + r) for a, b, r in zip(start, stop, reach, strict=True))
    limit_mm = margin_mm * (1 + 1e-6)
    distance = ops.distance_mm(inside[box], spacing_mm)
    if direction is None or most - least < SHEARED:
        result[box] = distance <= limit_mm
        return result
    near = distance <= limit_mm / most
    unknown = np.argwhere(~near & (distance <= limit_mm / least))
    edge = np.argwhere(inside[box] & ~ndimage.binary_erosion(inside[box]))
    axes_mm: NDArray[np.float64] = direction * np.asarray(spacing_mm)
    found, _ = KDTree(edge @ axes_mm.T).query(unknown @ axes_mm.T, distance_upper_bound=limit_mm + 1e-6)
    near[tuple(unknown[found <= limit_mm].T)] = True
    result[box] = near
    return result


def within_liver(
    lesions: ArrayLike, liver: ArrayLike, spacing_mm: Sequence[float], *, margin_mm: float = LIVER_MARGIN_MM
) -> Bool[np.ndarray, "i j k"]:
    """Returns lesions inside the liver dilated by a margin, the input region of chapter 7's networks.

    "The manual liver segmentation is slightly dilated by 6 mm to avoid excluding the voxels on the liver boundary"
    (thesis, chapter 7, experiments).

    Args:
      lesions: (i, j, k) booleans.
      liver: (i, j, k) booleans on the same grid.
      spacing_mm: voxel size along i, j, k.
      margin_mm: largest distance of lesions beyond the liver.

    Raises:
      GeometryError: the two masks differ in shape.
    """
    found, region = np.asarray(lesions, bool), np.asarray(liver, bool)
    if found.shape != region.shape:
        raise GeometryError(
            f"lesions of {found.shape} voxels, a liver of {region.shape}: resample them to the same grid"
        )
    near: Bool[np.ndarray, "i j k"] = found & dilate(region, spacing_mm, margin_mm=margin_mm)
    return near
