"""The bounds of the activities and the prescribed activities, by the formulas of `dosimetry.prescribe`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from sirtjax import dosimetry
from sirtjax.ops import full_precision
from sirtjax.pipeline._records import ObjectiveConfig, OutcomeInputs, PipelineConfig
from sirtjax.typing import Array, Scalar

# D_x in Gy of a VOI for activities in MBq and a volume fraction.
DoseAtFraction = Callable[[str, Float[Array, " injections"], float], Float[Array, ""]]


class Bounds(NamedTuple):
    """Bounds and activities of a plan.

    Attributes:
      bounds_mbq: (objectives, injections) activity at which each objective is met if only this injection is given.
      lower_mbq, upper_mbq: (injections,) largest of the targets and smallest of the limits.
      scale: factor of the joint reduction.
      activity_mbq: (injections,) prescribed activities.
      joint: factor of the joint reduction of the upper bounds; other than `scale` for a strategy by outcome.
    """

    bounds_mbq: Float[Array, "objectives injections"]
    lower_mbq: Float[Array, " injections"]
    upper_mbq: Float[Array, " injections"]
    scale: Scalar
    activity_mbq: Float[Array, " injections"]
    joint: Scalar


def prescribed_activities(
    mean_gy_per_mbq: Mapping[str, Float[Array, " injections"]],
    dose_at_fraction: DoseAtFraction,
    *,
    limits_gy: Float[Array, " objectives"],
    previous_lung_gy: Scalar,
    config: PipelineConfig,
    shares: Float[Array, " injections"] | None = None,
    fixed_mbq: Float[Array, " injections"] | None = None,
    outcome: OutcomeInputs | None = None,
    mean_products: Mapping[str, Float[Array, "injections injections"]] | None = None,
) -> Bounds:
    """Returns the bounds and the prescribed activities.

    They are differentiable, except where two objectives set the same bound.

    Args:
      mean_gy_per_mbq: mean dose per MBq of each VOI, and of the "lungs".
      dose_at_fraction: D_x of a VOI.
      limits_gy: targets and limits.
      previous_lung_gy: lung dose of earlier treatments.
      config: objectives, choice and split.
      shares: proportions, for `allocation` "shares"; constants for derivatives.
      fixed_mbq: prescribed activities, for `strategy` "fixed".
      outcome: dose responses, for "ntcp" and "max-utcp".
      mean_products: mean over each VOI of the product of the doses per MBq of two injections, for a mean BED.
    """
    found = _objectives(mean_gy_per_mbq, dose_at_fraction, limits_gy, previous_lung_gy, config)
    if outcome is not None and config.strategy in dosimetry.OUTCOME_STRATEGIES:
        found = found._replace(outcome=outcome, mean_products=mean_products)
    alike = _activities(found, None, fixed_mbq)
    if config.strategy in ("lower", "fixed") or config.allocation == "proportional":
        return alike
    if config.allocation == "even":
        own = jnp.stack([mean_gy_per_mbq[name][index] for index, name in enumerate(config.injections)])
        shares = dosimetry.even_dose_activity_mbq(own)
    if shares is None:
        return alike
    split = _activities(found, shares / jnp.sum(shares), fixed_mbq)
    # Whether limits couple the territories depends on the upper bounds, not on the multiple of them that is selected.
    return Bounds(*(jnp.where(alike.joint < 1, second, first) for first, second in zip(alike, split, strict=True)))


class _Objectives(NamedTuple):
    """The objectives with the doses they look at; `bounds` as in `Bounds`, `rooms` the doses left to each."""

    means: Mapping[str, Any]
    dose_at_fraction: DoseAtFraction
    config: PipelineConfig
    rooms: list[Any]
    bounds: Any
    outcome: OutcomeInputs | None = None
    mean_products: Mapping[str, Any] | None = None


def _objectives(
    means: Mapping[str, Array],
    dose_at_fraction: DoseAtFraction,
    limits_gy: Array,
    previous_gy: Scalar,
    config: PipelineConfig,
) -> _Objectives:
    rooms = [
        jnp.maximum(limits_gy[index] - (previous_gy if objective.cumulative else 0.0), 0.0)
        for index, objective in enumerate(config.objectives)
    ]
    count = len(config.injections)
    alone = _Objectives(means, dose_at_fraction, config, rooms, jnp.zeros((0, count)))
    rows = [
        dosimetry.activity_multiple(room, _along(alone, objective, jnp.eye(count)))
        for room, objective in zip(rooms, config.objectives, strict=True)
    ]
    return alone._replace(bounds=jnp.stack(rows)) if rows else alone


@full_precision
def _along(found: _Objectives, objective: ObjectiveConfig, rays: Any) -> Any:
    """The dose that an objective looks at, for each of (rays, injections)."""
    fraction = objective.volume_fraction
    if fraction is None:
        return rays @ found.means[objective.voi]
    return lax.map(lambda ray: found.dose_at_fraction(objective.voi, ray, fraction), rays)


def _multiple(found: _Objectives, index: int, ray: Any) -> Any:
    if len(ray) == 1:
        return found.bounds[index, 0] / ray[0]
    gy = _along(found, found.config.objectives[index], ray[None])[0]
    return dosimetry.activity_multiple(found.rooms[index], gy)


def _activities(found: _Objectives, shares: Any, fixed_mbq: Any) -> Bounds:
    """The bounds and activities in these proportions, or without any."""
    config, bounds = found.config, found.bounds
    count, names = len(config.injections), np.asarray(config.injections)
    limits = [index for index, one in enumerate(config.objectives) if one.direction == "at most"]
    targets = [(index, one) for index, one in enumerate(config.objectives) if one.direction == "at least"]
    upper = jnp.min(bounds[np.asarray(limits)], axis=0) if limits else jnp.full(count, jnp.inf)
    lower = jnp.zeros(count)
    for index, one in targets:
        if len(one.territories) == 1:
            lower = jnp.where(names == one.territories[0], jnp.maximum(lower, bounds[index]), lower)
    shared = [(index, one) for index, one in targets if len(one.territories) > 1]
    if shared:
        ray = dosimetry.split_proportions(upper, lower)[0] if shares is None else shares
        for index, one in shared:
            fed = _multiple(found, index, ray) * ray
            lower = jnp.where(np.isin(names, one.territories), jnp.maximum(lower, fed), lower)
    on_liver = [index for index in limits if config.objectives[index].on_liver]
    unlimited = jnp.all(jnp.isinf(bounds[np.asarray(on_liver, int)]), axis=0)
    if config.strategy == "fixed":
        return Bounds(bounds, lower, upper, jnp.asarray(1.0), jnp.asarray(fixed_mbq), jnp.asarray(1.0))
    if config.strategy == "lower":
        start = dosimetry.lowest_start(lower, shares, jnp.ones(count, bool))
    else:
        start = dosimetry.upper_start(upper, lower, unlimited, shares)
    multiples = [_multiple(found, index, start) for index in limits]
    smallest = jnp.min(jnp.stack(multiples)) if multiples else jnp.asarray(jnp.inf)
    free = ~jnp.any(unlimited) if shares is not None and config.strategy != "lower" else jnp.asarray(False)
    joint = dosimetry.joint_scale(smallest, free=free)
    scale = joint if found.outcome is None else _outcome_multiple(found, found.outcome, start, smallest)
    return Bounds(bounds, lower, upper, scale, start * scale, joint)


@full_precision
def _outcome_multiple(found: _Objectives, outcome: OutcomeInputs, ray: Any, most: Any) -> Any:
    """The multiple of the activities at start that the NTCP or TCP (1 - NTCP) selects, within the limits."""

    def metric(name: str, bed_per_gy: Any) -> tuple[Any, Any]:
        products = None if found.mean_products is None else found.mean_products[name]
        squared = jnp.asarray(0.0) if products is None else bed_per_gy * (ray @ products @ ray)
        return found.means[name] @ ray, squared

    liver = metric("normal liver", outcome.liver_bed_per_gy)
    targets = [metric(name, outcome.tumour_bed_per_gy) for name in found.config.targets]
    curve = dosimetry.OutcomeRay(
        tumour_linear=jnp.asarray([linear for linear, _ in targets]),
        tumour_quadratic=jnp.asarray([quadratic for _, quadratic in targets]),
        tumour_d50_gy=outcome.tumour_d50_gy,
        tumour_gamma50=outcome.tumour_gamma50,
        liver_linear=liver[0],
        liver_quadratic=liver[1],
        liver_d50_gy=outcome.liver_d50_gy,
        liver_m=outcome.liver_m,
    )
    if found.config.strategy == "ntcp":
        return jnp.minimum(dosimetry.ntcp_multiple(outcome.wanted_ntcp, curve), most)
    return dosimetry.best_multiple(curve, most)
