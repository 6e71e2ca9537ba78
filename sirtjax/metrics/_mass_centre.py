from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sirtjax.errors import InputError


def centroid_distance_mm(a: ArrayLike, b: ArrayLike, spacing_mm: Sequence[float]) -> float:
    """Computes the centroid distance (MCD) of two masks on one grid, weighted by occupancy.

    Args:
      a: (i, j, k) booleans, or occupancies from 0 to 1.
      b: the other mask, (i, j, k), boolean or occupancy from 0 to 1.
      spacing_mm: voxel size along i, j, k; the axes are assumed to be perpendicular.

    Raises:
      InputError: masks of different shapes, or an empty one.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import metrics
      >>> a, b = np.zeros((5, 5, 5), bool), np.zeros((5, 5, 5), bool)
      >>> a[1, 1, 1], b[2, 1, 1] = True, True
      >>> round(metrics.centroid_distance_mm(a, b, (3.0, 1.0, 1.0)), 3)
      3.0
    """
    one, two = np.asarray(a), np.asarray(b)
    if one.shape != two.shape:
        raise InputError(f"masks of shape {one.shape} and {two.shape}; expected both on one grid (resample one)")
    apart = (mass_centre(one) - mass_centre(two)) * np.asarray(spacing_mm, np.float64)
    return float(np.linalg.norm(apart))


def mass_centre(values: ArrayLike) -> Float[np.ndarray, "3"]:
    """Computes the centroid of an occupancy or a mask in voxel indices, (3,).

    Raises:
      InputError: the mask is empty.
    """
    array = np.asarray(values)
    # In float32 the sum over a large organ would lose the digits that a centroid needs.
    planes = [array.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64) for axis in range(3)]
    total = planes[0].sum()
    if not total > 0:
        raise InputError("the mask is empty, so it has no centroid; check the label")
    return np.asarray([(plane @ np.arange(plane.size)) / total for plane in planes])
