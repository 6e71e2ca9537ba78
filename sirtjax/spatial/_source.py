"""Getting an image of any size into the fixed-size arrays that the compiled kernels take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, Shaped

from sirtjax.errors import GeometryError
from sirtjax.ops import FlatGrid
from sirtjax.spatial._displacement import DisplacementField
from sirtjax.spatial._transform import Transform
from sirtjax.typing import Vector
from sirtjax.volume import Geometry

# One compilation per rung, so few of them: SPECT, MR and dose grids; a CT; a large CT; the limit of int32.
CAPACITIES = (2**23, 2**26, 2**29, 2**31 - 64)

# Pages of the buffers that are never written are never touched: an unused rest only uses address space.
_ALIGNMENT = 64


@dataclass(frozen=True, kw_only=True)
class SourceGrid:
    """The part of an image that a reference grid can reach, ready for the kernels.

    Attributes:
      grid: the values on the device, flattened into a buffer of one of `CAPACITIES`.
      voxel_from_world: (4, 4) map from the world to the indices of that part.
    """

    grid: FlatGrid
    voxel_from_world: Float[np.ndarray, "4 4"]


def to_device(array: Shaped[np.ndarray, "i j k *channels"], *, low: Vector, high: Vector) -> FlatGrid:
    """Copies a flat grid to the device in a buffer of standard capacity.

    Raises:
      GeometryError: the image has more voxels than a 32-bit index can address.
    """
    count = int(np.prod(array.shape[:3]))
    capacity = next((size for size in CAPACITIES if size >= count), None)
    if capacity is None:
        raise GeometryError(f"an image of {count} voxels is too large to resample; crop it first")
    channels = array.shape[3:]
    item = array.dtype.itemsize
    size = capacity * int(np.prod(channels, dtype=int))
    # XLA takes a host buffer without a copy when it is aligned.
    raw = np.zeros(size + _ALIGNMENT // item, array.dtype)
    skip = -raw.ctypes.data % _ALIGNMENT // item
    buffer = raw[skip : skip + size].reshape(capacity, *channels)
    buffer[:count].reshape(array.shape)[...] = array
    shape = np.asarray(array.shape[:3], np.int32)
    return FlatGrid(jax.device_put(buffer), shape, np.asarray(low, np.float32), np.asarray(high, np.float32))


def displacement_bounds_mm(field: DisplacementField) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Returns the smallest and largest displacement per world axis, including zero, (3,) each."""
    array = np.asarray(field.array)
    # Whole slices against each other first: numpy is slow over an axis of three.
    slices = array.reshape(len(array), -1)
    low, high = (one.reshape(-1, 3) for one in (slices.min(axis=0), slices.max(axis=0)))
    low, high = low.min(axis=0), high.max(axis=0)
    return np.minimum(low, 0.0).astype(np.float64), np.maximum(high, 0.0).astype(np.float64)


def reached_box(
    voxel_from_reference: Float[np.ndarray, "4 4"], reference: Geometry, transform: Transform
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Returns the range of floating indices that any point of the reference voxels can reach.

    Args:
      voxel_from_reference: (4, 4) map from the reference's world to voxels of the floating grid, without the
        displacement.
      reference: the grid of the result.
      transform: pull transform; a field widens the box by its largest displacements.
    """
    corners = reference.corners_mm() @ voxel_from_reference[:3, :3].T + voxel_from_reference[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    if isinstance(transform, DisplacementField):
        ends = np.stack(displacement_bounds_mm(transform))[:, None, :] * voxel_from_reference[None, :3, :3]
        low = low + ends.min(axis=0).sum(axis=1)
        high = high + ends.max(axis=0).sum(axis=1)
    return low, high


def crop_to_box(
    geometry: Geometry, low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], *, margin: int
) -> tuple[slice, slice, slice] | None:
    """Returns the slices of the grid around a box of fractional indices; None if they do not overlap."""
    shape = np.asarray(geometry.shape)
    start = np.clip(np.floor(low) - margin, 0, shape).astype(int)
    stop = np.clip(np.ceil(high) + margin + 1, 0, shape).astype(int)
    if (stop <= start).any() or (low > shape - 0.5).any() or (high < -0.5).any():
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return i, j, k


def shifted(voxel_from_world: Float[np.ndarray, "4 4"], start: Vector, factors: Vector) -> Float[np.ndarray, "4 4"]:
    """Returns the index map of a grid cropped at `start` and averaged over blocks of `factors` voxels."""
    blocks = np.asarray(factors, np.float64)
    result = voxel_from_world.copy()
    result[:3, 3] -= np.asarray(start, np.float64) + (blocks - 1) / 2
    result[:3] /= blocks[:, None]
    return result


def block_mean(
    array: Shaped[np.ndarray, "i j k"], factors: tuple[int, int, int], *, mode: Literal["constant", "edge"]
) -> Float[np.ndarray, "a b c"]:
    """Means over blocks of voxels; a last incomplete block is padded (`mode` as in `numpy.pad`)."""
    result = np.asarray(array)
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        length = result.shape[axis]
        missing = -length % factor
        if missing:
            padding = [(0, missing if a == axis else 0) for a in range(3)]
            result = np.pad(result, padding, mode=mode)
        # Strided sums are several times faster than a mean over a split axis.
        parts = [result[(slice(None),) * axis + (slice(n, None, factor),)] for n in range(factor)]
        total = parts[0].astype(np.float32)
        for part in parts[1:]:
            total += part
        result = total * np.float32(1 / factor)
    return result.astype(np.float32, copy=False)
