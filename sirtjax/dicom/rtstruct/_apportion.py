from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Real
from scipy import ndimage

from sirtjax import ops


def apportioned(fraction: Bool[np.ndarray, "i j k"] | Real[np.ndarray, "i j k"]) -> Float64[np.ndarray, "i j k"]:
    """Returns whole voxels instead of partly filled ones, with the volume of each connected component.

    The fullest voxels of each slice are selected, so many that their number follows the sum of the fractions over the
    slices. The area of a slice is then right to one voxel, and the volume of a component to half a voxel. A threshold
    of one half would lose a tenth of a small lesion. A component of less than half a voxel keeps its fullest voxel,
    with the volume of the component.

    Args:
      fraction: (i, j, k) fraction of each voxel inside the mask, 0 to 1.

    Returns:
      (i, j, k) 1 in selected voxels, less than 1/2 in those of small components, 0 elsewhere.
    """
    held = np.asarray(fraction, np.float64)
    if ((held == 0) | (held == 1)).all():
        return held
    labels, _ = ndimage.label(held > 0, structure=np.ones((3, 3, 3)))
    result = np.zeros_like(held)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        part = np.where(labels[window] == number, held[window], 0.0)
        view = result[window]
        if part.sum() < 0.5:
            view.flat[part.argmax()] = part.sum()
        else:
            view[ops.fullest_voxels(part)] = 1
    return result
