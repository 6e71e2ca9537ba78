from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry

# Frames may be off the regular grid by this fraction of a slice.
_TOLERANCE = 0.05
# Frames closer than this are in one slice, of different segments.
_SAME_SLICE_MM = 0.01
# No scan has more slices; a larger number means a damaged position.
_MAX_SLICES = 5_000


def frame_grid(
    positions_mm: Float64[np.ndarray, "frames 3"],
    *,
    orientation: Float64[np.ndarray, "2 3"],
    size: tuple[int, int],
    pixel_spacing_mm: tuple[float, float],
    slice_spacings_mm: Sequence[float],
    where: str,
    thickness_mm: float | None = None,
) -> tuple[Geometry, Int64[np.ndarray, " frames"]]:
    """Returns the regular grid of parallel DICOM frames, some of which may not be stored.

    Args:
      positions_mm: (frames, 3) position of each frame's first pixel; repeats are allowed.
      orientation: (2, 3) direction cosines of a row and of a column.
      size: number of columns and of rows.
      pixel_spacing_mm: distance between rows, and between columns (DICOM's order).
      slice_spacings_mm: distances between slices that the file states, best first; if none fits the positions, the
        thickness, otherwise the smallest distance between frames or a half, third or quarter of it is used.
      where: the file, for error messages.
      thickness_mm: thickness of a slice that the file states, None if it states none. It is not used for slices with
        gaps: frames at equal distances of several thicknesses.

    Returns:
      The geometry, k ascending along row x column; and for each frame its k.

    Raises:
      GeometryError: cosines not orthonormal, spacing not positive, or frames not evenly spaced.
    """
    row, column = orientation
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=1e-3):
        raise GeometryError(f"{where}: direction cosines {orientation.tolist()} are not orthonormal")
    if not (np.isfinite(pixel_spacing_mm).all() and min(pixel_spacing_mm) > 0):
        raise GeometryError(f"{where}: pixel spacing {pixel_spacing_mm} mm; expected two positive numbers")
    if not (np.abs(positions_mm) < 1e5).all():
        raise GeometryError(f"{where}: a frame's position is not valid in mm; export the file again")
    normal = np.cross(row, column)
    depth = positions_mm @ normal
    gaps = np.diff(np.sort(depth))
    step = _step(gaps[gaps > _SAME_SLICE_MM], slice_spacings_mm, thickness_mm, where)
    # Counted from frame to frame, so that a rounded spacing does not add up over the gaps.
    order = np.argsort(depth, kind="stable")
    k = np.empty(len(depth), np.int64)
    k[order] = np.concatenate([[0], np.cumsum(np.rint(np.diff(depth[order]) / step).astype(np.int64))])
    if k.max() >= _MAX_SLICES:
        raise GeometryError(f"{where}: frames span {k.max() + 1} slices of {step:g} mm; a position is wrong")
    origin, slice_step = _line(positions_mm, k, normal * step)
    error = np.linalg.norm(origin + k[:, None] * slice_step - positions_mm, axis=1).max()
    if error > _TOLERANCE * step:
        raise GeometryError(
            f"{where}: frames are up to {error:.2f} mm off a regular grid of {step:g} mm slices; "
            "export the segmentation on an evenly spaced image"
        )
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * pixel_spacing_mm[1], column * pixel_spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = slice_step, origin
    return Geometry.from_affine((*size, int(k.max()) + 1), affine), k


def _step(gaps: NDArray[np.float64], stated: Sequence[float], thickness_mm: float | None, where: str) -> float:
    """The distance between slices of which every distance between frames is a whole multiple."""
    thickness: tuple[float, ...] = () if thickness_mm is None or _has_gaps(gaps, thickness_mm) else (thickness_mm,)
    usable: list[float] = [step for step in (*stated, *thickness) if np.isfinite(step) and step > 0]
    if gaps.size == 0:
        if not usable:
            raise GeometryError(f"{where}: one frame and no slice spacing or thickness, so no voxel size")
        return usable[0]
    smallest = float(gaps.min())
    for step in (*usable, *(smallest / n for n in (1, 2, 3, 4))):
        multiples = np.rint(gaps / step)
        if multiples.min() >= 1 and np.abs(gaps - multiples * step).max() <= _TOLERANCE * step:
            # The stated spacing is often rounded; the positions are not.
            return float(gaps.sum() / multiples.sum())
    raise GeometryError(
        f"{where}: distances between frames ({smallest:g} to {gaps.max():g} mm) are not multiples of one "
        "slice spacing; export the segmentation on an evenly spaced image"
    )


def _has_gaps(gaps: NDArray[np.float64], thickness_mm: float) -> bool:
    """Whether frames are at multiples of one distance that is repeated and at least two thicknesses."""
    if gaps.size < 2:
        return False
    least = float(gaps.min())
    tolerance = _TOLERANCE * least
    repeated = int((gaps < least + tolerance).sum()) > 1
    even = np.abs(gaps - np.rint(gaps / least) * least).max() <= tolerance
    return repeated and bool(even) and least > (2 - _TOLERANCE) * thickness_mm


def _line(
    positions: NDArray[np.float64], k: NDArray[np.int64], straight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origin and step of the straight line of the frames' positions (a tilted gantry shears the grid)."""
    if k.max() == 0:
        return positions.mean(axis=0), straight
    centred = k - k.mean()
    step = centred @ (positions - positions.mean(axis=0)) / (centred @ centred)
    if np.abs(step - straight).max() < 1e-4 * np.abs(straight).max():
        step = straight
    return positions.mean(axis=0) - k.mean() * step, step
