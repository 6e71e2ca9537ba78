"""Limits and objective at given activities, by the exact histograms of the plan; nothing here is smoothed."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.dosimetry import OutcomeModel, VoiDose
from sirtjax.optimal._histogram import fractions_at_doses, values_gy, voi_samples
from sirtjax.optimal._problem import D70, ActivityProblem
from sirtjax.optimal._robust import robust_use
from sirtjax.optimal._survival import log_survivals

Floats = NDArray[np.float64]


def limit_use(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> Float[np.ndarray, " limits"]:
    """Computes the fraction of each limit that activities use; a limit is kept up to 1.

    Earlier treatments are subtracted from both dose and limit.

    Args:
      problem: injections and limits.
      activity_mbq: (injections,) activities, MBq.
    """
    doses = np.empty(len(problem.limits))
    # A VOI with several limits is evaluated once.
    for voi in {id(voi): voi for _, voi in problem.limits}.values():
        own = [index for index, (_, other) in enumerate(problem.limits) if other is voi]
        doses[own] = values_gy(voi, [problem.limits[index][0] for index in own], activity_mbq)
    return np.asarray(doses / problem.room_gy)


def use_of_limits(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> float:
    """Computes the use of the limits, at most 1 if they are kept (with the probability, if robust).

    Args:
      problem: injections and limits.
      activity_mbq: (injections,) activities, MBq.
    """
    use = limit_use(problem, activity_mbq)
    if problem.robust is None or problem.scenarios is None:
        return float(use.max())
    return robust_use((problem.scenarios.limits * use).max(axis=1), problem.robust)


def objective_value(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> float:
    """Computes the objective: Gy, or a fraction or probability from 0 to 1.

    With uncertainty it is the expected value or the one that is reached with the probability.

    Args:
      problem: injections and objective.
      activity_mbq: (injections,) activities, MBq.
    """
    if problem.robust is None or problem.scenarios is None:
        return float(nominal_objective(problem, activity_mbq))
    values = scenario_objective(problem, activity_mbq)
    if problem.robust.objective == "expected":
        return float(values.mean())
    return float(np.quantile(values, 1 - problem.robust.probability))


def nominal_objective(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> float:
    """Computes the objective of the doses as computed, without uncertainty.

    Args:
      problem: injections and objective.
      activity_mbq: (injections,) activities, MBq.
    """
    kind = problem.objective.kind
    if kind in ("mean", "d70"):
        return float(tumour_doses(problem, activity_mbq).min())
    if kind == "volume":
        size = tumour_sizes(problem)
        pairs = zip(problem.tumours, problem.tumour_target_gy, strict=True)
        return float(size @ [_volume_fraction(voi, float(target), activity_mbq) for voi, target in pairs] / size.sum())
    ones = np.ones((1, len(problem.tumours)))
    return float(_by_sample(problem, activity_mbq, ones, np.ones(1))[0])


def scenario_objective(
    problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]
) -> Float[np.ndarray, " samples"]:
    """Computes the objective in each sample of the dose.

    Args:
      problem: injections, objective and scenarios.
      activity_mbq: (injections,) activities, MBq.

    Raises:
      ValueError: the problem has no scenarios.
    """
    if problem.scenarios is None:
        raise ValueError("scenario_objective: the problem has no scenarios")
    return _by_sample(problem, activity_mbq, problem.scenarios.tumours, problem.scenarios.liver)


def tumour_doses(
    problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]
) -> Float[np.ndarray, " tumours"]:
    """Computes the mean dose or, for "d70", D70 of each tumour in Gy.

    Args:
      problem: injections and objective.
      activity_mbq: (injections,) activities, MBq.
    """
    if problem.objective.kind == "d70":
        return np.asarray([values_gy(voi, [D70], activity_mbq)[0] for voi in problem.tumours])
    return np.asarray([float(voi.mean_gy_per_mbq @ activity_mbq) for voi in problem.tumours])


def tumour_sizes(problem: ActivityProblem) -> Float[np.ndarray, " tumours"]:
    """Returns the volume of each tumour in the unit of its sample weights."""
    return np.asarray([1.0 if t.sample_weight is None else float(t.sample_weight.sum()) for t in problem.tumours])


def _by_sample(problem: ActivityProblem, activity_mbq: Floats, tumours: Floats, liver: Floats) -> Floats:
    kind = problem.objective.kind
    if kind in ("mean", "d70"):
        return np.asarray((tumours * tumour_doses(problem, activity_mbq)).min(axis=1))
    if kind == "utcp":
        return _utcp(problem, activity_mbq, tumours, liver)
    samples = [voi_samples(voi, activity_mbq) for voi in problem.tumours]
    total = float(tumour_sizes(problem).sum())
    if kind == "volume":
        levels = problem.tumour_target_gy / tumours
        parts = [
            weight.sum() * fractions_at_doses(dose, weight, levels[:, i]) for i, (dose, weight) in enumerate(samples)
        ]
        return np.asarray(np.sum(parts, axis=0) / total)
    alpha = problem.objective.alpha_per_gy or math.nan
    survival = np.logaddexp.reduce(log_survivals(samples, alpha * tumours), axis=1)
    return np.asarray((math.log(total) - survival) / alpha)


def _volume_fraction(voi: VoiDose, target_gy: float, activity_mbq: Floats) -> float:
    if voi.dose_at_fraction is not None:
        return voi.volume_fraction_at(target_gy, activity_mbq)
    return float(fractions_at_doses(*voi_samples(voi, activity_mbq), np.asarray([target_gy]))[0])


def _utcp(problem: ActivityProblem, activity_mbq: Floats, tumours: Floats, liver: Floats) -> Floats:
    from scipy.special import ndtr

    outcome = problem.objective.outcome
    if outcome is None or outcome.tcp is None or outcome.ntcp is None or problem.liver is None:
        raise ValueError("utcp without dose responses")
    gamma, m = outcome.tcp_gamma50 or math.nan, outcome.ntcp_m or math.nan
    half, liver_half = outcome.tcp.half_dose_gy(gamma), outcome.ntcp.half_dose_gy(m)
    lost = np.zeros(len(liver))
    tiny = np.finfo(np.float64).tiny
    for column, voi in enumerate(problem.tumours):
        metric = np.maximum(_metric(voi, activity_mbq, tumours[:, column], outcome.tumour_bed_per_gy), tiny)
        lost += np.logaddexp(0.0, 4 * gamma * (np.log(half) - np.log(metric)))
    damage = _metric(problem.liver, activity_mbq, liver, outcome.liver_bed_per_gy)
    return np.asarray(np.exp(-lost) * ndtr((liver_half - damage) / (m * liver_half)))


def _metric(voi: VoiDose, activity_mbq: Floats, ratio: Floats, bed_per_gy: float) -> Floats:
    linear = float(voi.mean_gy_per_mbq @ activity_mbq)
    square = voi.square_gy2_per_mbq2
    quadratic = 0.0 if square is None or bed_per_gy == 0 else bed_per_gy * float(activity_mbq @ square @ activity_mbq)
    return ratio * linear + ratio**2 * quadratic


def outcome_numbers(outcome: OutcomeModel | None) -> tuple[float, float, float, float, float, float]:
    """Returns dose for 50 %, slope and BED factor of the TCP, and the same of the NTCP."""
    if outcome is None or outcome.tcp is None or outcome.ntcp is None:
        return (1.0, 1.0, 0.0, 1.0, 1.0, 0.0)
    gamma, m = outcome.tcp_gamma50 or math.nan, outcome.ntcp_m or math.nan
    return (
        float(outcome.tcp.half_dose_gy(gamma)),
        gamma,
        outcome.tumour_bed_per_gy,
        float(outcome.ntcp.half_dose_gy(m)),
        m,
        outcome.liver_bed_per_gy,
    )
