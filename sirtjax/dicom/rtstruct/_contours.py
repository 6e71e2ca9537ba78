from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Real
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.dicom.rtstruct._keyholes import keyholed, polygon_area

Points = NDArray[np.float64]

# Halvings of the shift by which an outline comes to hold its area.
_SHIFT_STEPS = 40
# Every vertex stays this fraction of a pixel away from the centres on both sides of it, so that no rounding of a
# reader moves a pixel from one side of the outline to the other.
_CLEARANCE = 0.02
# As much of two pixels that touch at a corner is cut off there, as a fraction of their sides, that outlines don't meet.
_CUT = 0.04


def plane_outlines(
    held: Bool[np.ndarray, "i j"] | Real[np.ndarray, "i j"], fraction: Bool[np.ndarray, "i j"] | Real[np.ndarray, "i j"]
) -> list[Float64[np.ndarray, "_ 2"]]:
    """Returns closed outlines of pixels of one slice with the area of these pixels.

    Holes are joined as keyholes.

    Whole pixels are outlined along their sides, halfway between the centres of pixels inside and outside. Only so do
    programs that measure polygons, and programs that count the points of a grid of their own inside of them (the
    pixels', shifted, or two or three times as fine), all find the volume of the mask: an outline that cuts corners has
    points of such a grid on it, and counts differ by several percent of a lesion.

    Where pixels are partly filled (by a mask of another grid), the outline runs where the filling, interpolated between
    their centres, has one level, moved as much outwards or inwards as its area needs.

    Pixels that touch only at a corner are outlined separately.

    Args:
      held: (i, j) contribution of each pixel to the area, 0 outside; see `apportioned`.
      fraction: (i, j) fraction of each pixel inside the mask, 0 to 1.

    Returns:
      Polygons (n, 2) in pixels, centres at whole numbers, the first point not repeated.
    """
    areas, filled = (np.pad(np.asarray(values, np.float64), 1) for values in (held, fraction))
    # Parts that touch nowhere, not even at a corner, can't reach into each other.
    labels, _ = ndimage.label(areas > 0, structure=np.ones((3, 3)))
    found: list[Points] = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(slice(s.start - 1, s.stop + 1) for s in window)
        inside = labels[around] == number
        part = np.where(inside | (labels[around] == 0), filled[around], 0.0)
        if np.array_equal(part, inside):
            loops = _along_sides(inside)
        else:
            loops = _between_centres(inside, part, float(areas[around][inside].sum()))
        corner = np.array([s.start - 2 for s in window], np.float64)
        found += [_without_straight_points(polygon) + corner for polygon in keyholed(loops)]
    return found


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
        # One point if no corner is removed.
        kept = np.stack([np.ones(len(alone), bool), alone], axis=1)
        loops.append(np.asarray(corners[kept]))
    return loops


def _between_centres(inside: NDArray[np.bool_], filled: NDArray[np.float64], area: float) -> list[Points]:
    """Loops between the centres of pixels inside and outside, that hold an area."""
    level = (filled[inside].min() + filled[~inside].max()) / 2
    crossings = _crossings(inside)
    shares = [_shares(filled, crossing, level) for crossing in crossings]
    low, high = -1.0, 1.0
    for _ in range(_SHIFT_STEPS):
        shift = (low + high) / 2
        if _area(crossings, shares, shift) < area:
            low = shift
        else:
            high = shift
    return [_place(crossing, share, (low + high) / 2) for crossing, share in zip(crossings, shares, strict=True)]


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


def _shares(filled: NDArray[np.float64], crossing: NDArray[np.int64], level: float) -> NDArray[np.float64]:
    """The fraction of the way from the inner to the outer pixel where the level is reached; a half for equal pixels."""
    inner, outer = (filled[tuple(crossing[:, n].T)] for n in (0, 1))
    differ = inner > outer
    share = (inner - level) / np.where(differ, inner - outer, 1.0)
    return np.where(differ, share, 0.5)


def _place(crossing: NDArray[np.int64], share: NDArray[np.float64], shift: float) -> Points:
    moved = np.clip(share + shift, _CLEARANCE, 1 - _CLEARANCE)[:, None]
    return np.asarray(crossing[:, 0] + moved * (crossing[:, 1] - crossing[:, 0]))


def _area(crossings: list[NDArray[np.int64]], shares: list[NDArray[np.float64]], shift: float) -> float:
    return sum(polygon_area(_place(c, s, shift)) for c, s in zip(crossings, shares, strict=True))


def _without_straight_points(polygon: Points) -> Points:
    """The same polygon without points between two neighbours on one line in the same direction."""
    before, after = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    onward = (before * after).sum(axis=1) > 0
    kept: Points = polygon[(np.abs(turn) > 1e-9) | ~onward]
    return kept
