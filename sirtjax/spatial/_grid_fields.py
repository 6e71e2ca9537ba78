"""Displacements on one grid as plain arrays: composition, inversion and warping inside compiled functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.ops import hold, sample_linear
from sirtjax.typing import Array, Vector


def grid_positions(displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector) -> Float[jax.Array, "i j k 3"]:
    """Returns the voxel indices of x + u(x) for every voxel x.

    Args:
      displacement_mm: (i, j, k, 3) displacement u along the axes of the grid, mm.
      spacing_mm: (3,) distance between voxels; may be traced.
    """
    u = jnp.asarray(displacement_mm)
    axes = [jnp.arange(n, dtype=u.dtype) for n in u.shape[:3]]
    ijk = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
    return ijk + u / jnp.asarray(spacing_mm, u.dtype).reshape(1, 1, 1, 3)


def compose_displacements(
    outer_mm: Float[Array, "i j k 3"], inner_mm: Float[Array, "i j k 3"], spacing_mm: Vector
) -> Float[jax.Array, "i j k 3"]:
    """Computes the displacement of two maps on one grid, the inner one first: u(x) + v(x + u(x)).

    Beyond the grid, the outer displacement keeps the value at the face. Differentiable, and jittable by the caller.
    `compose` does the same for transforms between any grids, on the host.

    Args:
      outer_mm: (i, j, k, 3) displacement v along the axes of the grid, mm.
      inner_mm: (i, j, k, 3) displacement u on the same grid, mm.
      spacing_mm: (3,) distance between voxels; may be traced.

    Returns:
      (i, j, k, 3) displacement of the map x -> y + v(y) with y = x + u(x), mm.

    Examples:
      >>> import jax.numpy as jnp
      >>> from sirtjax import spatial
      >>> u, v = jnp.full((4, 4, 4, 3), 2.0), jnp.full((4, 4, 4, 3), -0.5)
      >>> float(spatial.compose_displacements(v, u, (1.0, 1.0, 1.0)).mean())
      1.5
    """
    inner = jnp.asarray(inner_mm)
    return inner + sample_on_grid(outer_mm, inner, spacing_mm)


def sample_on_grid(
    array: Float[Array, "i j k channels"], displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector
) -> Float[jax.Array, "i j k channels"]:
    """Interpolates an array linearly at the displaced voxels x + u(x) of its own grid.

    Beyond the grid, the array keeps the value at the face. Differentiable in array and displacement.

    Args:
      array: (i, j, k, channels) values.
      displacement_mm: (i, j, k, 3) displacement u along the axes of the grid, mm.
      spacing_mm: (3,) distance between voxels; may be traced.
    """
    last = jnp.asarray(array.shape[:3], displacement_mm.dtype).reshape(1, 1, 1, 3) - 1.0
    at = jnp.asarray(hold(grid_positions(displacement_mm, spacing_mm), 0.0, last))
    return jnp.asarray(sample_linear(jnp.asarray(array), at))


def invert_displacement(
    displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector, *, iterations: int = 30
) -> Float[jax.Array, "i j k 3"]:
    """Inverts a displacement on its own grid by fixed-point iteration: v(y) = -u(y + v(y)).

    The iteration converges where the displacement changes by less than its distance. Differentiable, and jittable by
    the caller; there is no check. `invert_field` reports the residual and goes on where this iteration fails.

    Args:
      displacement_mm: (i, j, k, 3) displacement u along the axes of the grid, mm.
      spacing_mm: (3,) distance between voxels; may be traced.
      iterations: number of steps.

    Returns:
      (i, j, k, 3) displacement v of the inverse map, mm.
    """
    u = jnp.asarray(displacement_mm)

    def step(v: jax.Array, _: None) -> tuple[jax.Array, None]:
        return -jax.checkpoint(sample_on_grid)(u, v, jnp.asarray(spacing_mm, u.dtype)), None

    inverse: jax.Array = lax.scan(step, jnp.zeros_like(u), length=iterations)[0]
    return inverse
