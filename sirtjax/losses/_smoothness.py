from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.losses._differences import Offset, check_field, has_pairs, pair, pair_mean, scaled
from sirtjax.typing import Array, Vector

AXES: tuple[Offset, Offset, Offset] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def diffusion_energy(
    displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector, *, rigidity: Float[Array, "i j k"] | None = None
) -> Float[jax.Array, ""]:
    """Computes the mean squared displacement gradient: `sum_kd of the mean of (du_k / dx_d)^2`.

    Zero for a translation only: it opposes rotations and the other affine motions too, so give it what remains
    after the affine registration.

    Args:
      displacement_mm: (i, j, k, 3) displacement along the grid's axes, which are those of the world.
      spacing_mm: (3,) voxel size; may be traced.
      rigidity: (i, j, k) local factor, non-negative; a difference takes the mean of its two ends. All one by default.

    Returns:
      Scalar without unit, at least 0.

    Raises:
      ValueError: shapes that do not belong together.
    """
    check_field(displacement_mm, rigidity)
    spacing = jnp.asarray(spacing_mm, displacement_mm.dtype)
    total = jnp.zeros((), displacement_mm.dtype)
    for axis, step in enumerate(AXES):
        if has_pairs(displacement_mm, step):
            squared = jnp.square(_difference(displacement_mm, step) / spacing[axis]).sum(axis=-1)
            total = total + jnp.mean(scaled(squared, pair_mean(rigidity, step)))
    return total


def bending_energy(
    displacement_mm: Float[Array, "i j k 3"], spacing_mm: Vector, *, rigidity: Float[Array, "i j k"] | None = None
) -> Float[jax.Array, ""]:
    """Computes the mean squared curvature: `sum_kde of the mean of (d2u_k / dx_d dx_e)^2`.

    Mixed terms count twice, as both orders are summed. Zero for any affine motion. Second derivatives are
    differences of neighbour differences, each term averaged over where it lies within the grid.

    Args:
      displacement_mm: (i, j, k, 3) displacement along the grid's axes, which are those of the world.
      spacing_mm: (3,) voxel size; may be traced.
      rigidity: (i, j, k) local factor, non-negative; a derivative takes the mean of it where its values come from.
        All one by default.

    Returns:
      Scalar in mm^-2, at least 0.

    Raises:
      ValueError: shapes that do not belong together.

    Reference:
      Rueckert et al., IEEE Trans Med Imaging 1999;18:712-721, doi:10.1109/42.796284.
    """
    check_field(displacement_mm, rigidity)
    spacing = jnp.asarray(spacing_mm, displacement_mm.dtype)
    total = jnp.zeros((), displacement_mm.dtype)
    for d in range(3):
        if not has_pairs(displacement_mm, AXES[d]):
            continue
        slope = _difference(displacement_mm, AXES[d]) / spacing[d]
        local = pair_mean(rigidity, AXES[d])
        for e in range(d, 3):
            if has_pairs(slope, AXES[e]):
                squared = jnp.square(_difference(slope, AXES[e]) / spacing[e]).sum(axis=-1)
                times = 1.0 if d == e else 2.0
                total = total + times * jnp.mean(scaled(squared, pair_mean(local, AXES[e])))
    return total


def _difference(values: Array, step: Offset) -> Array:
    first, last = pair(values, step)
    return last - first
