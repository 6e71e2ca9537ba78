"""The gain of the objective by a higher limit: multipliers of the first-order conditions at an optimum."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.optimal._exact import objective_value
from sirtjax.optimal._prepare import limit_slots
from sirtjax.optimal._problem import MAXIMUM_INJECTIONS, ActivityProblem
from sirtjax.optimal._search import SmoothProblem, corrected_to
from sirtjax.optimal._smooth import NUDGE, use_by_shift

Floats = NDArray[np.float64]
# A limit restricts the optimum if its use is within this of 1, and a tumour if its dose is within it of the lowest.
NEAR = 2e-3
# Weight of the condition that the weights of the tumours add up to 1.
HEAVY = 100.0
# A gradient below this fraction of the objective per own bound is small: at an optimum within the limits it is 0.
LEAST_GRADIENT = 0.04


def limit_gains(smooth: SmoothProblem, units: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " limits"], float]:
    """Computes the gain of the objective per Gy of each limit, and the part of its gradient that remains.

    At an optimum the gradient of the objective is a sum of the gradients of the limits that are reached, with weights
    that are not negative. The weights are found by non-negative least squares.

    Args:
      smooth: the problem.
      units: (n,) optimal activities in units of each injection's own bound.

    Returns:
      (limits,) gain per Gy, and the remaining gradient relative to that of the objective. A smaller gradient than
      `LEAST_GRADIENT` counts as this.
    """
    from scipy.optimize import nnls

    problem = smooth.problem
    smooth = corrected_to(smooth, units)
    gains, uses, by_gains, by_uses = smooth.at(units)
    lowest = gains <= gains.min() + NEAR * abs(gains.min())
    reached = uses >= uses.max() - NEAR if uses.max() >= 1 - 10 * NEAR else np.zeros(len(uses), bool)
    absent = units <= 1e-6
    scale = float(np.abs(by_gains[lowest]).max()) or 1.0
    columns = [*(by_gains[lowest] / scale), *(-by_uses[reached]), *np.eye(len(units))[absent]]
    weights = np.append(np.full(int(lowest.sum()), HEAVY), np.zeros(len(columns) - int(lowest.sum())))
    found, _ = nnls(np.vstack([np.asarray(columns).T, weights]), np.append(np.zeros(len(units)), HEAVY))
    count = int(lowest.sum())
    gradient = found[:count] @ np.asarray(columns)[:count]
    # UTCP has the gradient of its logarithm, which is relative already.
    value = 1.0 if problem.objective.kind == "utcp" else float(np.abs(gains[lowest]).max())
    least = max(LEAST_GRADIENT * value / scale, 1e-12)
    left = np.linalg.norm(found @ np.asarray(columns)) / max(float(np.linalg.norm(gradient)), least)
    by_use = np.zeros(len(uses))
    by_use[reached] = found[count : count + int(reached.sum())] * scale
    if problem.objective.kind == "utcp":
        by_use *= objective_value(problem, units * smooth.unit_mbq)
    if problem.objective.kind == "volume":
        by_use = _without_nudge(problem, by_use, units * smooth.unit_mbq)
    if smooth.limits == "each":
        return by_use / problem.room_gy, float(left)
    padded = np.zeros(MAXIMUM_INJECTIONS, np.float32)
    padded[: len(units)] = units
    shifts = np.asarray(use_by_shift(padded, smooth.data, limits=smooth.limits), np.float64)[0]
    return by_use[0] * -shifts[limit_slots(problem)] / problem.room_gy, float(left)


def _without_nudge(problem: ActivityProblem, by_use: Floats, activity_mbq: Floats) -> Floats:
    """The gains of the objective "volume" without those of the mean dose that the search adds to it.

    The added term is proportional to the activity, so its gains over all limits add up to its value.
    """
    doses = np.asarray([float(voi.mean_gy_per_mbq @ activity_mbq) for voi in problem.tumours])
    added, total = NUDGE * float((doses / problem.tumour_target_gy).mean()), float(by_use.sum())
    # All volume has its target dose if little more is left.
    return np.zeros_like(by_use) if total <= 2 * added else by_use * (1 - added / total)
