from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from scipy import sparse

from sirtjax.errors import GeometryError
from sirtjax.volume import Geometry

FloatArray = NDArray[np.float32]
# Largest deviation of any grid point, in voxels, at which the axes count as the same.
TOLERANCE_VOXELS = 0.02
# Number of planes of the result that are computed at a time.
SLAB = 16


class AlignedSampling(NamedTuple):
    """The sampling of an image on a grid with the image's own axes, swapped or flipped: axis by axis.

    Attributes:
      order: the image's axis that runs along each axis of the grid.
      weights: sparse matrix (voxels of the grid, voxels of the image) for each axis of the grid.
      inside: whether each voxel along an axis of the grid is inside the image, for each axis.
    """

    order: tuple[int, int, int]
    weights: tuple[sparse.csr_array, sparse.csr_array, sparse.csr_array]
    inside: tuple[Bool[np.ndarray, " i"], Bool[np.ndarray, " j"], Bool[np.ndarray, " k"]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the grid."""
        i, j, k = (len(one) for one in self.inside)
        return i, j, k


def are_aligned(floating: Geometry, reference: Geometry) -> bool:
    """Returns whether the axes of two grids are equal up to swaps and flips; both can be oblique."""
    return _axes(floating, reference) is not None


def aligned_sampling(floating: Geometry, reference: Geometry, *, antialias: bool = False) -> AlignedSampling:
    """Returns the weights with which `sample_aligned` samples `floating` at the voxels of `reference`.

    Each voxel is the linearly interpolated image at its centre, as in `resample`; with `antialias` its mean along each
    axis over the voxel, where that is longer than the image's. In the outer half voxel of the image its edge is held.

    Raises:
      GeometryError: the grids are rotated against each other.
    """
    order = _axes(floating, reference)
    if order is None:
        raise GeometryError(f"grids rotated against each other cannot be sampled axis by axis: {floating}; {reference}")
    matrix = floating.voxel_from_world @ reference.affine
    middle = (np.asarray(reference.shape) - 1) / 2
    weights, inside = [], []
    for axis, own in enumerate(order):
        step = matrix[own, axis]
        centre = matrix[own, :3] @ middle + matrix[own, 3]
        place = centre + step * (np.arange(reference.shape[axis]) - middle[axis])
        count = floating.shape[own]
        inside.append((place >= -0.5 - TOLERANCE_VOXELS) & (place < count - 0.5 + TOLERANCE_VOXELS))
        weights.append(sparse.csr_array(_weights(place, abs(step) if antialias else 0.0, count)))
    return AlignedSampling(order, (weights[0], weights[1], weights[2]), (inside[0], inside[1], inside[2]))


def sample_aligned(
    array: Shaped[np.ndarray, "i j k"], sampling: AlignedSampling, *, fill: float = 0.0
) -> Float[np.ndarray, "a b c"]:
    """Samples an image on the whole grid, `fill` outside. On the host, without compilation.

    Args:
      array: (i, j, k) values.
      sampling: result of `aligned_sampling`.
      fill: value outside the image.
    """
    result = np.empty(sampling.shape, np.float32)
    for slab in slabs(sampling.shape[0]):
        result[slab] = sample_slab(array, sampling, slab, fill=fill)
    return result


def slabs(count: int) -> Iterator[slice]:
    """Yields the planes of a grid in groups."""
    return (slice(start, min(start + SLAB, count)) for start in range(0, count, SLAB))


def sample_slab(
    array: Shaped[np.ndarray, "i j k"], sampling: AlignedSampling, slab: slice, *, fill: float = 0.0
) -> Float[np.ndarray, "a b c"]:
    """Samples the planes `slab` along the grid's first axis, as `sample_aligned` does.

    Args:
      array: (i, j, k) values.
      sampling: result of `aligned_sampling`.
      slab: planes along the first axis.
      fill: value outside the image.
    """
    source = array.transpose(sampling.order)
    first, second, third = sampling.weights
    rows = first[slab]
    # Of the image only the planes that count are touched.
    low, high = (int(rows.indices.min()), int(rows.indices.max()) + 1) if rows.nnz else (0, 1)
    part = np.ascontiguousarray(source[low:high], np.float32)
    values: FloatArray = (rows[:, low:high] @ part.reshape(high - low, -1)).reshape(-1, *part.shape[1:])
    # Sparse products run on one thread and along memory; the axis that grows comes last, while there is little to turn.
    if second.shape[0] > second.shape[1]:
        values = _along_second(_along_third(values, third), second)
    else:
        values = _along_third(_along_second(values, second), third)
    for axis, within in enumerate((sampling.inside[0][slab], *sampling.inside[1:])):
        if not within.all():
            values[(slice(None),) * axis + (~within,)] = fill
    return values


def _along_second(values: FloatArray, weights: sparse.csr_array) -> FloatArray:
    return np.stack([weights @ plane for plane in values])


def _along_third(values: FloatArray, weights: sparse.csr_array) -> FloatArray:
    return np.stack([np.ascontiguousarray((weights @ np.ascontiguousarray(plane.T)).T) for plane in values])


def _axes(floating: Geometry, reference: Geometry) -> tuple[int, int, int] | None:
    steps = (floating.voxel_from_world @ reference.affine)[:3, :3]
    order = [int(axis) for axis in np.abs(steps).argmax(axis=0)]
    if sorted(order) != [0, 1, 2]:
        return None
    across = np.abs(steps)
    across[order, range(3)] = 0
    # How far the corners of the grid are from where they would be.
    if (across @ (np.asarray(reference.shape) - 1) / 2).max() > TOLERANCE_VOXELS:
        return None
    return order[0], order[1], order[2]


def _weights(place: NDArray[np.float64], width: float, count: int) -> FloatArray:
    """Rows of the linear interpolation at each place, or of its mean over `width` voxels around it."""
    voxels = np.arange(count)
    if width <= 1:
        held = np.clip(place, 0, count - 1)
        return np.asarray(np.maximum(1 - np.abs(held[:, None] - voxels), 0), np.float32)
    low, high = (np.clip(place + side * width / 2, -0.5, count - 0.5) for side in (-1, 1))
    length = np.maximum(high - low, 1e-6)
    total = _hat_integral(high[:, None] - voxels) - _hat_integral(low[:, None] - voxels)
    # Beyond the outermost centres the value of the edge voxel applies, which gets the weight that the hats lack there.
    total[:, 0] += np.maximum(np.minimum(high, 0) - low, 0) - (
        _hat_integral(np.minimum(high, 0)) - _hat_integral(np.minimum(low, 0))
    )
    last = count - 1
    total[:, last] += np.maximum(high - np.maximum(low, last), 0) - (
        _hat_integral(np.maximum(high, last) - last) - _hat_integral(np.maximum(low, last) - last)
    )
    return np.asarray(total / length[:, None], np.float32)


def _hat_integral(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral from minus infinity to x of 1 - |t|, where that is positive."""
    t = np.clip(x, -1, 1)
    found: NDArray[np.float64] = np.where(t < 0, (t + 1) ** 2 / 2, 1 - (1 - t) ** 2 / 2)
    return found
