"""The optimal activities of up to eight injections under every limit of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.optimal._exact import limit_use, nominal_objective, objective_value, use_of_limits
from sirtjax.optimal._linear import solve_linear
from sirtjax.optimal._multipliers import limit_gains
from sirtjax.optimal._probability import limits_probability, targets_probability
from sirtjax.optimal._problem import ActivityProblem
from sirtjax.optimal._result import LimitGain, OptimalActivity
from sirtjax.optimal._search import Found, SmoothProblem, search, smooth_problem

Floats = NDArray[np.float64]
# The relative gradient that the limits may leave unexplained at a local optimum: at the small maxima of the exact
# histograms the smooth gradient is not exactly balanced. Within the limits this is 1 % of the objective per own bound.
STATIONARY = 0.25
# Starting points of low discrepancy, in addition to the proportional ones and one for each injection.
SPREAD_STARTS = 8


def optimise_activity(
    problem: ActivityProblem, *, also: Sequence[Float[np.ndarray, " injections"]] = ()
) -> OptimalActivity:
    """Maximises the objective over the activities of all injections, within every limit.

    A problem whose objective and limits are linear is solved exactly. Otherwise several searches follow the exact
    gradients of a smooth problem, and the exact histograms decide: the result keeps every limit, and it is not worse
    than any of the starting points.

    Args:
      problem: result of `activity_problem`.
      also: activities in MBq to start from, such as those of another strategy; they are scaled to the limits.

    Returns:
      The optimum with the gain by each limit.

    Raises:
      ComputationError: the linear solver fails.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import dosimetry, optimal
      >>> names = ("left", "right")
      >>> vois = [
      ...     dosimetry.VoiDose(
      ...         name="lesion 1", role="tumour", territories=names, mean_gy_per_mbq=np.asarray([0.2, 0.1])
      ...     ),
      ...     dosimetry.VoiDose(
      ...         name="normal liver", role="whole_normal", territories=names, mean_gy_per_mbq=np.asarray([0.04, 0.03])
      ...     ),
      ... ]
      >>> limit = dosimetry.DoseObjective(voi="whole_normal", direction="at most", dose_gy=40.0, source="example")
      >>> problem = optimal.activity_problem(
      ...     vois, [limit], names, objective=optimal.TumourObjective(kind="mean")
      ... )
      >>> found = optimal.optimise_activity(problem)
      >>> [round(activity) for activity in found.activity_mbq], round(found.limits[0].gain_per_gy, 2)
      ([1000, 0], 5.0)
    """
    from sirtjax.optimal._prepare import own_bounds

    unit = own_bounds(problem)
    exact = solve_linear(problem, unit)
    if exact is not None:
        activity = exact.activity_mbq / max(1.0, use_of_limits(problem, exact.activity_mbq))
        return _result(problem, activity, exact.gain_per_gy, None, 0.0)
    smooth = smooth_problem(problem)
    found = search(smooth, start_points(smooth, also))
    gains, left = limit_gains(smooth, found.units)
    return _result(problem, found.units * smooth.unit_mbq, gains, found, left)


def start_points(
    smooth: SmoothProblem, also: Sequence[Float[np.ndarray, " injections"]] = ()
) -> Float[np.ndarray, "starts n"]:
    """Returns starting points: specified, proportional, mostly one injection, and spread out.

    Args:
      smooth: the problem.
      also: (injections,) activities in MBq.
    """
    from scipy.stats import qmc

    count = len(smooth.unit_mbq)
    spread = qmc.Halton(d=count, scramble=False).random(SPREAD_STARTS + 1)[1:]
    single = 0.1 + 0.9 * np.eye(count)
    rows = [np.asarray(one, np.float64) / smooth.unit_mbq for one in also]
    return np.vstack([*rows, np.ones(count), *(single if count > 1 else []), spread])


def _result(
    problem: ActivityProblem, activity: Floats, gains: Floats, found: Found | None, left: float
) -> OptimalActivity:
    use = limit_use(problem, activity)
    scenarios = problem.scenarios
    limits = tuple(
        LimitGain(
            label=replace(limit, voi=voi.name).label,
            voi=voi.name,
            limit_gy=limit.dose_gy,
            value_gy=float(one * room + (limit.dose_gy - room)),
            probability=None if scenarios is None else float((scenarios.limits[:, index] * one <= 1).mean()),
            gain_per_gy=float(gain),
        )
        for index, ((limit, voi), one, room, gain) in enumerate(
            zip(problem.limits, use, problem.room_gy, gains, strict=True)
        )
    )
    return OptimalActivity(
        status="optimal" if found is None else "local optimum" if left <= STATIONARY else "not converged",
        method="linear program" if found is None else "gradient",
        activity_mbq=tuple(float(a) for a in activity),
        value=objective_value(problem, activity),
        nominal_value=nominal_objective(problem, activity),
        use=use_of_limits(problem, activity),
        limits=limits,
        searches=0 if found is None else found.searches,
        agreeing=0 if found is None else found.agreeing,
        stationarity=left,
        limits_probability=limits_probability(problem, activity),
        targets_probability=targets_probability(problem, activity),
    )
