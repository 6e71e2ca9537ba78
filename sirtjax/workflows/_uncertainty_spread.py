"""The simulations of one metric relative to its estimate, and the interval that they give around a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from sirtjax import uncertainty
from sirtjax.typing import Array
from sirtjax.workflows._uncertainty_record import Interval

# Volume fractions closer to 0 and 1 have no logit.
EDGE = 0.01


@dataclass(frozen=True, eq=False)
class Spread:
    """The simulations of one metric, relative to its estimate: logarithms, or logits of a volume fraction.

    Attributes:
      samples: (count,) true value minus estimate of each simulation.
      lower, middle, upper: interval of the true value minus the estimate.
      bias: estimate minus true value, typical of the simulations.
      deviation, deviation_error: standard deviation of the samples and its Monte Carlo error.
      linear: standard deviation by linear propagation; None or NaN if it was not computed.
      differs: whether both differ.
      budget: fraction of the variance by source.
    """

    samples: Float64[np.ndarray, " count"]
    lower: float
    middle: float
    upper: float
    bias: float
    deviation: float
    deviation_error: float
    linear: float | None
    differs: bool
    budget: dict[str, float]


def interval_around(corrected: float, spread: Spread, *, fraction: bool = False) -> Interval:
    """Returns the interval around a corrected value.

    Args:
      corrected: corrected value, above 0.
      spread: simulations of the metric.
      fraction: whether the value is a volume fraction, whose logit is normal, instead of a dose, whose logarithm is.
    """
    start = _logit(corrected) if fraction else math.log(corrected)

    def back(shift: float) -> float:
        return float(_expit(np.array([start + shift]))[0]) if fraction else math.exp(start + shift)

    shifted = start + spread.samples
    samples = _expit(shifted) if fraction else np.exp(shifted)
    middle = back(spread.middle)
    slope = middle * (1.0 - middle) if fraction else middle
    deviation = float(samples.std(ddof=1))
    linear = None if spread.linear is None or math.isnan(spread.linear) else slope * spread.linear
    estimate_over_truth = back(0.0) / middle - 1.0
    return Interval(
        median=_at_edge(middle) if fraction else middle,
        expectation=float(samples.mean()),
        relative_bias=estimate_over_truth,
        standard_deviation=deviation,
        standard_deviation_error=deviation * spread.deviation_error / max(spread.deviation, 1e-12),
        lower=_at_edge(back(spread.lower)) if fraction else back(spread.lower),
        upper=_at_edge(back(spread.upper)) if fraction else back(spread.upper),
        linear_standard_deviation=linear,
        differs=spread.differs,
        budget=spread.budget,
    )


def mapped_interval(
    dose: Interval, samples: Float64[np.ndarray, " count"], function: Callable[[float], float]
) -> Interval:
    """Returns the interval of a monotone function of a dose.

    Args:
      dose: interval of the dose.
      samples: (count,) samples of the dose.
      function: increasing function.
    """
    values = np.asarray([function(float(one)) for one in samples])
    middle = function(dose.median)
    step = 0.01 * dose.median
    slope = (function(dose.median + step) - function(dose.median - step)) / (2.0 * step)
    linear = dose.linear_standard_deviation
    estimate = function(dose.median * (1.0 + dose.relative_bias))
    deviation = float(values.std(ddof=1))
    return Interval(
        median=middle,
        expectation=float(values.mean()),
        relative_bias=estimate / middle - 1.0 if middle > 0 else 0.0,
        standard_deviation=deviation,
        standard_deviation_error=deviation * dose.standard_deviation_error / max(dose.standard_deviation, 1e-12),
        lower=function(dose.lower),
        upper=function(dose.upper),
        linear_standard_deviation=None if linear is None else slope * linear,
        differs=dose.differs,
        budget=dose.budget,
    )


def _logit(value: float) -> float:
    inside = min(max(value, EDGE), 1.0 - EDGE)
    return math.log(inside / (1.0 - inside))


def _expit(value: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    found: Float64[np.ndarray, "..."] = 1.0 / (1.0 + np.exp(-value))
    return found


def _at_edge(value: float) -> float:
    """A bound beyond the smallest and largest logit: the fraction is not known better than 0 and 1."""
    return 0.0 if value <= EDGE + 1e-6 else 1.0 if value >= 1.0 - EDGE - 1e-6 else value


def spread_of(
    found: uncertainty.TreatmentIntervals,
    pick: Callable[[uncertainty.DoseMetrics], Float[Array, "..."]],
    names: dict[str, str],
    *,
    fraction: bool = False,
) -> Spread:
    """Returns the simulations of one metric.

    Args:
      found: all simulations.
      pick: function that selects the metric; samples are its leading axis.
      names: name in the case of each simulated source.
      fraction: whether the metric is a volume fraction.
    """

    def scale(values: uncertainty.DoseMetrics) -> float:
        value = float(pick(values))
        return _logit(value) if fraction else math.log(max(value, 1e-6))

    start, linear = scale(found.estimate), None
    budget: dict[str, float] = {}
    if found.budget is not None:
        budget = {names[name]: float(pick(part)) for name, part in found.budget.items()}
    if found.linear is not None:
        linear = float(pick(found.linear.standard_deviation))
        if found.budget is None and not math.isnan(linear):
            budget = {names[name]: float(pick(part)) for name, part in found.linear.budget.items()}
    return Spread(
        samples=-np.asarray(pick(found.log_ratios), np.float64),
        lower=scale(found.lower) - start,
        middle=scale(found.median) - start,
        upper=scale(found.upper) - start,
        bias=start - scale(found.median),
        deviation=float(pick(found.standard_deviation)),
        deviation_error=float(pick(found.standard_deviation_error)),
        linear=linear,
        differs=found.differs is not None and bool(pick(found.differs)),
        budget={name: part for name, part in budget.items() if math.isfinite(part)},
    )


def lung_spread(
    found: uncertainty.TreatmentIntervals, shunt_gy: float, spill_gy: float, names: dict[str, str]
) -> Spread | None:
    """Returns the spread of the lung dose of all injections; None without a lung shunt.

    Args:
      found: simulations.
      shunt_gy: dose of the shunted activity.
      spill_gy: dose of the betas from the liver, taken as exact.
      names: name in the case of each simulated source.
    """
    doses = np.asarray(found.estimate.lung_gy, np.float64)
    used = doses > 1e-4
    if not used.any() or shunt_gy <= 0:
        return None
    share = doses[used] / doses[used].sum()
    ratios = np.exp(-np.asarray(found.log_ratios.lung_gy, np.float64))[:, used] @ share
    samples = np.log((shunt_gy * ratios + spill_gy) / (shunt_gy + spill_gy))
    largest = int(doses.argmax())
    one = spread_of(found, lambda d: d.lung_gy[..., largest], names)
    # The sum of several injections and the exact part scale the interval of one of them.
    width = float(samples.std(ddof=1)) / max(one.deviation, 1e-12)
    middle = float(samples.mean())
    return Spread(
        samples=samples,
        lower=middle + (one.lower - one.middle) * width,
        middle=middle,
        upper=middle + (one.upper - one.middle) * width,
        bias=-middle,
        deviation=one.deviation * width,
        deviation_error=one.deviation_error * width,
        linear=None if one.linear is None else one.linear * width,
        differs=one.differs,
        budget=one.budget,
    )
