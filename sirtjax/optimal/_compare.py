"""What the optimum costs and what each injection contributes: the Pareto front and the gain by each injection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.dosimetry import DoseObjective
from sirtjax.errors import ConfigError
from sirtjax.optimal._exact import nominal_objective, objective_value, use_of_limits
from sirtjax.optimal._linear import solve_linear
from sirtjax.optimal._prepare import limit_slots, own_bounds
from sirtjax.optimal._problem import ActivityProblem
from sirtjax.optimal._result import InjectionGain, ParetoFront
from sirtjax.optimal._search import SmoothProblem, search, smooth_problem

Floats = NDArray[np.float64]
FRONT_POINTS = 12


def nominal_problem(problem: ActivityProblem) -> ActivityProblem:
    """Returns the problem without uncertainty: limits and objective of the doses as computed."""
    return replace(problem, robust=None, scenarios=None)


def pareto_front(
    problem: ActivityProblem, optimum_mbq: Float[np.ndarray, " injections"], *, points: int = FRONT_POINTS
) -> ParetoFront:
    """Computes the best objective for each mean dose of the whole normal liver, up to that of the optimum.

    All limits remain. Uncertainty is not taken into account. Without dose in the liver the front is empty.

    Args:
      problem: injections, limits and objective.
      optimum_mbq: (injections,) optimal activities without uncertainty, the last point of the front.
      points: number of points.

    Raises:
      ConfigError: the problem has no whole normal liver.
    """
    liver = problem.liver
    if liver is None:
        raise ConfigError("Pareto front: there is no whole normal liver")
    problem = nominal_problem(problem)
    end = float(liver.mean_gy_per_mbq @ optimum_mbq)
    if end <= 0:  # no activity, or none in the liver
        return ParetoFront(liver_gy=(), value=(), activity_mbq=())
    levels = np.linspace(0, end, points + 1)[1:]
    limit = DoseObjective(voi=liver.name, direction="at most", dose_gy=end, source="Pareto front")
    restricted = replace(
        problem,
        limits=(*problem.limits, (limit, liver)),
        room_gy=np.append(problem.room_gy, end),
    )
    unit = own_bounds(problem)
    smooth: SmoothProblem | None = None
    chosen = [optimum_mbq]
    for level in levels[-2::-1]:
        room = np.append(problem.room_gy, level)
        at_level = replace(restricted, room_gy=room)
        exact = solve_linear(at_level, unit)
        if exact is not None:
            chosen.append(exact.activity_mbq / max(1.0, use_of_limits(at_level, exact.activity_mbq)))
            continue
        if smooth is None:
            smooth = replace(smooth_problem(restricted), most=np.ones(len(unit)))
        rows = np.asarray(smooth.data.limit_mean).copy()
        rows[limit_slots(restricted)[-1]] *= end / level
        here = replace(smooth, problem=at_level, data=smooth.data._replace(limit_mean=rows))
        start = chosen[-1] / smooth.unit_mbq
        single = max((here.exact(one) for one in np.eye(len(unit))), key=lambda one: one[1])[0]
        found = search(here, np.vstack([start, np.ones(len(unit)), single]), polish=False)
        chosen.append(found.units * smooth.unit_mbq)
    chosen = _never_falling(problem, chosen[::-1], restricted, levels)
    return ParetoFront(
        liver_gy=tuple(float(liver.mean_gy_per_mbq @ activity) for activity in chosen),
        value=tuple(nominal_objective(problem, activity) for activity in chosen),
        activity_mbq=tuple(tuple(float(a) for a in activity) for activity in chosen),
    )


def _never_falling(
    problem: ActivityProblem, chosen: Sequence[Floats], restricted: ActivityProblem, levels: Floats
) -> list[Floats]:
    """Activities that are allowed at a lower dose of the liver replace worse ones at a higher dose."""
    kept = [chosen[0]]
    for activity, level in zip(chosen[1:], levels[1:], strict=True):
        before = kept[-1]
        if problem.monotone and before.any():
            at_level = replace(restricted, room_gy=np.append(problem.room_gy, level))
            before = before / use_of_limits(at_level, before) * (1 - 1e-12)
        kept.append(max(activity, before, key=lambda one: nominal_objective(problem, one)))
    return kept


def injection_gains(
    problem: ActivityProblem, optimum_mbq: Float[np.ndarray, " injections"]
) -> tuple[InjectionGain, ...]:
    """Computes the contribution of each injection to the objective: which one to treat first, or to omit.

    Args:
      problem: injections, limits and objective; with uncertainty its objective and limits are robust.
      optimum_mbq: (injections,) optimal activities.
    """
    best = objective_value(problem, optimum_mbq)
    smooth = None if solve_linear(problem, own_bounds(problem)) is not None else smooth_problem(problem)
    found = []
    for index, name in enumerate(problem.injections):
        others = np.arange(len(problem.injections)) != index
        found.append(
            InjectionGain(
                injection=name,
                activity_mbq=float(optimum_mbq[index]),
                gain=max(0.0, best - _best_of(problem, smooth, others, optimum_mbq)),
                only=_best_of(problem, smooth, ~others, optimum_mbq) + 0.0,  # no -0.0 in a report
            )
        )
    return tuple(found)


def _best_of(problem: ActivityProblem, smooth: SmoothProblem | None, used: NDArray[np.bool_], optimum: Floats) -> float:
    """The best objective with only some of the injections."""
    if not used.any():
        return objective_value(problem, np.zeros(len(used)))
    if smooth is None:
        exact = solve_linear(problem, own_bounds(problem), used=used)
        return 0.0 if exact is None else exact.value_gy
    restricted = replace(smooth, most=used.astype(float))
    starts = np.vstack([used * optimum / smooth.unit_mbq, used.astype(float)])
    return search(restricted, starts[starts.any(axis=1)], polish=False).value
