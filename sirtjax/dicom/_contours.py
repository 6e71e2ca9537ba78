from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Points = NDArray[np.float64]

# Halvings of the level at which a part's outline holds its area, and of the last correction.
_LEVEL_STEPS, _SHIFT_STEPS = 14, 40
# Every vertex stays this share of a pixel away from the centres between which it lies, so that no rounding of a
# reader moves a pixel from one side of the outline to the other.
_CLEARANCE = 0.02


def plane_outlines(fraction: NDArray[Any]) -> list[Points]:
    """Closed outlines of what lies in one slice, of exactly its area, with holes joined as keyholes.

    Around whole pixels they run at the 0.5 level, between the centres of pixels inside and outside, moved by as much
    outwards or inwards as the corners that they cut off take or add. They hold the same pixel centres as the mask and
    the same area, so that programs that count centres and programs that measure polygons find the same volume. Pixels
    that touch at a corner alone are outlined apart. Where pixels are partly inside, each connected part is cut at the
    level at which its outline has the area of the part.

    Args:
      fraction: (i, j) how much of each pixel is inside, 0 to 1.

    Returns:
      Polygons (n, 2) in pixels, centres at whole numbers, the first point not repeated.
    """
    padded = np.pad(np.asarray(fraction, np.float64), 1)
    # Parts that touch nowhere, not even at a corner, can't reach into each other.
    labels, _ = ndimage.label(padded > 0, structure=np.ones((3, 3)))
    found: list[Points] = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = (slice(s.start - 1, s.stop + 1) for s in window)
        part = np.where(labels[rows, columns] == number, padded[rows, columns], 0.0)
        corner = np.array([rows.start - 1, columns.start - 1], np.float64)
        found += [polygon + corner for polygon in _part_outlines(part)]
    return found


def polygon_area(points: Points) -> float:
    """Area of a polygon (n, 2), positive where it turns from the first axis to the second."""
    x, y = (points - points[0]).T
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2


def _part_outlines(part: NDArray[np.float64]) -> list[Points]:
    area = float(part.sum())
    level = _level(part, area)
    crossings = _crossings(part > level)
    shares = [_shares(part, crossing, level) for crossing in crossings]
    low, high = -1.0, 1.0
    for _ in range(_SHIFT_STEPS):
        shift = (low + high) / 2
        if _area(crossings, shares, shift) < area:
            low = shift
        else:
            high = shift
    loops = [_place(crossing, share, (low + high) / 2) for crossing, share in zip(crossings, shares, strict=True)]
    return [_without_straight_points(polygon) for polygon in _keyholed(loops)]


def _level(part: NDArray[np.float64], area: float) -> float:
    """The level at which the outline of a part holds its area; pixels on or below it are outside."""
    values = np.unique(part)
    if len(values) == 2:
        return float(values[1]) / 2
    low, high = 0.0, float(values[-1])
    for _ in range(_LEVEL_STEPS):
        level = (low + high) / 2
        crossings = _crossings(part > level)
        if _area(crossings, [_shares(part, crossing, level) for crossing in crossings], 0.0) < area:
            high = level
        else:
            low = level
    return low


def _crossings(inside: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Loops around the pixels inside, as (n, 2, 2): the pixel inside and the one outside that each step passes between.

    The inside is on the left: outer loops have a positive area, holes a negative one.
    """
    from contourpy import LineType, contour_generator

    lines = contour_generator(z=inside.T.astype(np.float64), line_type=LineType.Separate).lines(0.5)
    loops = []
    for line in lines:
        # Halfway between two centres: whole along one axis, a half along the other.
        first, second = np.floor(line[:-1]).astype(np.int64), np.ceil(line[:-1]).astype(np.int64)
        within = inside[first[:, 0], first[:, 1]][:, None]
        loops.append(np.stack([np.where(within, first, second), np.where(within, second, first)], axis=1))
    return loops


def _shares(part: NDArray[np.float64], crossing: NDArray[np.int64], level: float) -> NDArray[np.float64]:
    """How far from the pixel inside to the one outside the level is met."""
    inner, outer = (part[tuple(crossing[:, n].T)] for n in (0, 1))
    return np.asarray((inner - level) / (inner - outer))


def _place(crossing: NDArray[np.int64], share: NDArray[np.float64], shift: float) -> Points:
    moved = np.clip(share + shift, _CLEARANCE, 1 - _CLEARANCE)[:, None]
    return np.asarray(crossing[:, 0] + moved * (crossing[:, 1] - crossing[:, 0]))


def _area(crossings: list[NDArray[np.int64]], shares: list[NDArray[np.float64]], shift: float) -> float:
    return sum(polygon_area(_place(c, s, shift)) for c, s in zip(crossings, shares, strict=True))


def _keyholed(loops: list[Points]) -> list[Points]:
    """Outer loops with the holes in them joined by channels without width, run once each way.

    Reference:
      DICOM PS3.3, C.8.8.6.3 (Representing inner and outer contours).
    """
    outer = [loop for loop in loops if polygon_area(loop) > 0]
    holes = [loop for loop in loops if polygon_area(loop) <= 0]
    while holes:
        hole = holes.pop()
        start_at, start = _rightmost(hole)
        # To the right of a hole comes the edge of the material it is in: its outer loop's, or another hole's.
        hits = [
            (point[0], group, number, at)
            for group in (outer, holes)
            for number, loop in enumerate(group)
            for at, point in _hits(loop, start[1])
            if point[0] > start[0]
        ]
        x, group, number, at = min(hits, key=lambda hit: hit[0])
        end = np.array([x, start[1]])
        around = np.concatenate([[start], hole[start_at + 1 :], hole[: start_at + 1], [start]])
        other = group[number]
        group[number] = np.concatenate([other[: at + 1], [end], around, [end], other[at + 1 :]])
    return outer


def _rightmost(hole: Points) -> tuple[int, Points]:
    """A point halfway along an edge, from where nothing of the hole lies further along the first axis.

    Half an edge's way is never at the height of a pixel's centre, so that no channel runs through one.
    """
    following = np.roll(hole, -1, axis=0)
    edge = int(np.argmax(np.where(hole[:, 1] != following[:, 1], hole[:, 0] + following[:, 0], -np.inf)))
    height = float(hole[edge, 1] + following[edge, 1]) / 2
    at, point = max(_hits(hole, height), key=lambda hit: float(hit[1][0]))
    return at, point


def _hits(loop: Points, height: float) -> list[tuple[int, Points]]:
    """Where a loop crosses a line along the first axis: the number of the edge, and the point."""
    following = np.roll(loop, -1, axis=0)
    crossed = np.flatnonzero((loop[:, 1] <= height) != (following[:, 1] <= height))
    share = (height - loop[crossed, 1]) / (following[crossed, 1] - loop[crossed, 1])
    along = loop[crossed, 0] + share * (following[crossed, 0] - loop[crossed, 0])
    return [(int(at), np.array([x, height])) for at, x in zip(crossed, along, strict=True)]


def _without_straight_points(polygon: Points) -> Points:
    """The same polygon without points between two neighbours on one line in the same direction."""
    before, after = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    onward = (before * after).sum(axis=1) > 0
    kept: Points = polygon[(np.abs(turn) > 1e-9) | ~onward]
    return kept
