from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from scipy import ndimage
from scipy.special import xlogy

from sirtjax.segmentation._working_grid import resample_to_image
from sirtjax.volume import Geometry, Volume, bounding_box, crop_geometry

# Chosen on the tuning pairs of `benchmarks/diagnostic_liver.py`. The first is the standard deviation of the
# warped outline's error along one axis, the second the weight of the network.
OUTLINE_ERROR_MM, NETWORK_WEIGHT = 2.5, 0.2
# Beyond this many standard deviations the warped liver is certain.
REACH = 4.0


def pooled_liver(
    occupancy: Float32[np.ndarray, "i j k"], geometry: Geometry, likely: Volume, *, error_mm: float = OUTLINE_ERROR_MM
) -> Volume:
    """Returns the probability of the liver from a warped liver and from a network.

    The warped liver is blurred by the error of its outline, which gives the probability that a point is inside.
    The mean of this probability and that of the network, with weights of 0.8 and 0.2, exceeds one half where both
    together expect the liver. The network moves the outline by at most a third of `error_mm`, so that a region that
    it misses or adds elsewhere has no effect.

    Args:
      occupancy: (i, j, k) fraction of each voxel inside the warped liver, not zero everywhere.
      geometry: grid of the image.
      likely: probability of the network, on any grid.
      error_mm: standard deviation of the warped outline's error along one axis.

    Returns:
      The probability on the part of the grid around the warped liver. Outside it is zero.
    """
    margin = int(np.ceil(REACH * error_mm / min(geometry.spacing_mm)))
    start, stop = bounding_box(occupancy > 0, margin=margin)
    box = crop_geometry(geometry, start, stop)
    warped = occupancy[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    prior = ndimage.gaussian_filter(warped, _in_voxels(error_mm, box.spacing_mm), mode="nearest", truncate=REACH)
    network = np.asarray(resample_to_image(likely, box).array)
    pooled = (1 - NETWORK_WEIGHT) * prior + NETWORK_WEIGHT * network
    return Volume(np.clip(pooled, 0, 1).astype(np.float32), box, unit="1")


def entropy_of(likely: Volume) -> Volume:
    """Returns the entropy of a probability, in nats."""
    p = np.asarray(likely.array)
    return likely.replace(-(xlogy(p, p) + xlogy(1 - p, 1 - p)).astype(np.float32))


def _in_voxels(error_mm: float, spacing_mm: Sequence[float]) -> tuple[float, ...]:
    return tuple(error_mm / spacing for spacing in spacing_mm)
