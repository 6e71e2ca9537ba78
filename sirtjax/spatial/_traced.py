"""Images and masks on another grid as pure functions of arrays: the form that JAX traces, batches and differentiates.

Linear interpolation has a kink at every voxel centre of the image that is sampled. A derivative with respect to
anything that moves the sampled points (displacements, matrices) is one-sided there: JAX returns the one of the interval
above. Use `order="cubic"` where the derivative must be continuous. Derivatives with respect to the voxel values have
no kinks for any order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Real, Shaped

from sirtjax.ops import (
    FlatGrid,
    bspline_coefficients,
    full_precision,
    sample_flat_bspline,
    sample_flat_linear,
    sample_flat_nearest,
)
from sirtjax.spatial._affine import AffineTransform, identity
from sirtjax.spatial._displacement import DisplacementField
from sirtjax.spatial._kernel import Path, Triple, field_volume_ratio, floating_index
from sirtjax.spatial._source import shifted
from sirtjax.spatial._transform import Transform
from sirtjax.spatial._warp import Order
from sirtjax.typing import Array, Vector
from sirtjax.volume import Geometry

Parts = tuple[int, int, int]
# Smaller occupancies are rounding at voxels that only touch the mask.
TRACE = 1e-5
# Binary digits of an index: 1e-5 voxels at voxel 20, 1e-4 at voxel 200.
_INDEX_BITS = 20


def is_traced(*trees: object) -> bool:
    """Returns whether an array of these pytrees is traced, so that its values are not known on the host."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


@full_precision
def voxel_path(
    source_from_world: Float[Array, "4 4"],
    world_from_reference: Float[Array, "4 4"],
    *,
    floating_from_displaced: Float[Array, "4 4"] | None = None,
    field_mm: Float[Array, "p q r 3"] | None = None,
    field_from_world: Float[Array, "4 4"] | None = None,
) -> Path:
    """Returns the map from reference voxels to image voxels; affines may be traced.

    Args:
      source_from_world: (4, 4) map from the world (LPS, mm) to voxels of the image.
      world_from_reference: affine of the reference grid.
      floating_from_displaced: affine map of the transform, applied after the displacement; identity by default.
      field_mm: displacements on the nodes of a field, mm; zero by default.
      field_from_world: (4, 4) map from the world to nodes of the field; needed with `field_mm`.
    """
    everything = (source_from_world, world_from_reference, floating_from_displaced, field_from_world)
    # In double precision where the affines are known.
    xp: Any = jnp if is_traced(everything) else np
    kind = jnp.float32 if xp is jnp else np.float64
    after = np.eye(4) if floating_from_displaced is None else floating_from_displaced
    from_displaced = xp.asarray(source_from_world, kind) @ xp.asarray(after, kind)
    reference = xp.asarray(world_from_reference, kind)
    field_matrix = xp.asarray(np.eye(4) if field_from_world is None else field_from_world, kind)
    return Path(
        jnp.asarray(from_displaced @ reference, jnp.float32),
        None if field_mm is None else traced_grid(jnp.asarray(field_mm, jnp.float32)),
        jnp.asarray(field_matrix @ reference, jnp.float32),
        jnp.asarray(field_matrix[:3, :3], jnp.float32),
        jnp.asarray(from_displaced[:3, :3], jnp.float32),
        None,
    )


def transform_path(transform: Transform, source_from_world: Float[Array, "4 4"], reference: Geometry) -> Path:
    """Returns `voxel_path` of a transform whose arrays may be traced, onto a grid that is known."""
    if isinstance(transform, DisplacementField):
        return voxel_path(
            source_from_world,
            reference.affine,
            floating_from_displaced=transform.floating_from_displaced,
            field_mm=transform.array,
            field_from_world=transform.geometry.voxel_from_world,
        )
    return voxel_path(source_from_world, reference.affine, floating_from_displaced=transform.floating_from_reference)


