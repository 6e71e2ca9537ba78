"""The displacements of a transform on the voxels of a grid, one slice at a time, because all of them take gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.spatial import DisplacementField, Transform, affine_part
from sirtjax.volume import Geometry

Float = NDArray[np.float64]


def displacement_slices(transform: Transform, geometry: Geometry) -> Iterator[Float32[np.ndarray, "i j"]]:
    """Yields the displacements A (x + u(x)) - x at the voxels of a grid in the voxel order of NIfTI.

    Args:
      transform: pull, LPS mm.
      geometry: the grid.

    Yields:
      (i, j) displacements in mm: of component L for each k, then of P, then of S.
    """
    matrix = affine_part(transform)
    world = geometry.affine
    change = (matrix - np.eye(4)) @ world
    i, j = np.arange(geometry.shape[0])[:, None], np.arange(geometry.shape[1])[None, :]
    field = transform if isinstance(transform, DisplacementField) else None
    values = None if field is None else np.asarray(field.array, np.float64) @ matrix[:3, :3].T
    for component in range(3):
        bent = None if field is None or values is None else _sampler(values[..., component], field.geometry, geometry)
        row = change[component]
        for k in range(geometry.shape[2]):
            plane = (row[0] * i).astype(np.float32) + (row[1] * j + (row[2] * k + row[3])).astype(np.float32)
            yield plane if bent is None else plane + bent(k)


def covering_lattice(transform: Transform, geometry: Geometry) -> Geometry:
    """Returns the smallest grid that covers an image and on which the whole displacement is exact.

    That is the grid of the transform's own displacement field, continued with its spacing until it covers the
    image. Between its nodes, linear interpolation of the whole displacement equals the transform, because the
    field is interpolated linearly there too. An affine transform needs the corners only.

    Args:
      transform: pull, LPS mm.
      geometry: the grid of the reference image.
    """
    if not isinstance(transform, DisplacementField):
        sizes = np.maximum(np.asarray(geometry.shape, float), 1)
        corners = geometry.affine @ np.diag([*sizes, 1.0])
        corners[:3, 3] = geometry.to_world([-0.5] * 3)
        return Geometry.from_affine((2, 2, 2), corners)
    own = transform.geometry
    reached = own.to_voxel(geometry.corners_mm())
    low = np.minimum(np.floor(reached.min(axis=0) + 1e-6), -1).astype(int)
    high = np.maximum(np.ceil(reached.max(axis=0) - 1e-6), own.shape).astype(int)
    affine = own.affine.copy()
    affine[:3, 3] = own.to_world(low.astype(float))
    return Geometry.from_affine((high - low + 1).tolist(), affine)


def _sampler(values: Float, own: Geometry, geometry: Geometry) -> Any:
    """A function of k that samples the values of a field linearly on a slice of the grid, 0 beyond the field."""
    step = own.voxel_from_world @ geometry.affine
    if np.abs(step[:3, :3] - np.diag(np.diag(step[:3, :3]))).max() * max(geometry.shape) < 1e-6:
        # Parallel axes: interpolation is a product with one matrix per axis.
        along = [
            _weights(step[axis, axis] * np.arange(geometry.shape[axis]) + step[axis, 3], own.shape[axis])
            for axis in range(3)
        ]

        # One product for all slices: those between the same nodes share it.
        planes = np.ascontiguousarray((along[0] @ np.moveaxis(values, 2, 0) @ along[1].T).astype(np.float32))

        def product(k: int) -> NDArray[np.float32]:
            # Not a matrix product: two planes at most take part, and its threads take more time than the sum.
            total = np.zeros(planes.shape[1:], np.float32)
            for node in np.flatnonzero(along[2][k]):
                total += np.float32(along[2][k][node]) * planes[node]
            return total

        return product
    i, j = np.arange(geometry.shape[0])[:, None], np.arange(geometry.shape[1])[None, :]
    ends = np.asarray(own.shape) - 0.5

    def gathered(k: int) -> NDArray[np.float32]:
        index = np.stack([row[0] * i + row[1] * j + (row[2] * k + row[3]) for row in step[:3]])
        inside = ((index >= -0.5) & (index < ends[:, None, None])).all(axis=0)
        found = ndimage.map_coordinates(values, index, order=1, mode="nearest")
        return np.where(inside, found, 0.0).astype(np.float32)

    return gathered


def _weights(index: Float, count: int) -> Float:
    """Weights of linear interpolation between `count` nodes at fractional indices; rows of 0 beyond the nodes."""
    held = np.clip(index, 0, count - 1)
    base = np.minimum(held.astype(int), max(count - 2, 0))
    weights = np.zeros((len(index), count))
    rows = np.arange(len(index))
    weights[rows, np.minimum(base + 1, count - 1)] = held - base
    weights[rows, base] += 1 - (held - base)
    weights[(index < -0.5) | (index >= count - 0.5)] = 0
    return weights
