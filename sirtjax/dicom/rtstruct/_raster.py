from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from sirtjax.dicom.rtstruct._between import Between, between
from sirtjax.dicom.rtstruct._fill import fill_plane
from sirtjax.errors import InputError
from sirtjax.volume import Geometry

# Contours closer than this along their normal are in the same plane.
_SAME_PLANE_MM = 0.1
# Planes further apart than this many times the ROI's usual distance are ends of separate components: one
# missing contour is bridged, two are not.
_WIDEST_GAP = 2.5
# A slice this close to a contour plane, as a fraction of the gap, uses that plane's contours unchanged.
_ON_PLANE = 0.05
# Contours that stay within this many voxels of one slice are parallel to the slices.
_PARALLEL_VOXELS = 0.1


@dataclass(frozen=True)
class _Stretch:
    """Positions start <= s < stop along the normal, between planes near and far (equal: one plane)."""

    start: float
    stop: float
    near: int
    far: int


def rasterise(
    contours: Sequence[Float64[np.ndarray, "_ 3"]], geometry: Geometry, *, exclusive_or: bool, name: str
) -> Bool[np.ndarray, "i j k"]:
    """Returns the voxels whose centre is inside an ROI of parallel planar contours, (i, j, k).

    Contour planes need not be the grid's slices, nor parallel to them. Between planes the shape is
    interpolated (see `Between`), across gaps of up to 2.5 times the ROI's median plane distance; at the ends
    and at wider gaps the last contour extends by half that distance (for an ROI of one plane: half a voxel).

    Args:
      contours: (n, 3) points of each closed contour, LPS mm.
      geometry: the grid to fill.
      exclusive_or: whether contours of one plane are combined by XOR, see `fill_plane`.
      name: the ROI, for error messages.

    Raises:
      InputError: the contours are not in parallel planes.
    """
    voxels = [geometry.to_voxel(points) for points in contours]
    for axis in range(3):
        if max(np.ptp(points[:, axis]) for points in voxels) <= _PARALLEL_VOXELS:
            return _fill_slices(voxels, geometry, axis=axis, exclusive_or=exclusive_or)
    return _fill_oblique(contours, geometry, exclusive_or=exclusive_or, name=name)


def _fill_slices(
    voxels: Sequence[NDArray[np.float64]], geometry: Geometry, *, axis: int, exclusive_or: bool
) -> NDArray[np.bool_]:
    """Fill contours that are parallel to the slices across one axis of the grid."""
    plane_axes = [a for a in range(3) if a != axis]
    spacing = np.asarray(geometry.spacing_mm)
    result = np.zeros(geometry.shape, bool)
    slices = np.moveaxis(result, axis, 0)
    everything = np.concatenate(voxels)[:, plane_axes]
    size = np.asarray(slices.shape[1:])
    low = np.clip(np.floor(everything.min(axis=0)) - 1, 0, size).astype(int)
    high = np.clip(np.ceil(everything.max(axis=0)) + 2, 0, size).astype(int)
    if (high <= low).any():
        return result
    positions, groups = _planes(np.array([points[:, axis].mean() for points in voxels]) * spacing[axis])
    polygons = [[voxels[index][:, plane_axes] - low for index in group] for group in groups]
    shape = (int(high[0] - low[0]), int(high[1] - low[1]))
    # Distances are measured on pixels of half the size: on whole ones shapes between are off by a third.
    in_plane = (float(spacing[plane_axes[0]]) / 2, float(spacing[plane_axes[1]]) / 2)
    fine = (2 * shape[0] - 1, 2 * shape[1] - 1)
    plane = _plane_filler(polygons, shape, exclusive_or=exclusive_or)
    fine_polygons = [[2 * polygon for polygon in group] for group in polygons]
    pair = _pair_filler(_plane_filler(fine_polygons, fine, exclusive_or=exclusive_or), in_plane)
    window = slices[:, low[0] : high[0], low[1] : high[1]]
    for stretch in _stretches(positions, float(spacing[axis])):
        first = max(int(np.ceil(stretch.start / spacing[axis])), 0)
        after = min(int(np.ceil(stretch.stop / spacing[axis])), len(window))
        for k in range(first, after):
            fraction = _fraction(k * spacing[axis], stretch, positions)
            if fraction <= _ON_PLANE:
                window[k] = plane(stretch.near)
            elif fraction >= 1 - _ON_PLANE:
                window[k] = plane(stretch.far)
            else:
                window[k] = pair(stretch.near, stretch.far).at(float(fraction))[::2, ::2]
    return result


