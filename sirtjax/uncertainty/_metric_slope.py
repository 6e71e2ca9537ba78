"""Derivatives of the mean dose and of D_x with respect to the dose and to the volume of each voxel."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.typing import Array, Scalar

# Halvings of the interval in which D_x is searched: single precision is reached before.
STEPS = 40


class MetricSlope(NamedTuple):
    """A metric of a dose in one VOI with its derivatives.

    Attributes:
      value_gy: mean dose or D_x.
      by_dose: (i, j, k) derivative with respect to the dose of each voxel.
      by_weight: (i, j, k) derivative with respect to the part of each voxel in the VOI, in Gy.
    """

    value_gy: Scalar
    by_dose: Float[jax.Array, "i j k"]
    by_weight: Float[jax.Array, "i j k"]


def mean_slope(dose_gy: Float[Array, "i j k"], weight: Float[Array, "i j k"]) -> MetricSlope:
    """Returns the mean dose of a VOI with its derivatives.

    Args:
      dose_gy: (i, j, k) dose.
      weight: (i, j, k) part of each voxel in the VOI.
    """
    dose, inside = jnp.asarray(dose_gy), jnp.asarray(weight)
    volume = jnp.maximum(jnp.sum(inside), 1e-6)
    mean = jnp.sum(inside * dose) / volume
    return MetricSlope(mean, inside / volume, (dose - mean) / volume)


def dose_at_volume_slope(
    dose_gy: Float[Array, "i j k"], weight: Float[Array, "i j k"], volume_fraction: Scalar
) -> MetricSlope:
    """Returns the dose that a fraction of a VOI receives at least, with its derivatives.

    D_x solves `sum(w S((d - D_x) / h)) = x sum(w)`. S is a smooth step, because the derivative of an order statistic of
    the voxels is that of a single voxel. Its width h is the root mean square of the standard deviation of the dose
    within a voxel, which has the doses between its faces. The derivatives are those of the implicit function.

    Args:
      dose_gy: (i, j, k) dose.
      weight: (i, j, k) part of each voxel in the VOI.
      volume_fraction: x, between 0 and 1; 0.7 for D70.
    """
    dose, inside = jnp.asarray(dose_gy), jnp.asarray(weight)
    volume = jnp.maximum(jnp.sum(inside), 1e-6)
    mean = jnp.sum(inside * dose) / volume
    # The variance of a dose that rises linearly between the faces of a voxel is a twelfth of the square of the rise.
    within = sum(_rise(dose, axis) ** 2 for axis in range(3)) / 12.0
    width = jnp.maximum(jnp.sqrt(jnp.sum(inside * within) / volume), 1e-4 * jnp.maximum(mean, 1e-6))

    def above(level: jax.Array) -> jax.Array:
        return jax.scipy.stats.norm.cdf((dose - level) / width)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        more = jnp.sum(inside * above(middle)) > volume_fraction * volume
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    present = inside > 0
    start = jnp.min(jnp.where(present, dose, jnp.inf)) - 8.0 * width
    end = jnp.max(jnp.where(present, dose, -jnp.inf)) + 8.0 * width
    low, high = jax.lax.fori_loop(0, STEPS, halve, (start, end))
    level = 0.5 * (low + high)
    density = inside * jax.scipy.stats.norm.pdf((dose - level) / width) / width
    total = jnp.maximum(jnp.sum(density), 1e-12)
    return MetricSlope(level, density / total, (above(level) - volume_fraction) / total)


def _rise(values: jax.Array, axis: int) -> jax.Array:
    """Rise within each voxel: the smaller one of the two sides, so that the edge of a VOI does not count."""
    step = jnp.abs(jnp.diff(values, axis=axis))
    first, last = jnp.take(step, jnp.array([0]), axis=axis), jnp.take(step, jnp.array([-1]), axis=axis)
    return jnp.minimum(jnp.concatenate([first, step], axis=axis), jnp.concatenate([step, last], axis=axis))
