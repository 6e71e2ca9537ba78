"""The best allocation of activity between injections, by linear programming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sirtjax.dosimetry._objectives import LIVER_ROLES, DoseObjective, Floats, VoiDose
from sirtjax.errors import ComputationError

# An injection with less than this fraction of its own bound is omitted; the solver is accurate to about 1e-7.
OMITTED = 1e-6


@dataclass(frozen=True, kw_only=True)
class ActivityAllocation:
    """The activities that maximise the smallest of target dose over target, within all limits.

    Attributes:
      activity_mbq: (n_injections,) activity of each injection.
      margin: smallest ratio of target dose to target; 1 or more if every target can be met.
      complete: whether every injection has an activity, a target and a liver limit. Otherwise the activities are not a
        suggestion: an injection without target is omitted, one without liver limit fills up to the lung limit.
    """

    activity_mbq: tuple[float, ...]
    margin: float
    complete: bool


def max_margin_allocation(
    pairs: Sequence[tuple[DoseObjective, VoiDose]], n_injections: int
) -> ActivityAllocation | None:
    """Maximises the margin over the targets subject to every limit; exact.

    Args:
      pairs: bounding objectives with their VOI.
      n_injections: number of injections.

    Returns:
      The allocation, or None if it isn't known: no target or no limit, an injection without any limit, or a D
      or V objective on a VOI that more than one injection reaches (there D_x is not linear in the
      activities).

    Raises:
      ComputationError: the solver fails.
    """
    limit_rows, limit_gy, target_rows = [], [], []
    for objective, voi in pairs:
        row = _dose_row(objective, voi, n_injections)
        if row is None:
            return None
        room = objective.dose_gy - (voi.previous_gy if objective.cumulative else 0.0)
        if objective.direction == "at most":
            limit_rows.append([*row, 0.0])
            limit_gy.append(max(room, 0.0))
        elif room > 0:
            target_rows.append([*(-row / room), 1.0])
    if not target_rows or not limit_rows or not (np.asarray(limit_rows)[:, :-1].max(axis=0) > 0).all():
        return None
    matrix = np.asarray(limit_rows + target_rows)
    # Activities in units of each injection's own smallest bound keep the problem well scaled.
    with np.errstate(divide="ignore"):
        own = np.min(np.asarray(limit_gy)[:, None] / np.asarray(limit_rows)[:, :-1], axis=0)
    unit = np.append(np.where(own > 0, own, 1.0), 1.0)
    margin = np.append(np.zeros(n_injections), 1.0)
    within = np.append(limit_gy, np.zeros(len(target_rows)))
    first = _maximise(margin, matrix * unit, within)
    # Several splits may share that margin: take the one with the most activity in units of the own bounds.
    floor = first[-1] * (1 - 1e-9)
    second = _maximise(1.0 - margin, np.vstack([matrix * unit, -margin]), np.append(within, -floor))
    activity = second[:-1] * unit[:-1]
    return ActivityAllocation(
        activity_mbq=tuple(float(a) for a in activity),
        margin=float(first[-1]),
        # Betas that cross from one territory into the next reach a target, but do not supply it.
        complete=_complete(pairs, n_injections) and bool((second[:-1] > OMITTED).all()),
    )


def _maximise(gain: Floats, matrix: Floats, at_most: Floats) -> Floats:
    from scipy.optimize import linprog  # a quarter of a second to load, only for plans of several injections

    solution = linprog(-gain, A_ub=matrix, b_ub=at_most, bounds=[(0, None)] * len(gain), method="highs")
    if not solution.success:
        raise ComputationError(f"the best allocation between the injections was not found: {solution.message}")
    return np.asarray(solution.x, np.float64)


def _complete(pairs: Sequence[tuple[DoseObjective, VoiDose]], n_injections: int) -> bool:
    targets, limits = np.zeros(n_injections, bool), np.zeros(n_injections, bool)
    for objective, voi in pairs:
        if objective.direction == "at least":
            targets |= voi.mean_gy_per_mbq > 0
        elif voi.role in LIVER_ROLES:
            limits |= voi.mean_gy_per_mbq > 0
    return bool((targets & limits).all())


def _dose_row(objective: DoseObjective, voi: VoiDose, n_injections: int) -> Floats | None:
    if objective.kind == "mean":
        return voi.mean_gy_per_mbq
    reached = np.flatnonzero(voi.mean_gy_per_mbq > 0)
    if len(reached) > 1:
        return None
    row = np.zeros(n_injections)
    for index in reached:
        row[index] = voi.value_gy(objective, np.eye(n_injections)[index])
    return row
