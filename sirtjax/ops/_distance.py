from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


def distance_mm(mask: ArrayLike, spacing_mm: Sequence[float]) -> Float[np.ndarray, "i j k"]:
    """Computes the distance of every voxel centre to the mask; zero inside. On the host.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k; the axes are assumed to be perpendicular.

    Returns:
      (i, j, k) distances in mm; infinite everywhere for an empty mask.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import ops
      >>> mask = np.zeros((4, 1, 4), bool)
      >>> mask[0, 0, 0] = True
      >>> float(ops.distance_mm(mask, (3.0, 1.0, 4.0))[1, 0, 1])  # sqrt(3^2 + 4^2)
      5.0
    """
    inside = np.asarray(mask, bool)
    if not inside.any():
        return np.full(inside.shape, np.inf, np.float32)
    found: NDArray[np.float64] = ndimage.distance_transform_edt(~inside, sampling=tuple(spacing_mm))
    return found.astype(np.float32)


def signed_distance_mm(mask: ArrayLike, spacing_mm: Sequence[float]) -> Float[np.ndarray, "i j k"]:
    """Computes the distance to the mask, negative inside it. On the host.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k; the axes are assumed to be perpendicular.

    Returns:
      (i, j, k) distances in mm, positive outside; infinite for an empty mask, minus infinite for a full one.
    """
    inside = np.asarray(mask, bool)
    outer, inner = distance_mm(inside, spacing_mm), distance_mm(~inside, spacing_mm)
    return np.where(inside, -inner, outer).astype(np.float32)