def known_affine(transform: Transform) -> AffineTransform:
    """Returns the affine part of a transform, or the identity if it is traced."""
    if isinstance(transform, DisplacementField):
        matrix = transform.floating_from_displaced
    else:
        matrix = transform.floating_from_reference
    return identity() if matrix is None or is_traced(matrix) else AffineTransform(matrix)


def traced_grid(
    array: Shaped[Array, "i j k *channels"], *, low: Vector | None = None, high: Vector | None = None
) -> FlatGrid:
    """Returns the flat view of an array; inside is from `low` to `high` in voxels."""
    shape = tuple(int(n) for n in array.shape[:3])
    low = np.full(3, -0.5) if low is None else low
    high = np.asarray(shape) - 0.5 if high is None else high
    return FlatGrid(array.reshape((-1, *array.shape[3:])), shape, tuple(map(float, low)), tuple(map(float, high)))


def traced_samples(
    image: Shaped[Array, "a b c"], path: Path, shape: Parts, *, order: Order, fill: float
) -> Shaped[Array, "i j k"]:
    """Returns an image at the voxel centres of a grid.

    Args:
      image: voxel values.
      path: result of `voxel_path`.
      shape: voxels of the grid.
      order: "linear", "nearest" or "cubic".
      fill: value outside the image.
    """
    index = _settled(floating_index(path, _centres(shape)))
    if order == "nearest":
        return sample_flat_nearest(traced_grid(image), index, fill=fill)
    if order == "cubic":
        return sample_flat_bspline(traced_grid(bspline_coefficients(image)), index, fill=fill)
    return sample_flat_linear(traced_grid(image), index, fill=fill)


def traced_means(
    grid: FlatGrid,
    path: Path,
    shape: Parts,
    *,
    parts: Parts,
    half_width: Float[Array, "3"],
    fill: float,
    order: Order = "linear",
    conserve: bool = False,
) -> Float[jax.Array, "i j k"]:
    """Returns the means of an image over voxels of a grid, each cut into `parts`.

    Args:
      grid: result of `traced_grid`; B-spline coefficients for order "cubic".
      path: result of `voxel_path`.
      shape: voxels of the grid.
      parts: number of parts along each axis.
      half_width: half the side of the box over which one part averages the piecewise constant image, in voxels.
      fill: value outside the image.
      order: "linear" or "cubic"; "cubic" does not use `half_width`.
      conserve: multiply by the local volume ratio of the displacement, so that the total is conserved.
    """
    centre = _centres(shape)
    steps = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in parts), indexing="ij"), axis=-1)

    def add(total: Array, step: Array) -> tuple[Array, None]:
        at = (centre[0] + step[0], centre[1] + step[1], centre[2] + step[2])
        index = _settled(floating_index(path, at))
        if order == "cubic":
            values = sample_flat_bspline(grid, index, fill=fill)
        else:
            values = sample_flat_linear(grid, index, fill=fill, half_width=half_width)
        if conserve and path.field is not None:
            values = values * field_volume_ratio(path, path.field, at)
        return total + values, None

    # One part at a time, also on the way back: memory stays that of a few grids.
    start = jnp.zeros(shape, jnp.float32)
    total, _ = lax.scan(jax.checkpoint(add), start, jnp.asarray(steps.reshape(-1, 3), jnp.float32))
    return total / float(np.prod(parts))


def traced_half_width(path: Path, parts: Parts) -> Float[jax.Array, "3"]:
    """Returns half the extent of one part of a voxel along each axis of the image, voxels, at most 0.5."""
    steps = path.floating_from_reference[:3, :3] / np.asarray(parts, np.float32)[None]
    return jnp.clip(jnp.sqrt(jnp.sum(steps**2, axis=1)) / 2, 1e-3, 0.5)


