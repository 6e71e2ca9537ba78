"""Sums over large float32 arrays that are as accurate as in double precision."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Real

# Elements that are converted to float64 at a time: two blocks fit into the cache of a processor core.
_BLOCK = 1 << 16


def weighted_sum(values: Real[np.ndarray, "..."], weight: Real[np.ndarray, "..."] | Bool[np.ndarray, "..."]) -> float:
    """Computes the sum of values times weights in float64, without a copy of the arrays in float64.

    `np.vdot` adds float32 products in float32: over a uniform region of 1.5 million voxels the sum is then 2e-4
    too low, over 29 million voxels up to 5e-3.

    Args:
      values: array of any shape, on the host.
      weight: array of the same shape; or a mask, which counts as 1 inside.

    Returns:
      The sum.

    Raises:
      ValueError: the shapes differ.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import ops
      >>> ops.weighted_sum(np.array([1.0, 2.0], np.float32), np.array([0.5, 0.25], np.float32))
      1.0
    """
    values, weight = np.asarray(values), np.asarray(weight)
    if values.shape != weight.shape:
        raise ValueError(f"values have shape {values.shape}, weight {weight.shape}; expected the same shape")
    first, second = values.ravel(), weight.ravel()
    total = 0.0
    for start in range(0, first.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        total += float(np.dot(first[block].astype(np.float64), second[block].astype(np.float64)))
    return total
