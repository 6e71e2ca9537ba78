from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.typing import Array, Scalar

_TINY = float(np.finfo(np.float32).tiny)

# Halvings of the dose range in float32; the bracket ends far below the bandwidth.
_BISECTIONS = 40
# Beyond this many bandwidths a voxel counts wholly, to float32.
_REACH = 20.0


def smooth_volume_fraction_at_dose(
    dose_gy: Float[Array, " voxels"], weight: Float[Array, " voxels"], threshold_gy: Scalar, *, bandwidth_gy: Scalar
) -> Float[jax.Array, ""]:
    """Computes V_x as a fraction, with a sigmoid of each voxel's distance to the threshold.

    Differentiable in dose, weight and threshold; tends to `volume_fraction_at_dose` as the bandwidth tends
    to 0. A bandwidth of about the dose difference between neighbouring voxels keeps the gradient informative.

    Args:
      dose_gy: (voxels,) dose of each voxel.
      weight: (voxels,) occupancy; entries of weight 0 don't count.
      threshold_gy: scalar x.
      bandwidth_gy: scale of the sigmoid: a voxel `bandwidth_gy` above the threshold counts for 73 %.

    Returns:
      Scalar in (0, 1).
    """
    counted = jax.nn.sigmoid((dose_gy - threshold_gy) / bandwidth_gy)
    return jnp.sum(weight * counted) / jnp.sum(weight)


def smooth_cumulative_dvh(
    dose_gy: Float[Array, " voxels"],
    weight: Float[Array, " voxels"],
    thresholds_gy: Float[Array, " bins"],
    *,
    bandwidth_gy: Scalar,
) -> Float[jax.Array, " bins"]:
    """Computes the smooth cumulative DVH: the fraction of the VOI above each threshold.

    Args:
      dose_gy: (voxels,) dose of each voxel.
      weight: (voxels,) fraction of each voxel in the VOI.
      thresholds_gy: (bins,) doses at which the histogram is evaluated.
      bandwidth_gy: scale of the sigmoid.

    Returns:
      (bins,) fractions in (0, 1), falling with the threshold.
    """

    def at(threshold_gy: jax.Array) -> jax.Array:
        return smooth_volume_fraction_at_dose(dose_gy, weight, threshold_gy, bandwidth_gy=bandwidth_gy)

    # One threshold at a time: memory stays that of the VOI.
    fractions: jax.Array = jax.lax.map(at, thresholds_gy)
    return fractions


def smooth_differential_dvh_per_gy(
    dose_gy: Float[Array, " voxels"],
    weight: Float[Array, " voxels"],
    thresholds_gy: Float[Array, " bins"],
    *,
    bandwidth_gy: Scalar,
) -> Float[jax.Array, " bins"]:
    """Computes the smooth differential DVH: VOI fraction per Gy at each threshold, integral 1.

    Args:
      dose_gy: doses of the voxels.
      weight: fraction of each voxel in the VOI, same shape.
      thresholds_gy: (bins,) doses at which the histogram is evaluated.
      bandwidth_gy: width of the step that stands for a threshold.
    """

    def at(threshold_gy: jax.Array) -> jax.Array:
        return _density_per_gy(dose_gy, weight, threshold_gy, bandwidth_gy)

    fractions: jax.Array = jax.lax.map(at, thresholds_gy)
    return fractions


def smooth_dose_at_volume_fraction_gy(
    dose_gy: Float[Array, " voxels"], weight: Float[Array, " voxels"], fraction: Scalar, *, bandwidth_gy: Scalar
) -> Float[jax.Array, ""]:
    """Computes D_x of the smooth cumulative DVH: the dose at which it falls through `fraction`.

    Found by bisection and differentiated by the implicit function theorem, once (no second derivatives), in
    dose, weight and fraction. Tends to `dose_at_volume_fraction_gy` as the bandwidth tends to 0.

    Args:
      dose_gy: (voxels,) dose of each voxel.
      weight: (voxels,) occupancy; entries of weight 0 don't count.
      fraction: scalar x / 100, strictly between 0 and 1.
      bandwidth_gy: scale of the sigmoid.

    Returns:
      Scalar dose in Gy.
    """
    inside = weight > 0
    low = jnp.min(jnp.where(inside, dose_gy, jnp.inf)) - _REACH * bandwidth_gy
    high = jnp.max(jnp.where(inside, dose_gy, -jnp.inf)) + _REACH * bandwidth_gy

    def halve(_: int, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        middle = (low + high) / 2
        above = smooth_volume_fraction_at_dose(dose_gy, weight, middle, bandwidth_gy=bandwidth_gy) > fraction
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, jax.lax.stop_gradient((low, high)))
    root = jax.lax.stop_gradient((low + high) / 2)
    density = jax.lax.stop_gradient(_density_per_gy(dose_gy, weight, root, bandwidth_gy))
    excess = smooth_volume_fraction_at_dose(dose_gy, weight, root, bandwidth_gy=bandwidth_gy) - fraction
    # The value is the root; the derivative of this zero term is that of the implicit function.
    shift: jax.Array = (excess - jax.lax.stop_gradient(excess)) / jnp.maximum(density, _TINY)
    dose: jax.Array = root + shift
    return dose


def _density_per_gy(
    dose_gy: Float[Array, " voxels"], weight: Float[Array, " voxels"], threshold_gy: Scalar, bandwidth_gy: Scalar
) -> Float[jax.Array, ""]:
    counted = jax.nn.sigmoid((dose_gy - threshold_gy) / bandwidth_gy)
    return jnp.sum(weight * counted * (1 - counted)) / (jnp.sum(weight) * bandwidth_gy)
