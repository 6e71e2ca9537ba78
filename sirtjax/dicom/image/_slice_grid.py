from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from sirtjax.dicom.image._copies import SAME_PLACE_MM
from sirtjax.dicom.image._frames import Frame
from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry

# A slice may be off its position on the even grid by this fraction of the slice spacing: the error of the image is
# then at most a twentieth of the step between two neighbours, below what interpolation costs anyway.
EVEN_FRACTION = 0.05
# ... or this far, whichever is more: positions are often rounded to a tenth of a millimetre.
EVEN_MM = 0.05
# Smallest distance between slices relative to the median; slices that are closer count as repeated.
_MAX_SLICES = 10_000
# Gaps named in a message.
_MAX_PLACES = 6


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """The even grid of a stack and the origin of its slices.

    Attributes:
      geometry: grid with k ascending along row x column.
      source_k: (k,) fractional number of the frame at each slice of the grid; None if the frames are the slices.
      notes: changes that were made, one sentence each.
    """

    geometry: Geometry
    source_k: Float64[np.ndarray, " slices"] | None = None
    notes: tuple[str, ...] = ()


def slice_grid(frames: list[Frame], *, where: Path, allow_resample: bool = False) -> SliceGrid:
    """Returns the grid of sorted parallel frames: evenly spaced, straight or sheared by a tilted gantry.

    Slices are even when each lies within 5 % of the slice spacing, or 0.05 mm where that is more, of its
    place on the straight line from the first to the last. A line that is not along the normal is a tilted
    gantry, kept exactly as a sheared grid.

    Args:
      frames: frames sorted along row x column.
      where: folder or file, for messages.
      allow_resample: interpolate slices linearly to an even grid of about the median spacing if they are uneven or
        missing.

    Raises:
      GeometryError: repeats, gaps or uneven spacing (unless resampled), slices shifted sideways against
        each other, one slice without a thickness.
    """
    first, last = frames[0], frames[-1]
    if len(frames) == 1:
        return SliceGrid(_single(first, where))
    depths = np.array([frame.depth_mm for frame in frames])
    steps = np.diff(depths)
    _check_repeats(frames, steps, where)
    count = len(frames)
    line = last.position_mm - first.position_mm
    _check_sideways(frames, depths, where)
    even = depths[0] + np.arange(count) * (depths[-1] - depths[0]) / (count - 1)
    spacing = (depths[-1] - depths[0]) / (count - 1)
    if np.abs(depths - even).max() <= max(EVEN_FRACTION * spacing, EVEN_MM):
        return SliceGrid(_geometry(first, count, line / (count - 1)))
    gap = _gap(frames, steps)
    if not allow_resample:
        raise GeometryError(
            f"{where}: slices are not evenly spaced: {gap}; find the missing slices, choose another series, "
            "or allow resampling onto even slices"
        )
    count = round((depths[-1] - depths[0]) / float(np.median(steps))) + 1
    if count > _MAX_SLICES:
        raise GeometryError(f"{where}: even slices would be {count}: {gap}; a position is wrong")
    target = np.linspace(depths[0], depths[-1], count)
    spacing = (depths[-1] - depths[0]) / (count - 1)
    note = f"{len(frames)} uneven slices were interpolated onto {count} of {spacing:.4g} mm: {gap}"
    source_k = np.interp(target, depths, np.arange(len(frames), dtype=np.float64))
    return SliceGrid(_geometry(first, count, line / (count - 1)), source_k, (note,))


def _single(frame: Frame, where: Path) -> Geometry:
    if frame.thickness_mm is None:
        raise GeometryError(
            f"{where}: one slice ({frame.file.path.name}) and no SliceThickness, so no voxel size; "
            "expected a series of slices"
        )
    return _geometry(frame, 1, frame.normal * frame.thickness_mm)


def _geometry(first: Frame, count: int, step: NDArray[np.float64]) -> Geometry:
    straight = (step @ first.normal) * first.normal
    # Rounded positions are not a tilt: a drift this small over the whole stack is ignored.
    if np.linalg.norm(step - straight) * max(count - 1, 1) <= EVEN_MM:
        step = straight
    affine = np.eye(4)
    affine[:3, 0] = first.axes[0] * first.pixel_spacing_mm[1]
    affine[:3, 1] = first.axes[1] * first.pixel_spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = step, first.position_mm
    return Geometry.from_affine((*first.size, count), affine)


def _check_repeats(frames: list[Frame], steps: NDArray[np.float64], where: Path) -> None:
    close = np.flatnonzero(steps < SAME_PLACE_MM)
    if close.size:
        at = int(close[0])
        raise GeometryError(
            f"{where}: {close.size} slices are at the position of another, the first at {_at(frames[at])} and "
            f"{_name(frames[at + 1])}; remove the repeats or choose one series"
        )


def _check_sideways(frames: list[Frame], depths: NDArray[np.float64], where: Path) -> None:
    """Every slice lies on the line from the first to the last, at its depth."""
    share = (depths - depths[0]) / (depths[-1] - depths[0])
    positions = np.stack([frame.position_mm for frame in frames])
    expected = positions[0] + share[:, None] * (positions[-1] - positions[0])
    off = np.linalg.norm(positions - expected, axis=1)
    worst = int(off.argmax())
    if off[worst] > max(EVEN_FRACTION * min(frames[0].pixel_spacing_mm), EVEN_MM):
        raise GeometryError(
            f"{where}: slice {_at(frames[worst])} is off-axis by {off[worst]:.2f} mm; the slices do not form one volume"
        )


def _gap(frames: list[Frame], steps: NDArray[np.float64]) -> str:
    median = float(np.median(steps))
    at = int(np.abs(steps - median).argmax())
    worst = (
        f"{steps[at]:.4g} mm from {_at(frames[at])} to {_at(frames[at + 1])}, where the median step of "
        f"{len(frames)} slices is {median:.4g} mm"
    )
    return worst + _missing(frames, steps)


def _missing(frames: list[Frame], steps: NDArray[np.float64]) -> str:
    """The missing slices, if every gap is a whole number of steps; "" if the spacing itself varies."""
    # Not the mean of two middle steps, which may be no step of the series.
    step = float(np.percentile(steps, 50, method="lower"))
    counts = np.rint(steps / step).astype(int)
    if (counts < 1).any() or (np.abs(steps - counts * step) > max(EVEN_FRACTION * step, EVEN_MM)).any():
        return ""
    places = [
        f"{counts[at] - 1} between {_name(frames[at])} and {_name(frames[at + 1])}" for at in np.flatnonzero(counts > 1)
    ]
    more = f" and in {len(places) - _MAX_PLACES} more positions" if len(places) > _MAX_PLACES else ""
    return f"; {(counts - 1).sum()} missing: {', '.join(places[:_MAX_PLACES])}{more}"


def _at(frame: Frame) -> str:
    place = ", ".join(f"{x:.2f}" for x in frame.position_mm)
    return f"{_name(frame)} ({place})"


def _name(frame: Frame) -> str:
    multiple = int(frame.file.header.get("NumberOfFrames") or 1) > 1
    return f"{frame.file.path.name} frame {frame.index + 1}" if multiple else frame.file.path.name
