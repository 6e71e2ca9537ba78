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
# As much of two pixels that touch at a corner is cut off there, as a share of their sides, that outlines don't meet.
_CUT = 0.04
# How far along an edge a channel may begin.
_STARTS = np.array([0.37, 0.29, 0.43])


def plane_outlines(fraction: NDArray[Any]) -> list[Points]:
    """Closed outlines of what lies in one slice, of exactly its area, with holes joined as keyholes.

    Whole pixels are outlined along their sides, halfway between the centres of pixels inside and outside. Only so do
    programs that measure polygons, and programs that count the points of a grid of their own inside of them (the
    pixels', shifted, or two or three times as fine), all find the volume of the mask: an outline that cuts corners has
    points of such a grid on it, and counts differ by several percent of a lesion.

    Where pixels are partly inside (a mask of another grid), each connected part is cut at the level at which its
    outline has the area of the part.

    Pixels that touch at a corner alone are outlined apart.

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
        loops = _along_sides(part > 0) if part[part > 0].min() == 1 else _of_area(part)
        found += [_without_straight_points(polygon) + corner for polygon in _keyholed(loops)]
    return found


def polygon_area(points: Points) -> float:
    """Area of a polygon (n, 2), positive where it turns from the first axis to the second."""
    x, y = (points - points[0]).T
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2


def _along_sides(inside: NDArray[np.bool_]) -> list[Points]:
    """Loops along the sides of pixels."""
    loops = []
    for crossing in _crossings(inside):
        middles = crossing.mean(axis=1)
        following = np.roll(middles, -1, axis=0)
        # Both are on the sides of one square between four centres; the outline goes by its middle.
        cell = np.floor(np.minimum(middles, following)).astype(np.int64)
        straight = (middles == following).any(axis=1)
        cell_middle = cell + 0.5
        i, j = cell[~straight].T
        alone = (inside[i, j] == inside[i + 1, j + 1]) & (inside[i + 1, j] == inside[i, j + 1])
        share = np.where(alone, 1 - _CUT, 1.0)[:, None]
        first = middles[~straight] + share * (cell_middle[~straight] - middles[~straight])
        second = following[~straight] + share * (cell_middle[~straight] - following[~straight])
        corners = np.stack([first, second], axis=1)
        # One point where no corner is cut off.
        kept = np.stack([np.ones(len(alone), bool), alone], axis=1)
        loops.append(np.asarray(corners[kept]))
    return loops


def _of_area(part: NDArray[np.float64]) -> list[Points]:
    """Loops between the centres of pixels, that hold as much as lies in the part."""
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
    return [_place(crossing, share, (low + high) / 2) for crossing, share in zip(crossings, shares, strict=True)]


def _level(part: NDArray[np.float64], area: float) -> float:
    """The level at which the outline of a part about holds its area; pixels on or below it are outside."""
    low, high = 0.0, float(part.max())
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
    """A point on an edge, and the edge's number, from where nothing of the hole lies further along the first axis.

    Not at the height of a pixel's centre, so that no channel runs through one.
    """
    following = np.roll(hole, -1, axis=0)
    heights = hole[:, 1, None] + _STARTS * (following[:, 1] - hole[:, 1])[:, None]
    apart = np.abs(heights - np.rint(heights))
    best = apart.argmax(axis=1)[:, None]
    heights, apart = (np.take_along_axis(values, best, axis=1)[:, 0] for values in (heights, apart))
    usable = (hole[:, 1] != following[:, 1]) & (apart > _CLEARANCE / 5)
    edge = int(np.argmax(np.where(usable, hole[:, 0] + following[:, 0], -np.inf)))
    return max(_hits(hole, float(heights[edge])), key=lambda hit: float(hit[1][0]))


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
