"""Problems whose objective and limits are linear in the activities: solved exactly, with the multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from sirtjax.errors import ComputationError
from sirtjax.optimal._prepare import is_curved
from sirtjax.optimal._problem import D70, ActivityProblem

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearSolution:
    """The exact optimum of a linear problem.

    Attributes:
      activity_mbq: (injections,) activities.
      value_gy: lowest dose of a tumour.
      gain_per_gy: (limits,) gain of the objective per Gy of each limit.
    """

    activity_mbq: Float[np.ndarray, " injections"]
    value_gy: float
    gain_per_gy: Float[np.ndarray, " limits"]


def tumour_rows(problem: ActivityProblem) -> Float[np.ndarray, "tumours injections"] | None:
    """Returns the dose of each tumour per MBq if the objective is linear, otherwise None."""
    rows = []
    for voi in problem.tumours:
        if problem.objective.kind == "mean":
            rows.append(voi.mean_gy_per_mbq)
        elif problem.objective.kind == "d70" and (voi.mean_gy_per_mbq > 0).sum() == 1:
            rows.append(np.asarray([voi.value_gy(D70, unit) for unit in np.eye(len(problem.injections))]))
        else:
            return None
    return np.asarray(rows)


def limit_rows(problem: ActivityProblem) -> Float[np.ndarray, "limits injections"] | None:
    """Returns the dose of each limit per MBq if all limits are linear, otherwise None."""
    if any(is_curved(problem, index) for index in range(len(problem.limits))):
        return None
    units = np.eye(len(problem.injections))
    return np.asarray(
        [
            voi.mean_gy_per_mbq if limit.kind == "mean" else [voi.value_gy(limit, unit) for unit in units]
            for limit, voi in problem.limits
        ]
    )


def solve_linear(
    problem: ActivityProblem,
    unit_mbq: Float[np.ndarray, " injections"],
    *,
    used: Bool[np.ndarray, " injections"] | None = None,
) -> LinearSolution | None:
    """Solves a linear problem by HiGHS; None if it is not linear or has scenarios.

    Of several optima it takes the one with the largest mean over the tumours, each as a multiple of the lowest.

    Args:
      problem: injections, limits and objective.
      unit_mbq: (injections,) own bound of each injection, which scales the problem.
      used: (injections,) injections that may have an activity; all if None.

    Raises:
      ComputationError: the solver fails.
    """
    tumours, limits = tumour_rows(problem), limit_rows(problem)
    if tumours is None or limits is None or problem.robust is not None:
        return None
    use = limits * unit_mbq / problem.room_gy[:, None]
    dose = tumours * unit_mbq
    scale = float(dose.sum(axis=1).min())
    count = len(unit_mbq)
    most = [None if one else 0.0 for one in (np.ones(count, bool) if used is None else used)]
    matrix = np.vstack([np.hstack([use, np.zeros((len(use), 1))]), np.hstack([-dose / scale, np.ones((len(dose), 1))])])
    within = np.append(np.ones(len(use)), np.zeros(len(dose)))
    first, shadow = _maximise(np.append(np.zeros(count), 1.0), matrix, within, most)
    # Another optimum may give more to the tumours that are not the lowest.
    floor = np.append(np.zeros(count), -1.0)[None]
    mean = np.append(dose.sum(axis=0) / dose.sum(), 0.0)
    second, _ = _maximise(mean, np.vstack([matrix, floor]), np.append(within, -first[-1] * (1 - 1e-9)), most)
    return LinearSolution(
        activity_mbq=second[:-1] * unit_mbq,
        value_gy=float(first[-1]) * scale,
        gain_per_gy=shadow[: len(use)] * scale / problem.room_gy,
    )


def _maximise(gain: Floats, matrix: Floats, at_most: Floats, most: Sequence[float | None]) -> tuple[Floats, Floats]:
    from scipy.optimize import linprog  # a quarter of a second to load

    found = linprog(-gain, A_ub=matrix, b_ub=at_most, bounds=[*((0, top) for top in most), (0, None)], method="highs")
    if not found.success:
        raise ComputationError(f"the optimal activities were not found: {found.message}")
    return np.asarray(found.x, np.float64), -np.asarray(found.ineqlin.marginals, np.float64)
