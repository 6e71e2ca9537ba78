from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def fullest_voxels(fraction: Float[np.ndarray, "i j k"]) -> Bool[np.ndarray, "i j k"]:
    """Returns a mask of the fullest voxels of each slice across k, as many as the sum of the fractions.

    What rounding leaves of a slice counts in the next one. The volume is right to half a voxel and the area of a slice
    to one voxel, where a threshold of one half makes small structures smaller. Of equally full voxels the first are
    selected.

    Args:
      fraction: (i, j, k) fraction of each voxel inside a structure, 0 to 1.

    Example:
      >>> import numpy as np
      >>> from sirtjax import ops
      >>> ops.fullest_voxels(np.array([[[0.4], [0.9], [0.4], [0.3]]]))[0, :, 0]
      array([ True,  True, False, False])
      >>> ops.fullest_voxels(np.array([[[0.1, 0.2, 0.1]]])).any()
      np.False_
    """
    chosen = np.zeros(fraction.shape, bool)
    owed = 0.0
    for k in np.flatnonzero(fraction.any(axis=(0, 1))):
        plane = fraction[:, :, k]
        inside = np.flatnonzero(plane)
        owed += float(plane.sum(dtype=np.float64))
        count = min(int(np.floor(owed + 0.5)), inside.size)
        best = inside[np.argsort(-plane.flat[inside], kind="stable")[:count]]
        chosen[:, :, k].flat[best] = True
        owed -= count
    return chosen
