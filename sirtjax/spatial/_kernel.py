"""Compiled kernels: a fixed number of reference voxels per call, with every geometry as a traced argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Integer, Real, Shaped
from numpy.typing import DTypeLike

from sirtjax.compilation_cache import cached_jit
from sirtjax.ops import FlatGrid, hold, sample_flat_bspline, sample_flat_linear, sample_flat_nearest
from sirtjax.spatial._displacement import DisplacementField
from sirtjax.spatial._source import SourceGrid, to_device
from sirtjax.spatial._transform import Transform, affine_part
from sirtjax.typing import Array
from sirtjax.volume import Geometry

Triple = tuple[Float[Array, "*points"], Float[Array, "*points"], Float[Array, "*points"]]

# Reference voxels per call: large enough to hide the call, small enough that the last one wastes little.
POINT_CHUNK = 2**18
MEAN_CHUNK = 2**15
# A lesion reaches so few voxels that a whole chunk would be waste.
SMALL_CHUNK = 2**12


class Path(NamedTuple):
    """The map from a voxel of the reference to a voxel of the floating image.

    Attributes:
      floating_from_reference: (4, 4) map from voxels to voxels, without the displacement.
      field: (capacity, 3) displacements in mm, or None for an affine transform.
      field_from_reference: (4, 4) map from reference voxels to field voxels.
      field_from_world: (3, 3) map from mm in the world to field voxels.
      floating_from_displacement: (3, 3) map from mm in the world to floating voxels.
      reference_shape: (3,) int32 voxels of the reference grid.
    """

    floating_from_reference: Float[Array, "4 4"]
    field: FlatGrid | None
    field_from_reference: Float[Array, "4 4"]
    field_from_world: Float[Array, "3 3"]
    floating_from_displacement: Float[Array, "3 3"]
    reference_shape: Integer[Array, "3"] | None


def plan_path(source: SourceGrid, reference: Geometry, transform: Transform, field: FlatGrid | None) -> Path:
    """Returns the matrices between the voxels of reference, field and source, multiplied in float64."""
    field_from_world = np.eye(4)
    if isinstance(transform, DisplacementField):
        field_from_world = transform.geometry.voxel_from_world
    # A (x + u) = A x + A u: maps after the displacement act on both terms.
    source_from_displaced = source.voxel_from_world @ affine_part(transform)
    return Path(
        (source_from_displaced @ reference.affine).astype(np.float32),
        field,
        (field_from_world @ reference.affine).astype(np.float32),
        field_from_world[:3, :3].astype(np.float32),
        source_from_displaced[:3, :3].astype(np.float32),
        np.asarray(reference.shape, np.int32),
    )


def field_on_device(transform: Transform) -> FlatGrid | None:
    """Returns the displacements in a buffer of standard capacity; None for an affine transform."""
    if not isinstance(transform, DisplacementField):
        return None
    array = np.asarray(transform.array, np.float32)
    shape = np.asarray(transform.geometry.shape)
    return to_device(array, low=np.full(3, -0.5), high=shape - 0.5)


def run_chunks(
    call: Callable[[np.int32], Shaped[Array, "..."]],
    count: int,
    chunk: int,
    dtype: DTypeLike,
    *,
    channels: int | None = None,
) -> Shaped[np.ndarray, "..."]:
    """Runs a kernel on chunks of `chunk` voxels and gathers the results on the host."""
    result = np.empty(count if channels is None else (count, channels), dtype)
    pending: list[tuple[int, Array]] = []

    def collect() -> None:
        start, values = pending.pop(0)
        stop = min(start + chunk, count)
        result[start:stop] = np.asarray(values)[: stop - start]

    for start in range(0, count, chunk):
        pending.append((start, call(np.int32(start))))
        if len(pending) > 2:
            collect()
    while pending:
        collect()
    return result


@partial(cached_jit, static_argnames=("order", "chunk"))
def sample_chunk(
    source: FlatGrid,
    path: Path,
    start: Integer[Array, ""],
    fill: Real[Array, ""],
    *,
    order: str,
    chunk: int = POINT_CHUNK,
) -> Shaped[Array, " chunk"]:
    """Samples the image at the centres of `chunk` reference voxels from the linear index `start`."""
    ijk = floating_index(path, reference_index(path.reference_shape, start, chunk))
    if order == "nearest":
        return sample_flat_nearest(source, ijk, fill=fill)
    if order == "cubic":
        return sample_flat_bspline(source, ijk, fill=fill)
    return sample_flat_linear(source, ijk, fill=fill)


@partial(cached_jit, static_argnames=("conserve", "chunk"))
def mean_chunk(
    source: FlatGrid,
    path: Path,
    start: Integer[Array, ""],
    fill: Real[Array, ""],
    half_width: Float[Array, "3"],
    counts: Integer[Array, "3"],
    *,
    conserve: bool,
    chunk: int = MEAN_CHUNK,
) -> Float[jax.Array, " chunk"]:
    """Averages the image over each of `chunk` reference voxels from the linear index `start`.

    Each voxel is cut into `counts` parts along its axes; each part is looked up once, over a box of
    `half_width` source voxels. With `conserve` it is weighted by the local volume ratio of the displacement, that
    of an affine map left out.
    """
    centre = reference_index(path.reference_shape, start, chunk)
    total = counts[0] * counts[1] * counts[2]

    def add(n: Array, summed: Array) -> Array:
        part = (n // (counts[1] * counts[2]), n // counts[2] % counts[1], n % counts[2])
        i, j, k = (x + ((p.astype(jnp.float32) + 0.5) / c - 0.5) for x, p, c in zip(centre, part, counts, strict=True))
        values = sample_flat_linear(source, floating_index(path, (i, j, k)), fill=fill, half_width=half_width)
        if conserve and path.field is not None:
            values = values * field_volume_ratio(path, path.field, (i, j, k))
        return summed + values

    mean: jax.Array = lax.fori_loop(0, total, add, jnp.zeros(chunk, jnp.float32)) / total.astype(jnp.float32)
    return mean


def reference_index(shape: Integer[Array, "3"] | None, start: Integer[Array, ""], chunk: int) -> Triple:
    """Returns the indices i, j, k, as float32, of `chunk` voxels from the linear index `start`."""
    if shape is None:
        raise ValueError("the path has no reference shape")
    n = start + jnp.arange(chunk, dtype=jnp.int32)
    row = n // shape[2]
    i, j, k = row // shape[1], row % shape[1], n % shape[2]
    return i.astype(jnp.float32), j.astype(jnp.float32), k.astype(jnp.float32)


def apply_matrix(matrix: Float[Array, "4 4"], point: Triple) -> Triple:
    """Applies a (4, 4) matrix to a point in three arrays."""
    i, j, k = (row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3] for row in matrix[:3])
    return i, j, k


def field_volume_ratio(path: Path, field: FlatGrid, reference: Triple) -> Float[jax.Array, "*points"]:
    """Computes det(I + du/dx) of the field at fractional reference indices, at least zero.

    The gradient is the mean over one voxel of the field around the point, that is central differences on its nodes.
    The interval on one side of a node has another volume change than the node.
    """
    place = apply_matrix(path.field_from_reference, reference)
    inside = jnp.ones_like(place[0], bool)
    for axis, x in enumerate(place):
        inside &= (x >= field.low[axis]) & (x < field.high[axis])

    def shifted(step: Array) -> Array:
        x, y, z = (hold(p + step[a], 0.0, field.shape[a] - 1.0) for a, p in enumerate(place))
        return sample_flat_linear(field, (x, y, z), fill=0.0)

    # One after the other: fused into one loop, they took four times as long to run and twice as long to compile.
    half = 0.5 * jnp.eye(3, dtype=place[0].dtype)
    sides = lax.map(shifted, jnp.concatenate([half, -half]))
    # Differences along the field's axes, (points, 3) each, then along the world's.
    slopes = jnp.where(inside[None, ..., None], sides[:3] - sides[3:], 0.0)
    m = path.field_from_world
    columns = [slopes[0] * m[0, b] + slopes[1] * m[1, b] + slopes[2] * m[2, b] for b in range(3)]
    (a, b, c), (d, e, f), (g, h, i) = (
        tuple(columns[col][..., row] + (1.0 if row == col else 0.0) for col in range(3)) for row in range(3)
    )
    return jnp.maximum(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g), 0.0)


def floating_index(path: Path, reference: Triple) -> Triple:
    """Returns the fractional floating voxel indices of fractional reference voxel indices."""
    i, j, k = apply_matrix(path.floating_from_reference, reference)
    if path.field is None:
        return i, j, k
    u = sample_flat_linear(path.field, apply_matrix(path.field_from_reference, reference), fill=0.0)
    m = path.floating_from_displacement
    x, y, z = u[..., 0], u[..., 1], u[..., 2]
    return (
        i + m[0, 0] * x + m[0, 1] * y + m[0, 2] * z,
        j + m[1, 0] * x + m[1, 1] * y + m[1, 2] * z,
        k + m[2, 0] * x + m[2, 1] * y + m[2, 2] * z,
    )
