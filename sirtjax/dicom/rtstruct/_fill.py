from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

# A contour with this fraction of its area inside the larger ones is a hole in them; with less, another component.
_HOLE_FRACTION = 0.95


def fill_polygon(vertices: Float64[np.ndarray, "vertices 2"], shape: tuple[int, int]) -> Bool[np.ndarray, "i j"]:
    """Pixels whose centre lies inside a closed polygon, by the even-odd rule.

    A centre exactly on an edge counts on the polygon's low side and not on its high side, so that polygons
    that share an edge share no pixel and the filled area is the polygon's on average. Edges run twice in
    opposite directions (the channel of a keyhole) cancel exactly.

    Args:
      vertices: (n, 2) positions in pixels, centres at whole numbers; the last joins the first.
      shape: shape of the grid; parts of the polygon outside it are ignored.
    """
    # Snapped so that a vertex meant to lie on a pixel centre does so after changes of frame.
    start = np.round(vertices, 6)
    stop = np.roll(start, -1, axis=0)
    upward = (start[:, 1] < stop[:, 1])[:, None]
    low, high = np.where(upward, start, stop), np.where(upward, stop, start)
    first = np.clip(np.ceil(low[:, 1]), 0, shape[1]).astype(np.int64)
    after = np.clip(np.ceil(high[:, 1]), 0, shape[1]).astype(np.int64)
    edge = np.repeat(np.arange(len(start)), after - first)
    row = np.arange(edge.size) - np.repeat(np.cumsum(after - first) - (after - first), after - first)
    row = row + first[edge]
    along = (row - low[edge, 1]) / (high[edge, 1] - low[edge, 1])
    crossing = low[edge, 0] + along * (high[edge, 0] - low[edge, 0])
    column = np.clip(np.ceil(np.round(crossing, 6)), 0, shape[0]).astype(np.int64)
    toggles = np.bincount(column * shape[1] + row, minlength=(shape[0] + 1) * shape[1])
    parity = np.cumsum(toggles.reshape(shape[0] + 1, shape[1])[:-1], axis=0) % 2
    return np.asarray(parity == 1)


def fill_plane(
    polygons: Sequence[Float64[np.ndarray, "_ 2"]], shape: tuple[int, int], *, exclusive_or: bool
) -> Bool[np.ndarray, "i j"]:
    """Returns the pixels inside the contours of one ROI in one plane, (i, j).

    With `exclusive_or` (CLOSEDPLANAR_XOR) every contour flips what it encloses. Otherwise (CLOSED_PLANAR) a
    contour within the area of the larger ones is a hole, one within a hole an island, one beside or partly
    over the others a further piece; the same contour given twice counts once.
    """
    result = np.zeros(shape, bool)
    if exclusive_or:
        for polygon in polygons:
            result ^= fill_polygon(polygon, shape)
        return result
    seen: set[bytes] = set()
    for polygon in sorted(polygons, key=_area, reverse=True):
        key = np.sort(np.round(polygon, 3) @ np.array([1.0, 1j])).tobytes()
        if key in seen:
            continue
        seen.add(key)
        mask = fill_polygon(polygon, shape)
        if mask.any() and (result & mask).sum() >= _HOLE_FRACTION * mask.sum():
            result &= ~mask
        else:
            result |= mask
    return result


def _area(vertices: NDArray[np.float64]) -> float:
    x, y = (vertices - vertices[0]).T
    return float(abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2)
