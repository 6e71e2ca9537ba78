from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike
from scipy import ndimage

from sirtjax import ops

# Number of erosions and dilations by one voxel, to remove parts up to twice as thick: tables, tubes, touching arms.
OPENING_VOXELS = 2


def enclosed_body(dense: ArrayLike, *, opening_voxels: int = OPENING_VOXELS) -> Bool[np.ndarray, "i j k"]:
    """Returns the largest dense component with its enclosed regions in slices across k, or empty.

    Holes are filled slice by slice, because the lungs can reach the end of the image. On the host.

    Args:
      dense: (i, j, k) booleans, true in soft tissue; k along the body.
      opening_voxels: radius of the opening; structures up to twice as thick are removed.
    """
    opened = ndimage.binary_opening(np.asarray(dense, bool), iterations=opening_voxels)
    body = ops.largest_component(opened)
    for k in range(body.shape[2]):
        body[:, :, k] = ops.binary_fill_holes(body[:, :, k])
    return body
