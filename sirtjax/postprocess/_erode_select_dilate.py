from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray

from sirtjax import ops
from sirtjax.postprocess._box import in_bounding_box


def erode_select_dilate(mask: ArrayLike, spacing_mm: Sequence[float], *, radius_mm: float) -> Bool[np.ndarray, "i j k"]:
    """Returns the largest part of a mask after removing bridges thinner than twice the radius.

    "The binary mask was eroded to disconnect the regions with weak connection. Then the largest connected region
    in the binary mask was selected while other small islands were not included in the liver volume of interest.
    The largest connected region was dilated back to its original size and then was taken as the final result"
    (thesis, chapter 3, data postprocessing). The thesis gives no radius. "Its original size" is taken to mean that
    the sharp edge of a lobe is not lost with the bridges: the voxels of the mask within the radius, and one voxel's
    diagonal for the steps of the grid, of the region kept. A mask that erosion would wipe out is not eroded.

    Args:
      mask: (i, j, k) booleans.
      spacing_mm: voxel size along i, j, k.
      radius_mm: radius of the erosion.

    Returns:
      (i, j, k) booleans, a part of the mask.

    Raises:
      ValueError: the radius is negative.
    """
    if radius_mm < 0:
        raise ValueError(f"radius_mm must not be negative, got {radius_mm}")
    # One voxel around, so that the faces of the box are not taken for the inside.
    return in_bounding_box(mask, lambda inside: _opened(inside, spacing_mm, radius_mm), margin=1)


def _opened(inside: NDArray[np.bool_], spacing_mm: Sequence[float], radius_mm: float) -> NDArray[np.bool_]:
    core = inside & (ops.distance_mm(~inside, spacing_mm) > radius_mm)
    if not core.any():
        return ops.largest_component(inside)
    kept = ops.largest_component(core)
    reach_mm = radius_mm + float(np.linalg.norm(spacing_mm))
    near: NDArray[np.bool_] = inside & (ops.distance_mm(kept, spacing_mm) <= reach_mm)
    return ops.largest_component(near)
