from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sirtjax.errors import InputError


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Computes the Dice similarity coefficient of two masks on one grid.

    Args:
      a: (i, j, k) booleans; of an occupancy, the voxels from 0.5 on.
      b: the other mask, (i, j, k), boolean or occupancy.

    Raises:
      InputError: masks of different shapes, or both empty (the coefficient is then not defined).
    """
    one, two = voxels_inside(a), voxels_inside(b)
    if one.shape != two.shape:
        raise InputError(f"masks of shape {one.shape} and {two.shape}; expected both on one grid (resample one)")
    total = int(one.sum()) + int(two.sum())
    if total == 0:
        raise InputError("both masks are empty, so their overlap is not defined; check the labels")
    return 2 * int((one & two).sum()) / total


def voxels_inside(mask: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Returns the voxels of a mask, or those with an occupancy of at least one half."""
    array = np.asarray(mask)
    return np.asarray(array if array.dtype == bool else array >= 0.5)