def traced_occupancy(
    mask: Shaped[Array, "a b c"],
    source_from_world: Float[Array, "4 4"],
    world_from_reference: Float[Array, "4 4"],
    shape: Parts,
    *,
    parts: Parts,
    blocks: Parts = (1, 1, 1),
    order: Order = "linear",
    floating_from_displaced: Float[Array, "4 4"] | None = None,
    field_mm: Float[Array, "p q r 3"] | None = None,
    field_from_world: Float[Array, "4 4"] | None = None,
) -> Float[jax.Array, "i j k"]:
    """Returns the fraction of each voxel of a grid inside a mask, as a differentiable function of arrays.

    Args:
      mask: fraction of each voxel inside, in [0, 1]; a binary mask or probabilities.
      source_from_world: (4, 4) map from the world (LPS, mm) to voxels of the mask.
      world_from_reference: affine of the grid.
      shape: voxels of the grid.
      parts: parts of a voxel along each axis; `mask_sampling` chooses them.
      blocks: voxels of a finer mask that are averaged first, along each axis.
      order: "linear", or "cubic" for a derivative without kinks in displacements and affines; the surface is then
        blurred by about one voxel of the mask.
      floating_from_displaced: affine map of the transform, applied after the displacement; identity by default.
      field_mm: displacements on the nodes of a field, mm; zero by default.
      field_from_world: (4, 4) map from the world to nodes of the field; needed with `field_mm`.
    """
    margin = np.asarray(blocks) * (2 if order == "cubic" else 1)
    missing = -np.asarray(mask.shape) % np.asarray(blocks)
    padded = jnp.pad(
        jnp.asarray(mask, jnp.float32), [(int(m), int(m + n)) for m, n in zip(margin, missing, strict=True)]
    )
    image = block_means(padded, blocks)
    path = voxel_path(
        traced_shift(source_from_world, -margin, blocks),
        world_from_reference,
        floating_from_displaced=floating_from_displaced,
        field_mm=field_mm,
        field_from_world=field_from_world,
    )
    # A cubic spline with the occupancies as its coefficients stays within [0, 1] and keeps the volume.
    grid = traced_grid(image)
    half = traced_half_width(path, parts)
    share = traced_means(grid, path, shape, parts=parts, half_width=half, fill=0.0, order=order)
    return share if order == "cubic" else jnp.clip(jnp.where(share < TRACE, 0.0, share), 0.0, 1.0)


def _settled(index: Triple) -> Triple:
    # Inside a large program XLA computes an index twice, for the voxel and for the weight, and can round each in
    # another way. Just below a voxel centre the voxel and the weight then belong to different intervals. Fewer digits
    # make both equal; the derivative is unchanged.
    i, j, k = (lax.reduce_precision(x, exponent_bits=8, mantissa_bits=_INDEX_BITS) for x in index)
    return i, j, k


def block_means(array: Float[Array, "i j k"], blocks: Parts) -> Float[Array, "a b c"]:
    """Returns means over whole blocks of voxels."""
    (i, a), (j, b), (k, c) = ((n // f, f) for n, f in zip(array.shape, blocks, strict=True))
    return array if max(blocks) == 1 else array.reshape(i, a, j, b, k, c).mean(axis=(1, 3, 5))


@full_precision
def traced_shift(
    voxel_from_world: Float[Array, "4 4"], start: Real[np.ndarray, "3"], blocks: Parts
) -> Float[Array, "4 4"]:
    """Returns the index map of a grid cropped at `start` and averaged over `blocks`."""
    if not is_traced(voxel_from_world):
        return shifted(np.asarray(voxel_from_world, np.float64), start, blocks)
    rescale = np.diag([*(1.0 / np.asarray(blocks, np.float64)), 1.0])
    rescale[:3, 3] = -(start + (np.asarray(blocks) - 1) / 2) / np.asarray(blocks)
    return jnp.asarray(rescale, jnp.float32) @ voxel_from_world


def _centres(shape: Parts) -> tuple[Array, Array, Array]:
    i, j, k = jnp.meshgrid(*(jnp.arange(n, dtype=jnp.float32) for n in shape), indexing="ij")
    return i, j, k
