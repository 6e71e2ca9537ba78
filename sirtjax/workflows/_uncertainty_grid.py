"""The grid of the simulated measurements: a box of fixed shape around the liver, and what it holds of a case."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Array = NDArray[np.float32]

# One shape for all patients, so that a second one compiles nothing. At 4 mm it holds small livers; larger ones get
# larger voxels.
ENGINE_SHAPE = (60, 48, 56)
FINEST_MM = 4.0
# Few spacings, so that few numbers of lattice nodes occur.
STEP_MM = 0.25
# Signed distances come from voxels of half the size.
PARTS = 2
# Up to this many voxels from a surface its distance is that of its tangent planes, beyond it that of its points.
TANGENT_VOXELS = 1.5
NEIGHBOURS = 4
# Half width of the band around a surface in which distances are more accurate than the voxels, in voxels.
BAND_VOXELS = 5
# A structure that is nowhere, or everywhere: far beyond every displacement.
FAR_MM = 1000.0


@dataclass(frozen=True, eq=False)
class EngineGrid:
    """A box along the axes of the dose grid.

    Attributes:
      spacing_mm: voxel size, the same along each axis.
      first: (3,) position of its first face on the dose grid, in voxels of the dose grid from its first face.
      dose_spacing_mm: (3,) voxel spacing of the dose grid.
      dose_shape: shape of the dose grid.
    """

    spacing_mm: float
    first: Float64[np.ndarray, "3"]
    dose_spacing_mm: Float64[np.ndarray, "3"]
    dose_shape: tuple[int, int, int]

    def means(self, values: Float32[np.ndarray, "i j k"], *, parts: int = 1) -> Float32[np.ndarray, "a b c"]:
        """Returns the means of an array on the dose grid over the voxels of this grid.

        Beyond the dose grid the values at its faces continue.

        Args:
          values: (i, j, k) values on the dose grid.
          parts: divisions of each voxel along each axis.
        """
        found = values
        for axis in range(3):
            weights = self._weights(axis, parts)
            found = np.moveaxis(np.tensordot(weights, found, axes=(1, axis)), 0, axis)
        return np.ascontiguousarray(found, np.float32)

    def _weights(self, axis: int, parts: int) -> Float32[np.ndarray, "n m"]:
        """Overlap of each voxel of this grid with each voxel of the dose grid, as a fraction of the first."""
        size, count = self.dose_shape[axis], ENGINE_SHAPE[axis] * parts
        step = self.spacing_mm / parts / float(self.dose_spacing_mm[axis])
        edges = self.first[axis] + step * np.arange(count + 1)
        lower, upper = edges[:-1, None], edges[1:, None]
        voxel = np.arange(size)[None]
        # The first and the last voxel of the dose grid continue to infinity.
        left = np.where(voxel == 0, -np.inf, voxel)
        right = np.where(voxel == size - 1, np.inf, voxel + 1)
        overlap = np.maximum(np.minimum(upper, right) - np.maximum(lower, left), 0.0) / step
        found: Array = overlap.astype(np.float32)
        return found


def engine_grid(
    inside: Bool[np.ndarray, "i j k"], spacing_mm: Float64[np.ndarray, "3"], *, margin_mm: float
) -> EngineGrid:
    """Returns the box of `ENGINE_SHAPE` voxels that contains the liver with a margin.

    Args:
      inside: (i, j, k) voxels of the dose grid in the liver or a lesion.
      spacing_mm: (3,) voxel spacing of the dose grid.
      margin_mm: distance between liver and faces.
    """
    spacing = np.asarray(spacing_mm, np.float64)
    low, high = np.empty(3), np.empty(3)
    for axis in range(3):
        used = np.flatnonzero(inside.any(axis=tuple(k for k in range(3) if k != axis)))
        low[axis], high[axis] = used[0], used[-1] + 1
    shape = np.asarray(ENGINE_SHAPE)
    extent_mm = (high - low) * spacing + 2.0 * margin_mm
    voxel_mm = float(max(FINEST_MM, STEP_MM * math.ceil((extent_mm / shape).max() / STEP_MM)))
    first = (low + high) / 2.0 - shape * voxel_mm / 2.0 / spacing
    i, j, k = inside.shape
    return EngineGrid(voxel_mm, first, spacing, (i, j, k))


def signed_distance_mm(
    fraction: Float32[np.ndarray, "a b c"], spacing_mm: float, *, volume_ml: float | None = None
) -> Float32[np.ndarray, "i j k"]:
    """Returns the signed distance to the surface of a structure at the voxel centres of the engine grid.

    The surface is where the fraction, linear between the centres of the finer voxels, is one half. Near it the distance
    is that of the tangent planes at the nearest points of the surface.

    Args:
      fraction: (a, b, c) fraction of each voxel of half the size inside the structure.
      spacing_mm: voxel size of the engine grid.
      volume_ml: volume that the structure has; the surface is displaced evenly to it. None keeps the surface.

    Returns:
      (i, j, k) distance, negative inside; `FAR_MM` or its negative without a surface.
    """
    fine_mm = spacing_mm / PARTS
    points, normals = _surface(fraction, fine_mm)
    blocks = fraction.reshape(*(part for n in ENGINE_SHAPE for part in (n, PARTS))).mean(axis=(1, 3, 5))
    inside = blocks > 0.5
    if len(points) == 0:
        return np.full(ENGINE_SHAPE, -FAR_MM if inside.all() else FAR_MM, np.float32)
    # Beyond the band the voxels themselves are near enough to the surface.
    outer = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    inner = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    found = np.where(inside, spacing_mm / 2 - inner, outer - spacing_mm / 2)
    band = np.argwhere(np.abs(found) < BAND_VOXELS * spacing_mm)
    centres = (band + 0.5) * spacing_mm
    count = min(NEIGHBOURS, len(points))
    distance, index = cKDTree(points).query(centres, k=count)
    distance, index = distance.reshape(-1, count), index.reshape(-1, count)
    # Nearer points count more; the offset keeps the weights finite at a point of the surface.
    weight = 1.0 / (distance + 0.1 * fine_mm) ** 2
    plane = ((centres[:, None] - points[index]) * normals[index]).sum(axis=-1)
    tangent = (weight * plane).sum(axis=1) / weight.sum(axis=1)
    at = tuple(band.T)
    point = np.where(inside[at], -1.0, 1.0) * distance[:, 0]
    found[at] = np.where(distance[:, 0] <= TANGENT_VOXELS * spacing_mm, tangent, point)
    if volume_ml is not None:
        found = _with_volume(found, spacing_mm, volume_ml)
    return np.asarray(found, np.float32)


def _surface(fraction: Array, fine_mm: float) -> tuple[Float64[np.ndarray, "p 3"], Float64[np.ndarray, "p 3"]]:
    """Points between voxel centres where the fraction is one half, and the outward normals there."""
    slopes = np.stack([np.asarray(slope) for slope in np.gradient(fraction)], axis=-1)
    points, normals = [], []
    for axis in range(3):
        before = [slice(None)] * 3
        after = [slice(None)] * 3
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        first, last = fraction[tuple(before)], fraction[tuple(after)]
        place = np.argwhere((first > 0.5) != (last > 0.5))
        a, b = first[tuple(place.T)], last[tuple(place.T)]
        part = ((0.5 - a) / (b - a))[:, None]
        second = place.copy()
        second[:, axis] += 1
        normal = (1 - part) * slopes[tuple(place.T)] + part * slopes[tuple(second.T)]
        at = place + 0.5
        at[:, axis] += part[:, 0]
        points.append(at * fine_mm)
        normals.append(-normal)
    all_points, all_normals = np.concatenate(points), np.concatenate(normals).astype(np.float64)
    length = np.linalg.norm(all_normals, axis=1)
    usable = length > 1e-6
    return all_points[usable], all_normals[usable] / length[usable, None]


def _with_volume(distance_mm: Float64[np.ndarray, "i j k"], spacing_mm: float, volume_ml: float) -> Array:
    """The distance after an even displacement that gives the structure its volume."""
    voxel_ml = spacing_mm**3 / 1000.0
    moved = distance_mm
    for _ in range(4):
        volume = _occupied(moved, spacing_mm) * voxel_ml
        area = (_occupied(moved - 0.1, spacing_mm) * voxel_ml - volume) / 0.1
        if area <= 0:
            break
        moved = moved - np.clip((volume_ml - volume) / area, -spacing_mm / 2, spacing_mm / 2)
    return np.asarray(moved, np.float32)


def _occupied(distance_mm: NDArray[np.float64], spacing_mm: float) -> float:
    """Voxels inside, as `uncertainty.regions_of` divides those at the surface."""
    curved = distance_mm + sum(_second_difference(distance_mm, axis) for axis in range(3)) / 24.0
    return float(np.clip(0.5 - curved / spacing_mm, 0.0, 1.0).sum())


def _second_difference(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ndimage.correlate1d(values, [1.0, -2.0, 1.0], axis=axis, mode="nearest")
    return found


def extended_fraction(
    territory: Float32[np.ndarray, "a b c"], liver: Float32[np.ndarray, "a b c"]
) -> Float32[np.ndarray, "a b c"]:
    """Returns the fraction of a territory continued beyond the liver, as in the nearest tissue.

    Args:
      territory: (a, b, c) fraction of each voxel in the territory.
      liver: (a, b, c) fraction of each voxel in the liver.
    """
    within = liver > 0.5
    inside = np.divide(territory, liver, out=np.zeros_like(territory), where=within)
    nearest = ndimage.distance_transform_edt(~within, return_distances=False, return_indices=True)
    found: Array = np.clip(inside[tuple(nearest)], 0.0, 1.0)
    return found
