from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import InputError

# Lines closer than this across the slices count as drawn on the same slice.
SAME_SLICE_MM = 1.0
# A line may stand this steeply across the general run of the lines before left and right are ambiguous.
MAX_CROSSING_ANGLE_DEG = 60.0
# Directions are read off chords of this length, so that drawing errors do not change them.
SECANT_MM = 15.0
# A line may fall back this far along its run (drawing error), but not double back.
MAX_FALL_BACK_MM = 10.0
# Two lines of one slice that differ more than this where they run side by side contradict each other.
MAX_CONTRADICTION_MM = 5.0

# Points of one line.
Line = Float64[np.ndarray, "_ 3"]


@dataclass(frozen=True)
class LineFrame:
    """A right-handed frame in which the dividing surface is a height over a plane.

    Attributes:
      origin_mm: a point of the plane, LPS.
      along: unit vector along the run of the lines.
      across: unit vector from slice to slice, in the plane.
      normal: unit vector of the height.
    """

    origin_mm: Float64[np.ndarray, "3"]
    along: Float64[np.ndarray, "3"]
    across: Float64[np.ndarray, "3"]
    normal: Float64[np.ndarray, "3"]

    def coordinates_mm(self, points_mm: Float[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Returns (along, across, height) of world points, (..., 3)."""
        axes = np.stack([self.along, self.across, self.normal], axis=1)
        return np.asarray((points_mm - self.origin_mm) @ axes)


def check_lines(lines_mm: Sequence[ArrayLike], *, source: str) -> list[Float[np.ndarray, "n 3"]]:
    """Returns the lines as float arrays without repeated points.

    Raises:
      InputError: fewer than two lines, a line that isn't (n, 3) finite, or one without length.
    """
    lines = [np.asarray(line, np.float64) for line in lines_mm]
    if len(lines) < 2:
        raise InputError(
            f"{source}: {len(lines)} dividing line(s) found; a surface needs lines on at least two slices "
            "(four or more over the height of the liver are advised)"
        )
    checked = []
    for number, line in enumerate(lines, start=1):
        if line.ndim != 2 or line.shape[1] != 3 or len(line) < 2:
            raise InputError(
                f"{source}: line {number} has shape {line.shape}, expected two or more points of three "
                "coordinates (n, 3); draw it again"
            )
        if not np.isfinite(line).all():
            raise InputError(f"{source}: line {number} has a coordinate that is not a finite number; correct the file")
        keep = np.concatenate([[True], np.linalg.norm(np.diff(line, axis=0), axis=1) > 0])
        line = line[keep]
        if len(line) < 2 or np.linalg.norm(line[-1] - line[0]) < SAME_SLICE_MM:
            raise InputError(
                f"{source}: line {number} begins and ends at the same place; a dividing line runs from one "
                "edge of the liver to another"
            )
        checked.append(line)
    return checked


def resample_line(line_mm: Line, *, step_mm: float) -> Line:
    """Returns evenly spaced points of a polyline, at most `step_mm` apart, with both ends, (n, 3)."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line_mm, axis=0), axis=1))])
    at = np.linspace(0.0, length[-1], max(2, int(np.ceil(length[-1] / step_mm)) + 1))
    return np.stack([np.interp(at, length, line_mm[:, axis]) for axis in range(3)], axis=1)


def space_line(line_mm: Line, *, shortest_mm: float, longest_mm: float) -> Line:
    """Returns a polyline whose points are neither too close nor too far apart, (n, 3).

    Drawn points are kept rather than resampled, because points made up between them would repeat their error
    and hide it from a fit that estimates it.

    Args:
      line_mm: (n, 3) points of the line.
      shortest_mm: distance below which points are removed, except the last.
      longest_mm: distance above which stretches are divided evenly.

    Returns:
      (n, 3) points, including the ends of the line.
    """
    kept = [line_mm[0]]
    for point in line_mm[1:-1]:
        if min(np.linalg.norm(point - kept[-1]), np.linalg.norm(point - line_mm[-1])) >= shortest_mm:
            kept.append(point)
    kept.append(line_mm[-1])
    pieces = [resample_line(np.stack(ends), step_mm=longest_mm)[:-1] for ends in pairwise(kept)]
    return np.concatenate([*pieces, line_mm[-1:]])


def align_directions(lines_mm: Sequence[Line], *, source: str) -> list[Line]:
    """Reverses lines that run in the opposite direction.

    Raises:
      InputError: a line runs across the others, so that its two sides can't be matched with theirs.
    """
    chords = np.stack([line[-1] - line[0] for line in lines_mm])
    chords /= np.linalg.norm(chords, axis=1, keepdims=True)
    run = np.linalg.eigh(chords.T @ chords)[1][:, -1]
    cosine = chords @ run
    angle = np.degrees(np.arccos(np.clip(np.abs(cosine), 0, 1)))
    worst = int(np.argmax(angle))
    if angle[worst] > MAX_CROSSING_ANGLE_DEG:
        raise InputError(
            f"{source}: line {worst + 1} runs at {angle[worst]:.0f} degrees to the others, expected at most "
            f"{MAX_CROSSING_ANGLE_DEG:.0f}; draw all lines of one surface the same way through the liver, "
            "or put them in one file per surface"
        )
    return [line if c > 0 else line[::-1] for line, c in zip(lines_mm, cosine, strict=True)]


def fit_frame(lines_mm: Sequence[Line], *, source: str) -> LineFrame:
    """Fits the frame, rotated about the slice axis, in which the aligned lines are flattest.

    Raises:
      InputError: all lines lie on one slice, or a line doubles back.
    """
    chords = np.stack([(line[-1] - line[0]) / np.linalg.norm(line[-1] - line[0]) for line in lines_mm])
    along = chords.mean(axis=0)
    along /= np.linalg.norm(along)
    frame = _frame_along(along, lines_mm, source=source)
    # Turn to the middle of the directions met, which makes the steepest stretch of the lines the least steep.
    secants = np.concatenate([_secants(line) for line in lines_mm])
    angles = np.arctan2(secants @ frame.normal, secants @ frame.along)
    middle = (angles.min() + angles.max()) / 2
    frame = _frame_along(np.cos(middle) * frame.along + np.sin(middle) * frame.normal, lines_mm, source=source)
    for number, line in enumerate(lines_mm, start=1):
        u = frame.coordinates_mm(line)[:, 0]
        fall_back = float((np.maximum.accumulate(u) - u).max())
        if fall_back > MAX_FALL_BACK_MM:
            raise InputError(
                f"{source}: line {number} doubles back by {fall_back:.0f} mm, expected a line that "
                "crosses the liver once; draw it flatter, divide it over two surfaces, or give masks"
            )
    return frame


def check_agreement(coordinates_mm: Sequence[Line], *, source: str) -> None:
    """Checks that lines of one slice do not contradict each other.

    Args:
      coordinates_mm: (n, 3) points of each line, from `LineFrame.coordinates_mm`.
      source: name of the lines in an error.

    Raises:
      InputError: two lines of a slice run side by side at different heights, or cross.
    """
    for b, second in enumerate(coordinates_mm):
        for a, first in enumerate(coordinates_mm[:b]):
            if abs(first[:, 1].mean() - second[:, 1].mean()) > SAME_SLICE_MM:
                continue
            u = np.linspace(max(first[:, 0].min(), second[:, 0].min()), min(first[:, 0].max(), second[:, 0].max()))
            if u[-1] <= u[0]:
                continue
            gap = float(np.abs(_height_at(first, u) - _height_at(second, u)).max())
            if gap > MAX_CONTRADICTION_MM:
                raise InputError(
                    f"{source}: lines {a + 1} and {b + 1} lie on one slice and are {gap:.0f} mm apart where "
                    "they run side by side or cross; keep one of them, or put them in one file per surface"
                )


def _frame_along(along: NDArray[np.float64], lines_mm: Sequence[Line], *, source: str) -> LineFrame:
    centres = np.stack([(line.min(axis=0) + line.max(axis=0)) / 2 for line in lines_mm])
    origin = centres.mean(axis=0)
    offsets = centres - origin
    offsets -= np.outer(offsets @ along, along)
    across = np.linalg.svd(offsets)[2][0]
    if np.ptp(offsets @ across) < SAME_SLICE_MM:
        raise InputError(f"{source}: all {len(lines_mm)} lines lie on one slice; draw lines on at least two slices")
    return LineFrame(origin_mm=origin, along=along, across=across, normal=np.cross(along, across))


def _secants(line_mm: Line) -> Line:
    length = np.linalg.norm(np.diff(line_mm, axis=0), axis=1).sum()
    ends = resample_line(line_mm, step_mm=length / max(1, int(length / SECANT_MM)) + 1e-9)
    return np.diff(ends, axis=0)


def _height_at(coordinates_mm: Line, along_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(coordinates_mm[:, 0], kind="stable")
    heights: NDArray[np.float64] = np.interp(along_mm, coordinates_mm[order, 0], coordinates_mm[order, 2])
    return heights
