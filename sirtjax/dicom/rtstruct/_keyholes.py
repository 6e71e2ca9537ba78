from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

Points = NDArray[np.float64]

# How far along an edge a channel may begin, and how far in pixels from the lines of centres it has to be.
_STARTS, _OFF_LINES = np.array([0.37, 0.29, 0.43]), 0.004


def keyholed(loops: list[Float64[np.ndarray, "_ 2"]]) -> list[Float64[np.ndarray, "_ 2"]]:
    """Returns outer loops with their holes joined by channels of zero width, traversed once each way.

    A channel leaves a hole where it reaches furthest along the first axis, and goes on along that axis to the next
    loop: the outer one, or a hole that reaches further. No channel runs through the centre of a pixel.

    Args:
      loops: (n, 2) polygons in pixels; outer ones have a positive area, holes a negative one.

    Reference:
      DICOM PS3.3, C.8.8.6.3 (Representing inner and outer contours).
    """
    holes = [number for number, loop in enumerate(loops) if polygon_area(loop) <= 0]
    if not holes:
        return loops
    first = np.concatenate(loops)
    second = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops])
    owner = np.repeat(np.arange(len(loops)), [len(loop) for loop in loops])
    begins = np.concatenate([[0], np.cumsum([len(loop) for loop in loops])])
    joined: list[list[tuple[int, float, Points]]] = [[] for _ in loops]
    # A hole comes before every hole that it is joined to.
    for number in sorted(holes, key=lambda hole: float(loops[hole][:, 0].max())):
        edge, start = _start(loops[number])
        hit, x = _next_edge(first, second, start)
        end = np.array([x, start[1]])
        ring = np.concatenate([[end], [start], _ring(loops[number], joined[number], edge + 1), [start], [end]])
        along = float(np.hypot(*(end - first[hit])))
        joined[owner[hit]].append((int(hit - begins[owner[hit]]), along, ring))
    return [_ring(loop, joined[n], 0) for n, loop in enumerate(loops) if n not in set(holes)]


def polygon_area(points: Float64[np.ndarray, "points 2"]) -> float:
    """Returns the area of a polygon (n, 2), positive if it turns from the first axis to the second."""
    x, y = (points - points[0]).T
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2


def _start(hole: Points) -> tuple[int, Points]:
    """The number of an edge at the hole's furthest vertex along the first axis, and a point on it."""
    furthest = int(hole[:, 0].argmax())
    edges = np.array([(furthest - 1) % len(hole), furthest])
    low, high = hole[edges], hole[(edges + 1) % len(hole)]
    heights = low[:, 1, None] + _STARTS * (high[:, 1] - low[:, 1])[:, None]
    apart = np.where((low[:, 1] != high[:, 1])[:, None], np.abs(heights - np.rint(heights)), -1)
    chosen, share = np.unravel_index(int(apart.argmax()), apart.shape)
    return int(edges[chosen]), low[chosen] + _STARTS[share] * (high[chosen] - low[chosen])


def _next_edge(first: Points, second: Points, start: Points) -> tuple[int, float]:
    """The edge that a line from `start` along the first axis meets next, and where."""
    x, height = start
    crossed = np.flatnonzero((first[:, 1] <= height) != (second[:, 1] <= height))
    low, high = first[crossed], second[crossed]
    at = low[:, 0] + (height - low[:, 1]) / (high[:, 1] - low[:, 1]) * (high[:, 0] - low[:, 0])
    # Not the edge that it starts from.
    beyond = np.flatnonzero(at > x + _OFF_LINES)
    nearest = int(beyond[at[beyond].argmin()])
    return int(crossed[nearest]), float(at[nearest])


def _ring(loop: Points, joined: list[tuple[int, float, Points]], begin: int) -> Points:
    """Returns a loop that starts at vertex `begin`, with the loops that are joined to its edges inserted."""
    rolled = np.roll(loop, -begin, axis=0)
    pieces, done = [], 0
    for edge, _, ring in sorted(joined, key=lambda one: ((one[0] - begin) % len(loop), one[1])):
        after = (edge - begin) % len(loop) + 1
        pieces += [rolled[done:after], ring]
        done = after
    return np.concatenate([*pieces, rolled[done:]])
