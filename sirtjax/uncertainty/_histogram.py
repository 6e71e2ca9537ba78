"""Points of the dose-volume histogram of one VOI, with derivatives that do not depend on single voxels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.typing import Array

# From this number of points on they are counted in bins, which takes a twentieth of the time of sorting them.
MANY, BINS = 8192, 1024


@jax.custom_jvp
def histogram_points(
    dose_gy: Float[Array, " voxels"],
    weight: Float[Array, " voxels"],
    fractions: Float[Array, " k"],
    threshold_gy: Float[Array, ""],
) -> tuple[Float[jax.Array, " k"], Float[jax.Array, ""]]:
    """Computes doses of volume fractions and the fraction above a dose, linear between voxels or bins.

    The derivative of a sorted voxel is that of this voxel, which says little about the histogram. The derivatives are
    therefore those of a histogram in which each voxel is a normal distribution. Its width decreases with the number of
    voxels (Silverman's rule), as that of a density estimate.

    Args:
      dose_gy: (voxels,) dose of each voxel.
      weight: (voxels,) part of each voxel in the VOI; 0 for padding.
      fractions: (k,) volume fractions of the doses.
      threshold_gy: dose of the fraction.

    Returns:
      (k,) dose that each volume fraction receives at least, and the fraction that receives at least the threshold.

    Reference:
      Silverman, Density Estimation for Statistics and Data Analysis, 1986, 3.4.2.
    """
    dose, part_of = jnp.asarray(dose_gy), jnp.asarray(weight)
    if len(dose) >= MANY:
        return _binned_points(dose, part_of, jnp.asarray(fractions), jnp.asarray(threshold_gy))
    order = jnp.argsort(jnp.where(part_of > 0, -dose, jnp.inf))
    part = part_of[order]
    total = jnp.maximum(jnp.sum(part), 1e-6)
    # Voxels without weight come last: with dose 0 they are above no threshold.
    ordered = jnp.where(part > 0, dose[order], 0.0)
    # Each voxel is at the middle of its volume, so that equal doses have no step.
    above = jnp.cumsum(part) - 0.5 * part

    def at(wanted: jax.Array) -> jax.Array:
        after = jnp.clip(jnp.searchsorted(above, wanted), 1, len(ordered) - 1)
        low, high = above[after - 1], above[after]
        step = jnp.clip((wanted - low) / jnp.maximum(high - low, 1e-12), 0.0, 1.0)
        value: jax.Array = ordered[after - 1] + step * (ordered[after] - ordered[after - 1])
        return value

    fraction = jnp.interp(threshold_gy, ordered[::-1], above[::-1]) / total
    # Beyond the hottest and the coldest voxel the histogram ends at 0 and 1.
    coldest = jnp.min(jnp.where(part > 0, ordered, jnp.inf))
    fraction = jnp.where(threshold_gy > ordered[0], 0.0, jnp.where(threshold_gy < coldest, 1.0, fraction))
    return jax.vmap(at)(jnp.asarray(fractions) * total), fraction


def _binned_points(
    dose: jax.Array, weight: jax.Array, fractions: jax.Array, threshold: jax.Array
) -> tuple[jax.Array, jax.Array]:
    used = weight > 0
    low, high = jnp.min(jnp.where(used, dose, jnp.inf)), jnp.max(jnp.where(used, dose, -jnp.inf))
    some = jnp.any(used)
    low, high = jnp.where(some, low, 0.0), jnp.where(some, high, 0.0)
    width = jnp.maximum((high - low) / BINS, 1e-6)
    index = jnp.clip(((dose - low) / width).astype(jnp.int32), 0, BINS - 1)
    volume = jnp.cumsum(jnp.zeros(BINS, weight.dtype).at[index].add(jnp.where(used, weight, 0.0)))
    below = jnp.concatenate([jnp.zeros(1, volume.dtype), volume]) / jnp.maximum(volume[-1], 1e-6)
    edges = low + width * jnp.arange(BINS + 1)
    fraction = 1.0 - jnp.interp(threshold, edges, below)
    # Beyond the hottest and the coldest point the histogram ends at 0 and 1.
    fraction = jnp.where(threshold > high, 0.0, jnp.where(threshold <= low, 1.0, fraction))
    return jnp.interp(1.0 - fractions, below, edges), jnp.where(some, fraction, 0.0)


@histogram_points.defjvp
def _derivative(
    primals: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    tangents: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    dose, weight, fractions, threshold = primals
    dose_step, weight_step, _, _ = tangents  # fractions and thresholds are constants
    levels, fraction = histogram_points(dose, weight, fractions, threshold)
    total = jnp.maximum(jnp.sum(weight), 1e-6)
    mean = jnp.sum(weight * dose) / total
    deviation = jnp.sqrt(jnp.sum(weight * (dose - mean) ** 2) / total)
    voxels = total**2 / jnp.maximum(jnp.sum(weight**2), 1e-6)
    width = jax.lax.stop_gradient(jnp.maximum(0.9 * deviation * voxels**-0.2, 1e-4 * jnp.maximum(mean, 1e-6)))

    def rise(level: jax.Array, volume: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Change of the volume above a level, and the density of the volume there."""
        away = (dose - level) / width
        density = weight * jax.scipy.stats.norm.pdf(away) / width
        grown = jnp.sum((jax.scipy.stats.norm.cdf(away) - volume) * weight_step)
        return jnp.sum(density * dose_step) + grown, jnp.sum(density)

    def level_step(level: jax.Array, volume: jax.Array) -> jax.Array:
        change, density = rise(level, volume)
        return change / jnp.maximum(density, 1e-12)

    return (levels, fraction), (jax.vmap(level_step)(levels, fractions), rise(threshold, fraction)[0] / total)
