"""The uncertainty of a contour that a network draws, from its probabilities."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from sirtjax import metrics
from sirtjax.errors import InputError

# Voxels farther from the contour than this do not say where it is: residual probabilities of a large field add up.
NEAR_MM = 20.0
# Probabilities outside [0, 1] by rounding.
ROUNDING = 1e-3


def probability_variation(probability: Float[np.ndarray, "i j k"], spacing_mm: tuple[float, float, float]) -> float:
    """Estimates the standard deviation of a contour from the probability of each voxel to be inside.

    If the contour at a point is displaced by a normal error, the probability is the normal distribution function of the
    distance to it. The integral of p (1 - p) across the contour is then the standard deviation / sqrt(pi), so that of
    the volume gives the mean over the surface. The probabilities do not state over which distance errors are
    correlated, and a network can be more certain than it should be: compare with contours of observers.

    Args:
      probability: (i, j, k) probability of the structure, 0 to 1.
      spacing_mm: voxel size.

    Returns:
      The standard deviation in mm, the mean over the surface at probability 0.5.

    Raises:
      InputError: values outside 0 to 1, no voxel of at least 0.5, or a mask instead of probabilities.

    Examples:
      >>> import numpy as np
      >>> from scipy.special import ndtr
      >>> from sirtjax import uncertainty
      >>> x, y, z = np.meshgrid(*(2.0 * np.arange(40) - 40.0,) * 3, indexing="ij")
      >>> inside_mm = 25.0 - np.sqrt(x**2 + y**2 + z**2)
      >>> round(uncertainty.probability_variation(ndtr(inside_mm / 3.0), (2.0, 2.0, 2.0)), 1)
      3.0
    """
    values = np.asarray(probability, np.float64)
    if not np.isfinite(values).all() or values.min() < -ROUNDING or values.max() > 1.0 + ROUNDING:
        raise InputError("probability: expected values from 0 to 1")
    values = np.clip(values, 0.0, 1.0)
    inside = values >= 0.5
    if not inside.any() or inside.all():
        raise InputError("probability: no contour at 0.5; expected the probability of one structure")
    uncertain = values * (1.0 - values)
    if not uncertain.any():
        raise InputError("probability: all values are 0 or 1; expected probabilities, not a mask")
    near = np.where(
        inside,
        ndimage.distance_transform_edt(inside, sampling=spacing_mm),
        ndimage.distance_transform_edt(~inside, sampling=spacing_mm),
    )
    surface = metrics.extract_surface(values, np.diag([*spacing_mm, 1.0]))
    total = float(uncertain[near <= NEAR_MM].sum()) * math.prod(spacing_mm)
    return math.sqrt(math.pi) * total / float(surface.areas_mm2.sum())
