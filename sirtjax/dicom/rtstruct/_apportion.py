from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Real
from numpy.typing import NDArray
from scipy import ndimage


def apportioned(fraction: Bool[np.ndarray, "i j k"] | Real[np.ndarray, "i j k"]) -> Float64[np.ndarray, "i j k"]:
    """Returns whole voxels instead of partly filled ones, with the volume of each connected component.

    From slice to slice of a part, as many voxels are taken as have been filled up to there, the fullest ones: so every
    slice keeps its area to a voxel and the part its volume to half a voxel, where a threshold at one half would lose a
    tenth of a small lesion. Of a part of less than half a voxel, its fullest voxel is taken for just its volume.

    Args:
      fraction: (i, j, k) fraction of each voxel inside the mask, 0 to 1.

    Returns:
      (i, j, k): 1 in the voxels taken, less than 1/2 in those of small parts, 0 elsewhere. Whole voxels come back.
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
            view[_fullest(part)] = 1
    return result


def _fullest(part: NDArray[np.float64]) -> NDArray[np.bool_]:
    chosen = np.zeros(part.shape, bool)
    owed = 0.0
    for k in range(part.shape[2]):
        plane = part[:, :, k]
        owed += float(plane.sum())
        count = min(int(np.floor(owed + 0.5)), int(np.count_nonzero(plane)))
        best = np.argsort(-plane, axis=None, kind="stable")[:count]
        chosen[:, :, k].flat[best] = True
        owed -= count
    return chosen
