"""Intervals of a quantity from re-simulated measurements, without the bias of the estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from sirtjax.errors import InputError


@dataclass(frozen=True, eq=False)
class CentredInterval:
    """The interval of a positive quantity.

    Attributes:
      median: (m,) estimate without its bias.
      lower, upper: (m,) bounds of the interval.
      relative_bias: (m,) typical estimate over truth, minus 1.
      log_standard_deviation: (m,) standard deviation of the logarithm of estimate over truth.
    """

    median: Float[np.ndarray, " m"]
    lower: Float[np.ndarray, " m"]
    upper: Float[np.ndarray, " m"]
    relative_bias: Float[np.ndarray, " m"]
    log_standard_deviation: Float[np.ndarray, " m"]


def centred_interval(
    estimate: Float[np.ndarray, " m"], ratios: Float[np.ndarray, "count m"], *, level: float = 0.9
) -> CentredInterval:
    """Computes log-normal intervals of the truth from repeated simulations of its measurement.

    Each simulation starts from a known truth, simulates the measurement with its errors and repeats the estimate. With
    r = estimate / truth of the simulations, log(truth) is normal about log(estimate) - mean(log r) with the standard
    deviation of log r. Quantiles of estimates around the measured data would contain the same errors twice, because
    the measured data already contain them.

    Args:
      estimate: (m,) estimates from the measured data, above 0.
      ratios: (count, m) estimate over truth of each simulation, above 0.
      level: probability of the interval, between 0 and 1.

    Raises:
      InputError: fewer than 16 simulations, or values that are not above 0 and finite.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import uncertainty
      >>> ratios = 0.8 * np.exp(np.random.default_rng(0).normal(0.0, 0.1, (4096, 1)))  # 20 % too low, 10 % scatter
      >>> found = uncertainty.centred_interval(np.array([80.0]), ratios)
      >>> round(float(found.median[0]))
      100
    """
    estimate, ratios = np.asarray(estimate, np.float64), np.asarray(ratios, np.float64)
    if len(ratios) < 16:
        raise InputError(f"ratios: expected at least 16 simulations, got {len(ratios)}")
    if not 0 < level < 1:
        raise InputError(f"level: expected a probability between 0 and 1, got {level}")
    for name, values in (("estimate", estimate), ("ratios", ratios)):
        if not np.all(np.isfinite(values) & (values > 0)):
            raise InputError(f"{name}: expected finite values above 0; a quantity of 0 Gy has no relative interval")
    logs = np.log(ratios)
    bias, spread = logs.mean(axis=0), logs.std(axis=0, ddof=1)
    # The mean and the deviation of few simulations are themselves uncertain: Student's quantile.
    reach = special.stdtrit(len(ratios) - 1, 0.5 + level / 2) * np.sqrt(1 + 1 / len(ratios)) * spread
    middle = np.log(estimate) - bias
    return CentredInterval(
        median=np.exp(middle),
        lower=np.exp(middle - reach),
        upper=np.exp(middle + reach),
        relative_bias=np.expm1(bias),
        log_standard_deviation=spread,
    )
