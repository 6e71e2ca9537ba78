from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.segmentation._working_grid import box_on_image, slabs_on_image
from sirtjax.volume import Geometry, Volume, bounding_box

Mask = NDArray[np.bool_]


def sharpened(
    coarse: Bool[np.ndarray, "i j k"], grid: Geometry, volume: Volume, *, keep: Literal["above", "below"], hu: float
) -> Bool[np.ndarray, "a b c"]:
    """Returns a coarse mask on the image's own grid, with its contour at a threshold in HU.

    More than one coarse voxel from the contour the coarse mask is used; in between, the threshold decides per voxel.

    Args:
      coarse: (i, j, k) booleans on `grid`.
      grid: a working grid.
      volume: the CT.
      keep: side of `hu` that belongs to the structure, "above" or "below".
      hu: threshold.
    """
    result = np.zeros(volume.geometry.shape, bool)
    if not coarse.any():
        return result
    # Beyond the faces of the image it goes on as it is.
    inner = ndimage.binary_erosion(coarse, border_value=1).astype(np.float32)
    outer = ndimage.binary_dilation(coarse)
    start, stop = bounding_box(outer)
    part = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
    box = box_on_image(grid, part, volume.geometry)
    image = np.asarray(volume.array)
    for place, (sure, possible) in slabs_on_image([inner, outer.astype(np.float32)], grid, volume.geometry, box):
        own = image[place] > hu if keep == "above" else image[place] < hu
        result[place] = (sure > 0.5) | ((possible > 0.5) & own)
    return result
