from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Integer
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

_RANK = {6: 1, 18: 2, 26: 3}
_SLAB = 32


def components(mask: ArrayLike, *, connectivity: Literal[6, 18, 26] = 6) -> Integer[np.ndarray, "i j k"]:
    """Labels the connected components of a mask from 1, largest first. On the host.

    Args:
      mask: (i, j, k) booleans.
      connectivity: 6 (faces), 18 (and edges) or 26 (and corners) neighbours.

    Returns:
      (i, j, k) component numbers, 0 outside the mask; ties in size keep the order of their first voxel.

    Raises:
      ValueError: the connectivity is not supported.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import ops
      >>> mask = np.zeros((6, 3, 3), bool)
      >>> mask[0], mask[4, 1, 1] = True, True
      >>> np.bincount(ops.components(mask).ravel())[1:].tolist()  # voxels of each component
      [9, 1]
    """
    if connectivity not in _RANK:
        raise ValueError(f"connectivity must be 6, 18 or 26, got {connectivity}")
    labels, sizes = _labelled(mask, connectivity)
    renumber = np.zeros(len(sizes) + 1, np.int32)
    renumber[np.argsort(-sizes, kind="stable") + 1] = np.arange(1, len(sizes) + 1)
    numbered: NDArray[np.int32] = renumber[labels]
    return numbered


def largest_component(mask: ArrayLike, *, connectivity: Literal[6, 18, 26] = 6) -> Bool[np.ndarray, "i j k"]:
    """Returns the largest connected component of a mask; empty for an empty mask. On the host.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import ops
      >>> mask = np.array([1, 1, 1, 0, 1], bool).reshape(5, 1, 1)
      >>> ops.largest_component(mask).ravel().tolist()
      [True, True, True, False, False]
    """
    labels, sizes = _labelled(mask, connectivity)
    if sizes.size == 0:
        return np.zeros(labels.shape, bool)
    largest: NDArray[np.bool_] = labels == 1 + int(np.argmax(sizes))
    return largest


def _labelled(mask: ArrayLike, connectivity: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Components in the order of their first voxel, and the number of voxels of each."""
    structure = ndimage.generate_binary_structure(3, _RANK[connectivity])
    labels, count = ndimage.label(np.asarray(mask, bool), structure)
    # In slabs: counting turns its input to 64 bits, eight times the mask.
    sizes = np.zeros(count + 1, np.int64)
    for start in range(0, labels.shape[0], _SLAB):
        sizes += np.bincount(labels[start : start + _SLAB].ravel(), minlength=count + 1)
    return labels, sizes[1:]


def binary_fill_holes(mask: ArrayLike) -> Bool[np.ndarray, "..."]:
    """Fills background that is not connected by faces to a face of the array. On the host.

    As `scipy.ndimage.binary_fill_holes`, in one pass.
    """
    inside = np.asarray(mask, bool)
    parts, count = ndimage.label(~inside)
    is_open = np.zeros(count + 1, bool)
    for axis in range(inside.ndim):
        for end in (0, -1):
            is_open[np.take(parts, end, axis=axis)] = True
    is_open[0] = False
    filled: NDArray[np.bool_] = ~is_open[parts]
    return filled
