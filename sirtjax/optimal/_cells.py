"""The voxels of a VOI as a fixed number of cells, so that every patient has arrays of one shape."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
# A sample of larger VOIs is grouped: grouping all voxels of a liver would take longer than the search.
MOST_VOXELS = 32768


def dose_cells(
    dose: Float[np.ndarray, "n injections"], weight: Float[np.ndarray, " n"], count: int, *, seed: int = 0
) -> tuple[Float[np.ndarray, "count injections"], Float[np.ndarray, " count"]]:
    """Returns cells of voxels with similar doses from every injection, and their weights.

    Voxels are halved at the median along the injection whose dose varies most, as in a k-d tree, and each cell has the
    mean dose of its voxels. At most `count` voxels are returned unchanged.

    Args:
      dose: (n, injections) dose of each voxel per unit of activity.
      weight: (n,) volume of each voxel.
      count: number of cells, a power of two.
      seed: seed of the sample of voxels of large VOIs.

    Returns:
      (count, injections) doses, and (count,) weights; cells without voxels have a weight of 0.
    """
    used = weight > 0
    dose, weight = dose[used], weight[used]
    if len(weight) > MOST_VOXELS:
        chosen = np.random.default_rng(seed).choice(len(weight), MOST_VOXELS, replace=False)
        dose, weight = dose[chosen], weight[chosen] * (weight.sum() / weight[chosen].sum())
    if len(weight) <= count:
        cells = np.zeros((count, dose.shape[1]))
        filled = np.zeros(count)
        cells[: len(weight)], filled[: len(weight)] = dose, weight
        return cells, filled
    rows, sizes = np.arange(len(weight))[None], np.asarray([len(weight)])
    while len(rows) < count:
        rows, sizes = _halved(dose, rows, sizes)
    # Voxels in the order of their cells, without the padding.
    order = rows[np.arange(rows.shape[1]) < sizes[:, None]]
    first = np.cumsum(sizes) - sizes
    filled = np.add.reduceat(weight[order], first)
    return np.add.reduceat(weight[order, None] * dose[order], first) / filled[:, None], filled


def _halved(dose: Floats, rows: Whole, sizes: Whole) -> tuple[Whole, Whole]:
    """Halves every group of voxels at its median; a row is a group, padded to the size of the largest one."""
    inside = np.arange(rows.shape[1]) < sizes[:, None]
    spans = []
    for column in dose.T:
        part = column[rows]
        spans.append(np.where(inside, part, -np.inf).max(axis=1) - np.where(inside, part, np.inf).min(axis=1))
    axis = np.argmax(spans, axis=0)
    order = np.argsort(np.where(inside, dose[rows, axis[:, None]], np.inf), axis=1)
    rows = np.take_along_axis(rows, order, axis=1)
    lower, upper = sizes // 2, sizes - sizes // 2
    taken = np.minimum(lower[:, None] + np.arange(upper.max()), rows.shape[1] - 1)
    halves = np.stack([rows[:, : upper.max()], np.take_along_axis(rows, taken, axis=1)], axis=1)
    return halves.reshape(-1, halves.shape[2]), np.stack([lower, upper], axis=1).reshape(-1)
