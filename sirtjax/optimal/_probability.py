"""Probabilities that limits and targets are met, over the activity."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.errors import ConfigError
from sirtjax.optimal._exact import limit_use
from sirtjax.optimal._problem import ActivityProblem
from sirtjax.optimal._result import ProbabilityCurve

CURVE_POINTS = 121
# The curve extends beyond the activity at which nearly all samples exceed a limit.
CURVE_REACH = 1.6


def limits_probability(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> float | None:
    """Computes the probability that all limits are kept; None without samples.

    Args:
      problem: injections, limits and scenarios.
      activity_mbq: (injections,) activities, MBq.
    """
    if problem.scenarios is None:
        return None
    return float((_largest_use(problem, activity_mbq) <= 1 + 1e-9).mean())


def targets_probability(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> float | None:
    """Computes the probability that all targets of the protocol are met; None without samples or targets.

    Args:
      problem: injections, targets and scenarios.
      activity_mbq: (injections,) activities, MBq.
    """
    if problem.scenarios is None or not problem.targets:
        return None
    return float((_lowest_part(problem, activity_mbq) >= 1 - 1e-9).mean())


def probability_curve(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> ProbabilityCurve:
    """Computes both probabilities over the total activity, in the proportions of chosen activities.

    Doses are proportional to the activity, so one evaluation gives the whole curve.

    Args:
      problem: injections, limits, targets and scenarios.
      activity_mbq: (injections,) chosen activities, MBq.

    Raises:
      ConfigError: the problem has no scenarios, or there is no activity.
    """
    total = float(activity_mbq.sum())
    if problem.scenarios is None or not total > 0:
        raise ConfigError("probability curve: requires samples of the dose and an activity above 0")
    use = _largest_use(problem, activity_mbq)
    multiple = np.linspace(0, CURVE_REACH * max(1.0, float(np.quantile(1 / use, 0.5))), CURVE_POINTS)
    limits = (multiple[:, None] * use <= 1 + 1e-9).mean(axis=1)
    targets = np.zeros(0)
    if problem.targets:
        targets = (multiple[:, None] * _lowest_part(problem, activity_mbq) >= 1 - 1e-9).mean(axis=1)
    return ProbabilityCurve(
        activity_mbq=tuple(float(a) for a in multiple * total),
        limits_met=tuple(float(p) for p in limits),
        targets_met=tuple(float(p) for p in targets),
    )


def _largest_use(
    problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]
) -> Float[np.ndarray, " samples"]:
    ratio = np.ones((1, len(problem.limits))) if problem.scenarios is None else problem.scenarios.limits
    return np.asarray((ratio * limit_use(problem, activity_mbq)).max(axis=1))


def _lowest_part(
    problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]
) -> Float[np.ndarray, " samples"]:
    """The smallest fraction of a target that each sample reaches; an earlier treatment may have met it."""
    parts: list[NDArray[np.float64]] = []
    count = 1 if problem.scenarios is None else problem.scenarios.count
    for index, (target, voi) in enumerate(problem.targets):
        room = target.dose_gy - (voi.previous_gy if target.cumulative else 0.0)
        ratio = np.ones(count) if problem.scenarios is None else problem.scenarios.targets[:, index]
        met = np.full(count, np.inf)
        parts.append(ratio * (voi.value_gy(target, activity_mbq) / room) if room > 0 else met)
    return np.asarray(np.min(np.asarray(parts), axis=0))
