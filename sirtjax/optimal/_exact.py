"""Limits and objective at given activities, by the exact histograms of the plan; nothing here is smoothed."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.dosimetry import DoseObjective, OutcomeModel, VoiDose
from sirtjax.optimal._problem import ActivityProblem
from sirtjax.optimal._robust import robust_use
from sirtjax.optimal._survival import log_survival

Floats = NDArray[np.float64]
# The metric of a tumour for the objective "d70".
D70 = DoseObjective(voi="tumour", direction="at least", dose_gy=1.0, kind="D", volume_fraction=0.7, source="")


def limit_use(problem: ActivityProblem, activity_mbq: Float[np.ndarray, " injections"]) -> Float[np.ndarray, " limits"]:
    """Computes the fraction of each limit that activities use; a limit is kept up to 1.

    Earlier treatments are subtracted from both dose and limit.

    Args:
      problem: injections and limits.
      activity_mbq: (injections,) activities, MBq.
    """
    doses = [voi.value_gy(limit, activity_mbq) for limit, voi in problem.limits]
    return np.asarray(np.asarray(doses) / problem.room_gy)


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
        return np.asarray([voi.value_gy(D70, activity_mbq) for voi in problem.tumours])
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
    parts = []
    for column, (voi, target) in enumerate(zip(problem.tumours, problem.tumour_target_gy, strict=True)):
        dose, weight = voi_samples(voi, activity_mbq)
        if kind == "volume":
            parts.append(weight.sum() * _volume_fractions(dose, weight, target / tumours[:, column]))
        else:
            alpha = (problem.objective.alpha_per_gy or math.nan) * tumours[:, column]
            parts.append(log_survival(dose, weight, alpha))
    total = float(tumour_sizes(problem).sum())
    if kind == "volume":
        return np.asarray(np.sum(parts, axis=0) / total)
    survival = np.logaddexp.reduce(np.asarray(parts), axis=0)
    return np.asarray((math.log(total) - survival) / (problem.objective.alpha_per_gy or math.nan))


def voi_samples(
    voi: VoiDose, activity_mbq: Float[np.ndarray, " injections"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Returns the dose of the samples of a VOI in Gy and their weights.

    Args:
      voi: VOI with samples.
      activity_mbq: (injections,) activities, MBq.

    Raises:
      ValueError: the VOI has no samples.
    """
    if voi.samples_gy_per_mbq is None or voi.sample_weight is None:
        raise ValueError(f"{voi.name} has no samples")
    return voi.samples_gy_per_mbq @ activity_mbq, np.asarray(voi.sample_weight)


def _volume_fraction(voi: VoiDose, target_gy: float, activity_mbq: Floats) -> float:
    if voi.dose_at_fraction is not None:
        return voi.volume_fraction_at(target_gy, activity_mbq)
    return float(_volume_fractions(*voi_samples(voi, activity_mbq), np.asarray([target_gy]))[0])


def _volume_fractions(dose_gy: Floats, weight: Floats, level_gy: Floats) -> Floats:
    """V_x at many levels: the inverse of `dosimetry.dose_at_fraction_gy`."""
    order = np.argsort(dose_gy)
    share = weight[order] / weight.sum()
    above = 1 - (np.cumsum(share) - share / 2)
    return np.asarray(np.interp(level_gy, dose_gy[order], above, left=1.0, right=0.0))


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
