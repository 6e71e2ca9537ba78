from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from sirtjax.errors import InputError


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Computes the Dice similarity coefficient of two masks on one grid.

    Args:
      a: (i, j, k) mask, or occupancy that counts from 0.5.
      b: (i, j, k) other mask or occupancy.

    Raises:
      InputError: masks of different shapes, or both empty (the coefficient is then not defined).

    Examples:
      >>> import numpy as np
      >>> from sirtjax import metrics
      >>> a, b = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
      >>> a[:2], b[1:3] = True, True  # two boxes of 32 voxels with 16 in common
      >>> metrics.dice(a, b)
      0.5
    """
    one, two = voxels_inside(a), voxels_inside(b)
    if one.shape != two.shape:
        raise InputError(f"masks of shape {one.shape} and {two.shape}; expected both on one grid (resample one)")
    total = int(one.sum()) + int(two.sum())
    if total == 0:
        raise InputError("both masks are empty, so their overlap is not defined; check the labels")
    return 2 * int((one & two).sum()) / total


def voxels_inside(mask: ArrayLike) -> Bool[np.ndarray, "*shape"]:
    """Returns the voxels of a mask, or those with an occupancy of at least one half."""
    array = np.asarray(mask)
    return np.asarray(array if array.dtype == bool else array >= 0.5)
