from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike
from scipy import ndimage

from sirtjax import ops

# Erosions and dilations by a voxel: twice as many voxels thick is what is cut off, tables, tubes, an arm that touches.
OPENING_VOXELS = 2


def enclosed_body(dense: ArrayLike, *, opening_voxels: int = OPENING_VOXELS) -> Bool[np.ndarray, "i j k"]:
    """Returns the largest dense component with its enclosed regions in slices across k, or empty.

    Lungs are open to the ends of the image: what counts as enclosed is so within a slice. On the host.

    Args:
      dense: (i, j, k) booleans, true in soft tissue; k along the body.
      opening_voxels: radius of the opening; structures up to twice as thick are removed.
    """
    opened = ndimage.binary_opening(np.asarray(dense, bool), iterations=opening_voxels)
    body = ops.largest_component(opened)
    for k in range(body.shape[2]):
        body[:, :, k] = ops.binary_fill_holes(body[:, :, k])
    return body
