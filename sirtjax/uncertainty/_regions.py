"""Occupancies of lesions, normal tissue and surroundings from signed distances, and their displacements."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.ops import full_precision
from sirtjax.typing import Array, Scalar

# Largest inward displacement of a contour over the depth of its structure. A limit of a half, in both directions, made
# the volumes of lesions of 6 to 11 mm radius vary by a third less than displacements of the stated size do.
DEEPEST = 0.9


def regions_of(
    distance_mm: Float[Array, "m i j k"], spacing_mm: Float[Array, "3"], *, lesions: int
) -> Float[jax.Array, "r i j k"]:
    """Computes the part of each voxel in every region, from signed distances.

    The regions are the lesions, the normal tissue of each territory, the other liver, and everything outside. A voxel
    is divided in proportion to its distance from the surface. The curvature of the surface is considered, because
    otherwise small spheres would be too large. The first of two overlapping lesions or territories has the voxel.

    Args:
      distance_mm: (m, i, j, k) signed distance, negative inside, to the contours of the lesions, to the territories
        continued beyond the liver, and to the liver with its lesions.
      spacing_mm: (3,) voxel spacing.
      lesions: number of lesions.

    Returns:
      (m + 1, i, j, k) occupancies that add up to 1.
    """
    distance, width_mm = jnp.asarray(distance_mm), _width_mm(spacing_mm)
    parts, free = _parts(jnp.concatenate([distance[:lesions], distance[-1:]]), width_mm)
    shares, unsupplied = _parts(distance[lesions:-1], width_mm)
    return jnp.concatenate([parts[:-1], shares * parts[-1:], (unsupplied * parts[-1])[None], free[None]])


def territory_shares(
    distance_mm: Float[Array, "m i j k"], spacing_mm: Float[Array, "3"], *, lesions: int
) -> Float[jax.Array, "t i j k"]:
    """Computes the part of each voxel, lesion or not, that each territory supplies.

    Args:
      distance_mm: signed distances as in `regions_of`.
      spacing_mm: (3,) voxel spacing.
      lesions: number of lesions.
    """
    return _parts(jnp.asarray(distance_mm)[lesions:-1], _width_mm(spacing_mm))[0]


def _parts(distance_mm: jax.Array, width_mm: Scalar) -> tuple[jax.Array, jax.Array]:
    """The part of each voxel in each structure, the first one of two that overlap, and what remains.

    A loop, because XLA repeats each step in all that follow it otherwise: the derivatives for eight lesions then take
    minutes to compile.
    """

    def take(free: jax.Array, one: jax.Array) -> tuple[jax.Array, jax.Array]:
        # The mean of a voxel is a convolution with it, which moves a curved surface by half the variance times
        # curvature.
        curved = one + sum(second_difference(one, axis) for axis in range(3)) / 24.0
        part = jnp.minimum(jnp.clip(0.5 - curved / width_mm, 0.0, 1.0), free)
        return free - part, part

    free, parts = jax.lax.scan(take, jnp.ones(distance_mm.shape[1:], distance_mm.dtype), distance_mm)
    return parts, free


def _width_mm(spacing_mm: Float[Array, "3"]) -> jax.Array:
    return jnp.cbrt(jnp.prod(jnp.asarray(spacing_mm)))


def second_difference(values: Float[Array, "..."], axis: int) -> Float[jax.Array, "..."]:
    """Computes the second difference of neighbouring values along an axis, 0 across the faces."""
    step = jnp.diff(jnp.asarray(values), axis=axis)

    def at(first: int, last: int) -> jax.Array:
        return jnp.pad(step, [(first, last) if k == axis else (0, 0) for k in range(step.ndim)])

    found: jax.Array = at(0, 1) - at(1, 0)
    return found


@full_precision
def boundary_field(
    lattice: Float[Array, "m a b c"], shape: tuple[int, ...], *, nodes: Float[Array, "3"] | None = None
) -> Float[jax.Array, "m i j k"]:
    """Interpolates displacements on a coarse lattice to the grid, with the same variance everywhere.

    Linear interpolation between independent numbers has less variance between the nodes. Each weight is therefore
    divided by the root of the sum of squares of the weights.

    Args:
      lattice: (m, a, b, c) independent displacements; the outermost nodes are at the faces of the grid.
      shape: (3,) shape of the grid.
      nodes: (3,) number of nodes along each axis that are used; those beyond are padding. None uses all of them.
    """
    found: jax.Array = jnp.asarray(lattice)
    used = np.asarray(found.shape[1:]) if nodes is None else jnp.asarray(nodes)
    for axis, size in enumerate(shape):
        position = (np.arange(size) / max(size - 1, 1))[:, None].astype(np.float32) * (used[axis] - 1.0)
        hat = jnp.maximum(0.0, 1.0 - jnp.abs(position - np.arange(found.shape[axis + 1])[None]))
        weights = hat / jnp.sqrt(jnp.sum(hat**2, axis=1, keepdims=True))
        found = jnp.moveaxis(jnp.tensordot(found, weights, axes=((axis + 1,), (1,))), -1, axis + 1)
    return found


def displaced_distances(
    distance_mm: Float[Array, "m i j k"],
    spacing_mm: Float[Array, "3"],
    *,
    boundary_mm: Float[Array, "b a b_ c"],
    lesion_shift_mm: Float[Array, "n 3"],
    territory_mm: Float[Array, "3 d e f"],
    nodes: Float[Array, "2 3"] | None = None,
) -> Float[jax.Array, "m i j k"]:
    """Displaces the contours of lesions and liver and the dividing surfaces of territories.

    Each contour moves by a smooth field, each lesion also as a whole. Inward, a contour is displaced by at most nine
    tenths of the depth of its structure, so that small lesions do not vanish; outward there is no limit. Territories
    that touch are displaced together, because one field of vectors moves them all.

    Args:
      distance_mm: signed distances as in `regions_of`.
      spacing_mm: (3,) voxel spacing.
      boundary_mm: (n + 1, a, b, c) outward displacement of the lesions and the liver on a lattice.
      lesion_shift_mm: (n, 3) translation of each lesion.
      territory_mm: (3, d, e, f) displacement of the dividing surfaces on a lattice.
      nodes: (2, 3) number of nodes of both lattices that are used, as in `boundary_field`.
    """
    of_contours, of_surfaces = (None, None) if nodes is None else (nodes[0], nodes[1])
    distance = jnp.asarray(distance_mm)
    spacing, count = jnp.asarray(spacing_mm), lesion_shift_mm.shape[0]
    shape = distance.shape[1:]
    outlines = jnp.concatenate([distance[:count], distance[-1:]])
    limit = jnp.maximum(DEEPEST * jnp.max(-outlines, axis=(1, 2, 3)), 1e-3)
    steps = jnp.concatenate([jnp.asarray(lesion_shift_mm) / spacing[None], jnp.zeros((1, 3), distance.dtype)])

    def displaced(one: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        outline, deepest, lattice, step = one
        outward = boundary_field(lattice[None], shape, nodes=of_contours)[0]
        return moved(outline - jnp.where(outward < 0.0, deepest * jnp.tanh(outward / deepest), outward), step)

    # One after the other: XLA would otherwise repeat these steps in all that follow, and take minutes to compile.
    outlines = jax.lax.map(displaced, (outlines, limit, jnp.asarray(boundary_mm), steps))
    field = boundary_field(territory_mm, shape, nodes=of_surfaces)

    def divided(one: jax.Array) -> jax.Array:
        found: jax.Array = one - sum(g * u for g, u in zip(_gradient(one, spacing), field, strict=True))
        return found

    territories = jax.lax.map(divided, distance[count:-1])
    return jnp.concatenate([outlines[:count], territories, outlines[count:]])


def moved(values: Float[Array, "i j k"], steps: Float[Array, "3"]) -> Float[jax.Array, "i j k"]:
    """Moves values by a number of voxels, with cubic interpolation (Keys).

    Linear interpolation between voxels would raise the distances to a curved surface: on voxels of 4 mm, a sphere of
    8 mm radius that moves by half a voxel along each axis would lose a fifth of its volume. What leaves at a face
    enters at the opposite one.

    Args:
      values: (i, j, k) values.
      steps: (3,) number of voxels along each axis.

    Reference:
      Keys, IEEE Trans Acoust Speech Signal Process 29:1153-1160, 1981, doi:10.1109/TASSP.1981.1163711.
    """
    values = jnp.asarray(values)
    for axis in range(3):
        whole = jnp.floor(steps[axis])
        t = steps[axis] - whole
        first = jnp.roll(values, whole.astype(jnp.int32), axis)
        weights = (
            t * (t * (2.0 - t) - 1.0) / 2.0,
            (t * t * (3.0 * t - 5.0) + 2.0) / 2.0,
            t * (t * (4.0 - 3.0 * t) + 1.0) / 2.0,
            t * t * (t - 1.0) / 2.0,
        )
        values = sum((w * jnp.roll(first, n - 1, axis) for n, w in enumerate(weights)), jnp.zeros_like(first))
    return values


def _gradient(values: jax.Array, spacing: jax.Array) -> list[jax.Array]:
    return [slope / spacing[axis] for axis, slope in enumerate(jnp.gradient(values))]
