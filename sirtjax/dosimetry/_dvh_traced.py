"""The histogram of a VOI as a differentiable function of fixed shapes: the curve of `dvh_from_arrays`.

`dvh_from_arrays` spreads the volume of each sample over an interval of dose. The volume V(d) above a dose is
therefore a sum of ramps, which needs no sort: V_x is that sum, and D_x is its root, differentiated by the implicit
function theorem. Samples, intervals and occupancies are those of `dvh_from_arrays`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Real

from sirtjax.dosimetry._dvh_samples import (
    BISECTIONS,
    SLIVER,
    hat_weights,
    inward,
    limited_slopes,
    linear_dose,
)
from sirtjax.typing import Array, Scalar

# Halvings of the dose range in float32.
_HALVINGS = 36
_TINY = float(np.finfo(np.float32).tiny)
# A narrower interval of dose, as a fraction of the range of the VOI, is a step.
_NARROW = 1e-6


class VoiSamples(NamedTuple):
    """Samples of the dose in a VOI.

    Attributes:
      dose_gy: (n,) middle of the interval of each sample.
      spread_gy: (n,) width of that interval.
      weight: (n,) volume of each sample in voxels; 0 for padding.
      mean_gy: mean dose of the voxels, scalar.
      lowest_gy, highest_gy: range of the curve, scalars. Slivers at the edge do not set it.
    """

    dose_gy: Float[Array, " n"]
    spread_gy: Float[Array, " n"]
    weight: Float[Array, " n"]
    mean_gy: Scalar
    lowest_gy: Scalar
    highest_gy: Scalar


def voi_samples(
    dose_gy: Float[Array, "i j k"], weight: Real[Array, "i j k"], *, subsamples: int, capacity: int
) -> VoiSamples:
    """Returns the samples of a VOI in arrays of fixed length. Differentiable.

    Args:
      dose_gy: dose per voxel.
      weight: fraction of each voxel inside the VOI.
      subsamples: samples per axis and voxel, at least 1; `histogram_size` chooses it.
      capacity: number of voxels to reserve if `subsamples` is above 1. If the VOI has more, its doses are NaN.
    """
    mean_gy = traced_mean_gy(dose_gy, weight)
    weight = jnp.where(weight > SLIVER, weight, 0.0)
    if subsamples == 1:
        flat = weight.ravel()
        return _samples(dose_gy.ravel(), _voxel_spreads(dose_gy).ravel(), flat, mean_gy, flat > 0)
    found = jnp.stack(jnp.nonzero(weight > 0, size=capacity, fill_value=-1), axis=1)
    valid = found[:, 0] >= 0
    dose, occupied = _patches(dose_gy, found), _patches(weight, found)
    offsets = (np.arange(subsamples, dtype=np.float32) + 0.5) / subsamples - 0.5
    samples, slopes = linear_dose(dose, offsets)
    filled = _filled(occupied, offsets)
    spread = (jnp.abs(slopes).max(axis=1) / subsamples)[:, None, None, None]
    empty = (1 - jnp.minimum(filled, 1.0)) * inward(slopes, occupied)[:, None, None, None]
    samples = samples + empty * spread / 2
    spread = spread * (1 - jnp.abs(empty))
    filled = jnp.where(valid[:, None, None, None], filled, 0.0)
    samples = jnp.where(jnp.sum(weight > 0) > capacity, jnp.nan, samples)
    flat = filled.ravel()
    return _samples(samples.ravel(), spread.ravel(), flat / subsamples**3, mean_gy, flat >= 0.5 * jnp.max(flat))


def _samples(dose_gy: Array, spread_gy: Array, weight: Array, mean_gy: Array, reached: Array) -> VoiSamples:
    lowest = jnp.minimum(jnp.min(jnp.where(reached, dose_gy, jnp.inf)), mean_gy)
    highest = jnp.maximum(jnp.max(jnp.where(reached, dose_gy, -jnp.inf)), mean_gy)
    return VoiSamples(dose_gy, spread_gy, weight, mean_gy, lowest, highest)


def traced_mean_gy(dose_gy: Float[Array, "i j k"], weight: Real[Array, "i j k"]) -> Float[Array, ""]:
    """Returns the mean dose of a VOI, over the voxels that `dvh_from_arrays` counts. Differentiable."""
    weight = jnp.where(weight > SLIVER, weight, 0.0)
    return jnp.sum(dose_gy * weight) / jnp.sum(weight)


def traced_volume_fraction(samples: VoiSamples, dose_gy: Scalar) -> Float[Array, ""]:
    """Returns V_x, the fraction of a VOI that receives at least `dose_gy`. Differentiable."""
    above = _above(samples, _half_widths(samples), dose_gy)
    return jnp.where(dose_gy <= samples.lowest_gy, 1.0, jnp.where(dose_gy > samples.highest_gy, 0.0, above))


def traced_dose_at_fraction(samples: VoiSamples, fraction: float) -> Float[Array, ""]:
    """Returns D_x in Gy, the dose that the hottest `fraction` receives at least. Differentiable.

    Args:
      samples: result of `voi_samples`.
      fraction: x / 100, above 0 and below 1.
    """
    half = _half_widths(samples)
    inside = samples.weight > 0
    low = jnp.min(jnp.where(inside, samples.dose_gy - half, jnp.inf))
    high = jnp.max(jnp.where(inside, samples.dose_gy + half, -jnp.inf))

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        enough = _above(samples, half, middle) >= fraction
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, high = lax.fori_loop(0, _HALVINGS, halve, lax.stop_gradient((low, high)))
    root = lax.stop_gradient((low + high) / 2)
    on_ramp = jnp.abs(samples.dose_gy - root) < half
    density = jnp.sum(jnp.where(on_ramp, samples.weight / (2 * half), 0.0)) / jnp.sum(samples.weight)
    # The value of this term is 0; its derivative is that of the implicit function.
    above = _above(samples, half, root)
    shift = (above - lax.stop_gradient(above)) / jnp.maximum(lax.stop_gradient(density), _TINY)
    return jnp.clip(root + jnp.where(density > 0, shift, 0.0), samples.lowest_gy, samples.highest_gy)


def _half_widths(samples: VoiSamples) -> Array:
    used = samples.weight > 0
    highest = jnp.max(jnp.where(used, samples.dose_gy, -jnp.inf))
    lowest = jnp.min(jnp.where(used, samples.dose_gy, jnp.inf))
    narrow = lax.stop_gradient((highest - lowest) * _NARROW + jnp.abs(highest) * _NARROW + _TINY)
    return jnp.maximum(samples.spread_gy / 2, narrow)


def _above(samples: VoiSamples, half: Array, dose_gy: Scalar) -> Array:
    counted = jnp.clip((samples.dose_gy - dose_gy) / (2 * half) + 0.5, 0.0, 1.0)
    return jnp.sum(samples.weight * counted) / jnp.sum(samples.weight)


def _voxel_spreads(dose_gy: Array) -> Array:
    widths = []
    for axis in range(3):
        padded = jnp.pad(dose_gy, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        ahead = lax.slice_in_dim(padded, 2, None, axis=axis) - dose_gy
        behind = dose_gy - lax.slice_in_dim(padded, 0, dose_gy.shape[axis], axis=axis)
        widths.append(jnp.abs(limited_slopes(ahead, behind)))
    return jnp.maximum(jnp.maximum(widths[0], widths[1]), widths[2])


def _patches(values: Array, voxels: Array) -> Array:
    """The 3x3x3 neighbourhood of each voxel, (voxels, 3, 3, 3); at the edge of the grid the edge repeats."""
    index = [
        jnp.clip(voxels[:, axis, None] + np.arange(-1, 2)[None], 0, size - 1) for axis, size in enumerate(values.shape)
    ]
    return values[index[0][:, :, None, None], index[1][:, None, :, None], index[2][:, None, None, :]]


def _filled(patches: Array, offsets: np.ndarray) -> Array:
    """Occupancy of each sub-point, (voxels, n, n, n), with the occupancy of the voxel as its mean."""
    hat = hat_weights(offsets)
    own = patches[:, 1, 1, 1]
    score = jnp.einsum("vabc,ia,jb,kc->vijk", patches, hat, hat, hat, precision=lax.Precision.HIGHEST)
    low, high = score.min(axis=(1, 2, 3)), score.max(axis=(1, 2, 3))
    edge = (own < 1) & (high - low > 1e-6)
    low, high = jnp.where(edge, low, 0.0), jnp.where(edge, high, 1.0)
    ramp = ((high - low) / len(offsets))[:, None, None, None]

    def at(level: Array) -> Array:
        return jnp.clip((score - level[:, None, None, None]) / ramp + 0.5, 0.0, 1.0)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        below, above = bracket
        level = (below + above) / 2
        too_full = at(level).mean(axis=(1, 2, 3)) > own
        return jnp.where(too_full, level, below), jnp.where(too_full, above, level)

    width = ramp[:, 0, 0, 0]
    below, above = lax.fori_loop(0, BISECTIONS, halve, lax.stop_gradient((low - width, high + width)))
    level = lax.stop_gradient((below + above) / 2)
    held = at(level)
    on_ramp = lax.stop_gradient(((held > 0) & (held < 1)).mean(axis=(1, 2, 3)) / width)
    # The level follows its occupancy as an implicit function; the value of this term is 0.
    excess = held.mean(axis=(1, 2, 3)) - own
    shift = (excess - lax.stop_gradient(excess)) / jnp.where(on_ramp > 0, on_ramp, 1.0)
    filled = at(level + jnp.where(on_ramp > 0, shift, 0.0))
    scale = own / jnp.maximum(filled.mean(axis=(1, 2, 3)), _TINY)
    return jnp.where(edge[:, None, None, None], filled * scale[:, None, None, None], own[:, None, None, None])
