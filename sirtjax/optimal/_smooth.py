"""Limits and objective as smooth functions of the activities, with their derivatives, in arrays of fixed shapes.

Only the search uses these functions. The exact histograms decide on the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.compilation_cache import cached_jit
from sirtjax.dosimetry import smooth_dose_at_volume_fraction_gy, smooth_volume_fraction_at_dose
from sirtjax.ops import full_precision
from sirtjax.typing import Array, Scalar

# Weight of the mean tumour dose over its target in the objective "volume", whose derivative is 0 far from the target.
NUDGE = 1e-4
_TINY = 1e-30


class SearchData(NamedTuple):
    """A problem in padded arrays; the activities are in units of each injection's own bound.

    Attributes:
      limit_mean: (l, n) use of each linear limit per unit.
      limit_dose, limit_weight: (q, cells, n) and (q, cells): dose over limit in the cells of each limit on D_x.
      limit_fraction: (q,) volume fractions x.
      tumour_mean: (t, n) mean dose per unit, Gy.
      tumour_square: (t, n, n) mean product of two doses per unit, times its BED factor.
      tumour_dose, tumour_weight: (t, cells, n) Gy and (t, cells) volumes.
      tumour_target: (t,) target doses, Gy.
      tumour_used: (t,) 1 for a tumour, 0 for padding.
      limit_scale, tumour_scale: (l + q,) and (t,) factors by which the exact metric differs from the smooth one.
      liver_mean, liver_square: (n,) and (n, n), the same of the normal liver.
      numbers: (5,) alpha, dose for 50 % TCP and its slope, dose for 50 % NTCP and its slope.
      limit_ratio, tumour_ratio, liver_ratio: (s, l + q), (s, t), (s,) samples of true over computed dose.
      level_ratio: (t, k) ratios at which the histogram or the survival of a tumour is evaluated.
      level_weight: (s, t, k) weights of these ratios in each sample.
      sample_weight: (s,) 1 for a sample, 0 for padding.
      limit_probability: probability that the limits are kept; tightened for "chance".
      gain_probability: probability of the worst case of the objective.
      bandwidth: width of the smoothing, as a fraction of the standard deviation of the dose.
    """

    limit_mean: Float[Array, "l n"]
    limit_dose: Float[Array, "q cells n"]
    limit_weight: Float[Array, "q cells"]
    limit_fraction: Float[Array, " q"]
    tumour_mean: Float[Array, "t n"]
    tumour_square: Float[Array, "t n n"]
    tumour_dose: Float[Array, "t cells n"]
    tumour_weight: Float[Array, "t cells"]
    tumour_target: Float[Array, " t"]
    tumour_used: Float[Array, " t"]
    limit_scale: Float[Array, " l_and_q"]
    tumour_scale: Float[Array, " t"]
    liver_mean: Float[Array, " n"]
    liver_square: Float[Array, "n n"]
    numbers: Float[Array, "5"]
    limit_ratio: Float[Array, "s l_and_q"]
    tumour_ratio: Float[Array, "s t"]
    liver_ratio: Float[Array, " s"]
    level_ratio: Float[Array, "t k"]
    level_weight: Float[Array, "s t k"]
    sample_weight: Float[Array, " s"]
    limit_probability: Scalar
    gain_probability: Scalar
    bandwidth: Scalar


@full_precision
def smooth_values(
    units: Float[Array, " n"], shift: Float[Array, " l_and_q"], data: SearchData, *, kind: str, limits: str, gain: str
) -> tuple[Float[Array, " g"], Float[Array, " c"]]:
    """Computes the values to maximise (the smallest counts) and the use of the limits.

    Args:
      units: (n,) activities in units of each injection's own bound.
      shift: (l + q,) relative increase of each limit, 0 for the limits as they are.
      data: the problem.
      kind: objective, as in `TumourObjective`; UTCP as its logarithm.
      limits: "each" limit by its own value, or "chance" or "tail-mean" over the samples.
      gain: "each" tumour by its own value, or "nominal", "expected" or "worst-case" as one number.

    Returns:
      (tumours,) or (1,) values to maximise, and (limits,) or (1,) uses of limits, at most 1 if kept.
    """
    use = _limit_use(units, data) / (1 + shift)
    if limits != "each":
        use = _robust_use(jnp.max(data.limit_ratio * use[None], axis=1), data, limits)[None]
    if gain == "each":
        return _tumour_doses(units, data, kind), use
    if gain == "nominal":
        ones = jnp.ones((1, len(data.tumour_used)))
        data = data._replace(
            tumour_ratio=ones, liver_ratio=jnp.ones(1), level_ratio=ones.T, level_weight=ones[:, :, None]
        )
        return _sample_values(units, data, kind), use
    values = _sample_values(units, data, kind)
    weight = data.sample_weight
    if gain == "worst-case":
        width = _width(values, weight, data.bandwidth)
        found = smooth_dose_at_volume_fraction_gy(values, weight, data.gain_probability, bandwidth_gy=width)
    elif kind == "utcp":
        found = jax.nn.logsumexp(values, b=weight) - jnp.log(jnp.sum(weight))
    else:
        found = jnp.sum(weight * values) / jnp.sum(weight)
    return found[None], use


def _values_and_derivatives(
    units: Float[Array, " n"], data: SearchData, *, kind: str, limits: str, gain: str
) -> tuple[tuple[Float[Array, " g"], Float[Array, " c"]], tuple[Float[Array, "g n"], Float[Array, "c n"]]]:
    """Values of `smooth_values` and their exact derivatives by the activities."""
    shift = jnp.zeros_like(data.limit_scale)

    def part(index: int) -> Callable[[Array], tuple[Array, Array]]:
        def one(units: Array) -> tuple[Array, Array]:
            found = smooth_values(units, shift, data, kind=kind, limits=limits, gain=gain)[index]
            return found, found

        return one

    # Backwards for one number, forwards for many: the cost is that of one value times the shorter side.
    by_gains, gains = (jax.jacfwd if gain == "each" else jax.jacrev)(part(0), has_aux=True)(units)
    by_uses, uses = (jax.jacfwd if limits == "each" else jax.jacrev)(part(1), has_aux=True)(units)
    return (gains, uses), (by_gains, by_uses)


def _use_by_shift(units: Float[Array, " n"], data: SearchData, *, limits: str) -> Float[Array, "c l_and_q"]:
    """Derivative of the use of the limits by a relative increase of each limit."""

    def use(shift: Array) -> Array:
        return smooth_values(units, shift, data, kind="mean", limits=limits, gain="each")[1]

    derivative: Array = jax.jacrev(use)(jnp.zeros_like(data.limit_scale))
    return derivative


values_and_derivatives = cached_jit(_values_and_derivatives, static_argnames=("kind", "limits", "gain"))
use_by_shift = cached_jit(_use_by_shift, static_argnames=("limits",))


def _limit_use(units: Array, data: SearchData) -> Array:
    use = data.limit_mean @ units
    if len(data.limit_fraction):

        def curved(dose: Array, weight: Array, fraction: Array) -> Array:
            return _dose_at(dose @ units, weight, fraction, data.bandwidth)

        use = jnp.concatenate([use, jax.vmap(curved)(data.limit_dose, data.limit_weight, data.limit_fraction)])
    return use * data.limit_scale


def _robust_use(worst: Array, data: SearchData, limits: str) -> Array:
    tail = 1 - data.limit_probability
    reached = _dose_at(worst, data.sample_weight, tail, data.bandwidth)
    if limits == "chance":
        return reached
    # The tail mean by its definition as a minimum over a threshold, at which the derivative by the threshold is 0.
    threshold = jax.lax.stop_gradient(reached)
    beyond = jnp.sum(data.sample_weight * jnp.maximum(worst - threshold, 0)) / jnp.sum(data.sample_weight)
    return threshold + beyond / tail


def _tumour_doses(units: Array, data: SearchData, kind: str) -> Array:
    if kind != "d70":
        return data.tumour_mean @ units

    def at(dose: Array, weight: Array) -> Array:
        return _dose_at(dose @ units, weight, 0.7, data.bandwidth)

    return jax.vmap(at)(data.tumour_dose, data.tumour_weight) * data.tumour_scale


def _sample_values(units: Array, data: SearchData, kind: str) -> Array:
    """The objective in each sample, (s,); the histogram of a tumour is interpolated between ratios."""
    used = data.tumour_used > 0
    if kind in ("mean", "d70"):
        doses = data.tumour_ratio * _tumour_doses(units, data, kind)[None]
        return jnp.min(jnp.where(used[None], doses, jnp.inf), axis=1)
    if kind == "utcp":
        return _log_utcp(units, data)
    size = jnp.sum(data.tumour_weight, axis=1) * data.tumour_used

    def one(dose: Array, weight: Array, target: Array, levels: Array) -> Array:
        return _at_levels(units, data, dose, weight, target, levels, kind=kind)

    found = jax.vmap(one)(data.tumour_dose, data.tumour_weight, data.tumour_target, data.level_ratio)
    by_sample = jnp.sum(data.level_weight * found[None], axis=2)
    if kind == "volume":
        nudge = jnp.sum(jnp.where(used, data.tumour_mean @ units / data.tumour_target, 0.0)) / jnp.sum(used)
        return jnp.sum(by_sample * size[None], axis=1) / jnp.sum(size) + NUDGE * nudge
    alpha = data.numbers[0]
    survival = jax.nn.logsumexp(jnp.where(used[None], by_sample, -jnp.inf), axis=1)
    return (jnp.log(jnp.sum(size)) - survival) / alpha


def _at_levels(
    units: Array, data: SearchData, dose: Array, weight: Array, target: Array, levels: Array, *, kind: str
) -> Array:
    """Volume fraction above the target, or logarithm of the survival, of one tumour at each ratio of the dose."""
    values = dose @ units
    if kind == "volume":
        width = _width(values, weight, data.bandwidth)
        return jax.vmap(
            lambda ratio: smooth_volume_fraction_at_dose(values, weight, target / ratio, bandwidth_gy=width)
        )(levels)
    used = weight > 0
    return jax.vmap(
        lambda ratio: jax.nn.logsumexp(jnp.where(used, -data.numbers[0] * ratio * values, -jnp.inf), b=weight)
    )(levels)


def _log_utcp(units: Array, data: SearchData) -> Array:
    tumours, liver = data.tumour_ratio, data.liver_ratio
    half, gamma, liver_half, m = data.numbers[1], data.numbers[2], data.numbers[3], data.numbers[4]
    linear = data.tumour_mean @ units
    quadratic = jnp.einsum("tij,i,j->t", data.tumour_square, units, units)
    used = data.tumour_used[None] > 0
    # 1 for padding, whose derivative would otherwise be 0 times infinity.
    metric = jnp.where(used, jnp.maximum(tumours * linear[None] + tumours**2 * quadratic[None], _TINY), 1.0)
    lost = jnp.logaddexp(0.0, 4 * gamma * (jnp.log(half) - jnp.log(metric)))
    damage = liver * (data.liver_mean @ units) + liver**2 * (units @ data.liver_square @ units)
    spared = jax.scipy.special.log_ndtr((liver_half - damage) / (m * liver_half))
    return spared - jnp.sum(jnp.where(used, lost, 0.0), axis=1)


def _dose_at(values: Array, weight: Array, fraction: Scalar, bandwidth: Scalar) -> Array:
    width = _width(values, weight, bandwidth)
    return smooth_dose_at_volume_fraction_gy(values, weight, fraction, bandwidth_gy=width)


def _width(values: Array, weight: Array, bandwidth: Scalar) -> Array:
    """The smoothing width: a fraction of the standard deviation, without a derivative of its own."""
    values, weight = jax.lax.stop_gradient((values, weight))
    total = jnp.maximum(jnp.sum(weight), _TINY)
    mean = jnp.sum(weight * values) / total
    spread = jnp.sqrt(jnp.sum(weight * (values - mean) ** 2) / total)
    return jnp.maximum(bandwidth * spread, 1e-5 * jnp.abs(mean) + 1e-12)
