"""Samples of the true dose, and the activity at which all limits are met with a probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from sirtjax.errors import ConfigError, InputError


@dataclass(frozen=True, kw_only=True)
class RobustOptions:
    """How an optimisation takes uncertainty into account.

    Attributes:
      probability: probability with which all limits together are to be met, between 0 and 1.
      limits: "chance": at most this fraction of the samples exceeds a limit, tightened by one standard error of the
        sample; "tail-mean": the mean over the worst samples keeps the limit, which is stricter.
      objective: "expected": mean over the samples; "worst-case": value that is reached with `probability`.

    Reference:
      Luedtke and Ahmed, A sample approximation approach for optimization with probabilistic constraints, 2008, for
      "chance"; Rockafellar and Uryasev, Optimization of conditional value-at-risk, Journal of Risk, 2000, for
      "tail-mean".
    """

    probability: float
    limits: Literal["chance", "tail-mean"] = "chance"
    objective: Literal["expected", "worst-case"] = "expected"

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ConfigError(f"robust: probability is {self.probability}; give a number between 0 and 1")
        if self.limits not in ("chance", "tail-mean"):
            raise ConfigError(f'robust: limits is "{self.limits}"; use "chance" or "tail-mean"')
        if self.objective not in ("expected", "worst-case"):
            raise ConfigError(f'robust: objective is "{self.objective}"; use "expected" or "worst-case"')


@dataclass(frozen=True, kw_only=True, eq=False)
class DoseScenarios:
    """Samples of the ratio of true to computed dose; a row is one sample, correlated over its columns.

    Attributes:
      limits: (samples, limits) ratio for each limit.
      targets: (samples, targets) ratio for each target of the protocol.
      tumours: (samples, tumours) ratio for the metric of the objective in each tumour.
      liver: (samples,) ratio for the mean dose of the whole normal liver.
    """

    limits: Float[np.ndarray, "samples limits"]
    targets: Float[np.ndarray, "samples targets"]
    tumours: Float[np.ndarray, "samples tumours"]
    liver: Float[np.ndarray, " samples"]

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.liver)


def check_scenarios(
    options: RobustOptions, scenarios: DoseScenarios, *, limits: int, targets: int, tumours: int
) -> None:
    """Refuses samples that do not belong to the problem or are too few for its probability.

    Args:
      options: probability and method.
      scenarios: samples of the dose ratios.
      limits: number of limits.
      targets: number of targets.
      tumours: number of tumours.

    Raises:
      InputError: a shape or a value is not usable, or there are too few samples.
    """
    count = scenarios.count
    for name, values, columns in (
        ("limits", scenarios.limits, limits),
        ("targets", scenarios.targets, targets),
        ("tumours", scenarios.tumours, tumours),
    ):
        if values.shape != (count, columns):
            raise InputError(f"scenarios: {name} of shape {values.shape}, expected ({count} samples, {columns})")
    for name, values in vars(scenarios).items():
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise InputError(f"scenarios: {name} must be finite ratios above 0")
    if allowed_violations(count, options.probability) is None:
        raise InputError(
            f"scenarios: {count} samples are too few for a probability of {options.probability:g}; "
            f"use at least {needed_samples(options.probability)}"
        )


def allowed_violations(count: int, probability: float) -> int | None:
    """Returns how many of the samples may exceed a limit; None if there are too few samples.

    One standard error of the sample is subtracted: an optimum on few samples fits their gaps, and would keep its
    probability only on them.

    Args:
      count: number of samples.
      probability: probability to keep.

    Examples:
      >>> allowed_violations(1000, 0.9), allowed_violations(10, 0.95)
      (90, None)
    """
    allowed = count * (1 - probability) - math.sqrt(count * probability * (1 - probability))
    return int(max(allowed, 0.0) + 1e-9) if allowed >= -1e-9 else None


def needed_samples(probability: float) -> int:
    """Returns the smallest number of samples with which a probability can be kept."""
    return math.ceil(probability / (1 - probability) - 1e-9)


def robust_use(use: Float[np.ndarray, " samples"], options: RobustOptions) -> float:
    """Computes the use of the limits that counts: at most 1 if they are kept with the probability.

    Args:
      use: (samples,) largest ratio of dose to limit in each sample.
      options: probability and method.

    Returns:
      Use of the limits. It is proportional to the activity, so its inverse is the factor that is still allowed.
    """
    worst = np.sort(use)[::-1]
    if options.limits == "chance":
        return float(worst[allowed_violations(len(use), options.probability) or 0])
    tail = len(use) * (1 - options.probability)
    weight = np.clip(tail - np.arange(len(use)), 0.0, 1.0)
    return float(worst @ weight / weight.sum())
