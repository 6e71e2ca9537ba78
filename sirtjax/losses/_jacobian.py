from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from sirtjax.losses._differences import check_field
from sirtjax.losses._weighting import same_shape, weighted_mean
from sirtjax.typing import Array, Scalar, Vector

# Below this volume ratio the logarithm continues as its tangent, so that a folded voxel is still pushed back.
MIN_RATIO = 0.01


def jacobian_matrix(displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector) -> Float[jax.Array, "i j k 3 3"]:
    """Computes the derivative I + du/dx of x + u(x) at every voxel of an axis-aligned grid.

    Central differences within the grid, one-sided at its faces; an axis of one voxel counts as constant.

    Args:
      displacement_mm: (i, j, k, 3) displacement along the grid's axes, which are those of the world.
      spacing_mm: (3,) voxel size; may be traced.

    Returns:
      (i, j, k, 3, 3): row k, column d holds d(x + u)_k / dx_d.

    Raises:
      ValueError: the array is not a displacement field.
    """
    columns = _columns(displacement_mm, spacing_mm)
    return jnp.stack([jnp.stack(column, axis=-1) for column in columns], axis=-1)


def jacobian_on_grid(displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector) -> Float[jax.Array, "i j k"]:
    """Computes the determinant of `jacobian_matrix` at every voxel; negative where the deformation folds.

    Returns:
      (i, j, k) volumes after per volume before.

    Raises:
      ValueError: the array is not a displacement field.
    """
    (a, d, g), (b, e, h), (c, f, i) = _columns(displacement_mm, spacing_mm)
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def folding_penalty(
    displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector, *, floor: Scalar = 0.1
) -> Float[jax.Array, ""]:
    """Computes the mean of `max(0, 1 - det / floor)^2`: zero if all determinants reach `floor`.

    A voxel crushed to nothing contributes 1, and the penalty grows with the square of how far it is turned over.
    Add it to the lengths of `spring_energy`, which an inversion leaves unchanged.

    Args:
      displacement_mm: (i, j, k, 3) displacement along the grid's axes, which are those of the world.
      spacing_mm: (3,) voxel size; may be traced.
      floor: volume ratio that still costs nothing, above 0; may be traced.

    Returns:
      Scalar without unit, at least 0.

    Raises:
      ValueError: the array is not a displacement field.
    """
    return folding_penalty_from_jacobian(jacobian_on_grid(displacement_mm, spacing_mm), floor=floor)


def folding_penalty_from_jacobian(volume_ratio: Float[Array, "*shape"], *, floor: Scalar = 0.1) -> Float[jax.Array, ""]:
    """Computes `folding_penalty` from Jacobian determinants of any shape."""
    return jnp.mean(jnp.square(jnp.maximum(0.0, 1.0 - volume_ratio / floor)))


def volume_change_penalty(
    displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector, weights: Float[Array, "i j k"]
) -> Float[jax.Array, ""]:
    """Computes the weighted mean squared log volume ratio, for labels that must keep their volume.

    Halving and doubling cost the same. Below a ratio of 0.01 the logarithm continues as its tangent, so that
    folded voxels have a finite value and a slope.

    Args:
      displacement_mm: (i, j, k, 3) displacement along the grid's axes, which are those of the world.
      spacing_mm: (3,) voxel size; may be traced.
      weights: (i, j, k) fraction of the label in each voxel, non-negative; if all are zero, the penalty is zero.

    Returns:
      Scalar without unit, at least 0.

    Raises:
      ValueError: shapes that do not belong together.

    Reference:
      Rohlfing et al., IEEE Trans Med Imaging 2003;22:730-741, doi:10.1109/TMI.2003.814791, with
      the square instead of the absolute value.
    """
    ratio = jacobian_on_grid(displacement_mm, spacing_mm)
    same_shape("the grid and weights", ratio, weights)
    held = jnp.maximum(ratio, MIN_RATIO)
    logarithm = jnp.log(held) + (ratio - held) / MIN_RATIO
    return weighted_mean(jnp.square(logarithm), weights)


def _columns(displacement_mm: Array, spacing_mm: Vector) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """For each axis d, the three components of d(x + u) / dx_d."""
    check_field(displacement_mm)
    spacing = jnp.asarray(spacing_mm, displacement_mm.dtype)
    x, y, z = (displacement_mm[..., component] for component in range(3))
    slopes = [tuple(_derivative(component, axis, spacing[axis]) for component in (x, y, z)) for axis in range(3)]
    # The barrier keeps the nine slopes from being computed again in every product of the determinant.
    (xx, yx, zx), (xy, yy, zy), (xz, yz, zz) = lax.optimization_barrier(slopes)
    return [(xx + 1, yx, zx), (xy, yy + 1, zy), (xz, yz, zz + 1)]


def _derivative(values: Array, axis: int, pitch_mm: Array) -> jax.Array:
    length = values.shape[axis]
    # With the end values held, the difference across the first and last voxel spans one step instead of two.
    steps = np.full(length, 2.0)
    steps[[0, -1]] = 1.0
    along = [-1 if other == axis else 1 for other in range(values.ndim)]
    held = jnp.pad(values, [(1, 1) if other == axis else (0, 0) for other in range(values.ndim)], mode="edge")
    ahead, behind = (lax.slice_in_dim(held, start, start + length, axis=axis) for start in (2, 0))
    return (ahead - behind) * (1 / (jnp.asarray(steps, values.dtype) * pitch_mm)).reshape(along)
