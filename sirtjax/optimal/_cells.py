"""The voxels of a VOI as a fixed number of cells, so that every patient has arrays of one shape."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

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
    groups = [np.arange(len(weight))]
    while len(groups) < count:
        halved = []
        for group in groups:
            part = dose[group]
            axis = int(np.argmax(part.max(axis=0) - part.min(axis=0)))
            order = np.argpartition(part[:, axis], len(group) // 2)
            halved += [group[order[: len(group) // 2]], group[order[len(group) // 2 :]]]
        groups = halved
    cells = np.asarray([weight[group] @ dose[group] / weight[group].sum() for group in groups])
    return cells, np.asarray([weight[group].sum() for group in groups])
