"""The counts of whole lungs, of which the activity image shows a part."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

# Lung nearer to the liver contains blurred counts of the liver.
FAR_MM = 20.0
# With less lung than this fraction farther away, the mean of all lung has to do.
LEAST_FAR = 0.05


def whole_lung_counts(
    counts: Float32[np.ndarray, "i j k"],
    lungs: Float32[np.ndarray, "i j k"],
    liver: Float32[np.ndarray, "i j k"],
    spacing_mm: tuple[float, float, float],
    *,
    seen_fraction: float,
) -> float:
    """Returns the counts of the whole lungs: those that the image shows, and an estimate for the rest.

    The rest has the mean of the lung farther than 20 mm from the liver.

    Args:
      counts: (i, j, k) counts of the lungs, 0 outside them.
      lungs: (i, j, k) fraction of each voxel in the lungs, as far as the image shows them.
      liver: (i, j, k) fraction of each voxel in the liver.
      spacing_mm: voxel spacing.
      seen_fraction: fraction of the lungs that the image shows, above 0.
    """
    shown = float(counts.sum(dtype=np.float64))
    if seen_fraction >= 1.0:
        return shown
    voxels = float(lungs.sum(dtype=np.float64))
    far = lungs
    if (liver >= 0.5).any():
        far = np.where(ndimage.distance_transform_edt(liver < 0.5, sampling=spacing_mm) > FAR_MM, lungs, np.float32(0))
    if float(far.sum(dtype=np.float64)) < LEAST_FAR * voxels:
        far = lungs
    mean = float(counts[far > 0].sum(dtype=np.float64)) / max(float(far.sum(dtype=np.float64)), 1e-30)
    return shown + voxels * (1.0 / seen_fraction - 1.0) * mean