def _fill_oblique(
    contours: Sequence[NDArray[np.float64]], geometry: Geometry, *, exclusive_or: bool, name: str
) -> NDArray[np.bool_]:
    """Fill contours oblique to the grid: on pixels of half a voxel in their own planes, then sampled."""
    result = np.zeros(geometry.shape, bool)
    frame = _plane_frame(contours)
    if frame is None:
        return result
    local = [points @ frame for points in contours]
    pixel = min(geometry.spacing_mm) / 2
    spread = max(np.ptp(points[:, 2]) for points in local)
    if spread > 2 * pixel:
        raise InputError(
            f"ROI {name!r}: its contours are not in parallel planes (they leave them by {spread:.1f} mm); "
            "contour it in one orientation or omit this ROI"
        )
    positions, groups = _planes(np.array([points[:, 2].mean() for points in local]))
    stretches = _stretches(positions, float(np.abs(geometry.affine[:3, :3].T @ frame[:, 2]).max()))
    low = np.clip(np.concatenate(local).min(axis=0), *_reach(geometry, frame))[:2] - 2 * pixel
    high = np.clip(np.concatenate(local).max(axis=0), *_reach(geometry, frame))[:2] + 2 * pixel
    shape = (int(np.ceil((high[0] - low[0]) / pixel)) + 1, int(np.ceil((high[1] - low[1]) / pixel)) + 1)
    polygons = [[(local[n][:, :2] - low) / pixel for n in group] for group in groups]
    pair = _pair_filler(_plane_filler(polygons, shape, exclusive_or=exclusive_or), (pixel, pixel))
    margin_mm = stretches[-1].stop - float(positions[-1])
    corner, window = _window_near(contours, geometry, result, margin_mm=margin_mm)
    depth = _depth(corner, window.shape, geometry, frame[:, 2]).ravel()
    order = np.argsort(depth)
    for stretch in stretches:
        bounds = np.searchsorted(depth, [stretch.start, stretch.stop], sorter=order)
        chosen = order[bounds[0] : bounds[1]]
        if chosen.size == 0:
            continue
        voxel = np.unravel_index(chosen, window.shape)
        world = geometry.to_world(np.stack(voxel, axis=-1) + corner)
        pixels = ((world @ frame[:, :2] - low) / pixel).T
        fraction = _fraction(depth[chosen], stretch, positions)
        window[voxel] = pair(stretch.near, stretch.far).at_points(pixels, fraction)
    return result


def _planes(position_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Contours grouped by plane: ascending positions of the planes and the contours in each."""
    order = np.argsort(position_mm, kind="stable")
    breaks = np.flatnonzero(np.diff(position_mm[order]) > _SAME_PLANE_MM) + 1
    groups = np.split(order, breaks)
    return np.array([position_mm[group].mean() for group in groups]), groups


def _stretches(positions: NDArray[np.float64], lone_mm: float) -> list[_Stretch]:
    """The ROI's extent along the normal, cut at its planes; `lone_mm` is the thickness of a single plane."""
    gaps = np.diff(positions)
    usual = float(np.median(gaps)) if gaps.size else lone_mm
    # The ends belong to the low side, with room for rounding, so that slices halfway give the right volume.
    half, slack = usual / 2, usual * 1e-4
    stretches = [_Stretch(float(positions[0]) - half - slack, float(positions[0]), 0, 0)]
    for n, gap in enumerate(gaps):
        here, there = float(positions[n]), float(positions[n + 1])
        if gap <= _WIDEST_GAP * usual:
            stretches.append(_Stretch(here, there, n, n + 1))
        else:
            stretches.append(_Stretch(here, here + half - slack, n, n))
            stretches.append(_Stretch(there - half - slack, there, n + 1, n + 1))
    last = len(positions) - 1
    stretches.append(_Stretch(float(positions[last]), float(positions[last]) + half - slack, last, last))
    return stretches


def _fraction(position: NDArray[np.float64], stretch: _Stretch, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fraction of the way from the near to the far plane; 0 if both are one plane."""
    if stretch.near == stretch.far:
        return np.zeros_like(position)
    start, stop = positions[stretch.near], positions[stretch.far]
    return np.asarray((position - start) / (stop - start))


def _plane_filler(
    polygons: list[list[NDArray[np.float64]]], shape: tuple[int, int], *, exclusive_or: bool
) -> Callable[[int], NDArray[np.bool_]]:
    """A function that fills the plane of a number, remembering the last two."""

    @lru_cache(maxsize=2)
    def plane(number: int) -> NDArray[np.bool_]:
        return fill_plane(polygons[number], shape, exclusive_or=exclusive_or)

    return plane


def _pair_filler(
    plane: Callable[[int], NDArray[np.bool_]], spacing_mm: tuple[float, float]
) -> Callable[[int, int], Between]:
    """A function that prepares the shapes between the planes of two numbers, remembering the last."""

    @lru_cache(maxsize=1)
    def pair(near: int, far: int) -> Between:
        return between(plane(near), plane(far), spacing_mm)

    return pair


def _plane_frame(contours: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Columns u, v, n: a right-handed frame, n the contours' normal; None if they enclose nothing."""
    normal = np.zeros(3)
    for points in contours:
        local = points - points.mean(axis=0)
        turn = np.cross(local, np.roll(local, -1, axis=0)).sum(axis=0)
        normal += turn if turn @ normal >= 0 else -turn
    length = np.linalg.norm(normal)
    if length < 1e-9:
        return None
    normal /= length
    u = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(normal, u), normal], axis=1)


def _reach(geometry: Geometry, frame: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = geometry.corners_mm() @ frame
    return corners.min(axis=0), corners.max(axis=0)


def _window_near(
    contours: Sequence[NDArray[np.float64]],
    geometry: Geometry,
    voxels: NDArray[np.bool_],
    *,
    margin_mm: float,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The box of voxels around the contours, as a view, and the indices of its first corner."""
    points = geometry.to_voxel(np.concatenate(contours))
    margin = margin_mm * np.linalg.norm(geometry.voxel_from_world[:3, :3], axis=1) + 1
    size = np.asarray(geometry.shape)
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, size).astype(np.int64)
    high = np.clip(np.ceil(points.max(axis=0) + margin) + 1, 0, size).astype(np.int64)
    return low, voxels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]


def _depth(
    corner: NDArray[np.int64], shape: tuple[int, ...], geometry: Geometry, normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Position along a normal of the voxel centres of a box, (i, j, k) in mm."""
    i, j, k = (
        (np.arange(n) + first) * step
        for n, first, step in zip(shape, corner, geometry.affine[:3, :3].T @ normal, strict=True)
    )
    offset = float(geometry.affine[:3, 3] @ normal)
    return np.asarray(i[:, None, None] + j[None, :, None] + k[None, None, :] + offset)
