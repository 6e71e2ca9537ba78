"""The probabilities that an optimal plan keeps its limits and meets its targets, from the samples of its intervals."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sirtjax import dosimetry, optimal
from sirtjax.workflows._optimal import OptimalChoice
from sirtjax.workflows._optimal_record import ChoiceProbability, OptimalResult, ProbabilityResult
from sirtjax.workflows._optimal_scenarios import NoSamplesError, limit_scenarios, omitted_targets
from sirtjax.workflows._uncertainty_simulation import Simulated


def plan_probability(choice: OptimalChoice, simulated: Simulated) -> ProbabilityResult:
    """Returns the probabilities over the activity, and those of each choice.

    Args:
      choice: optimum of the plan, with its robust optimum if there is one.
      simulated: simulations at the prescribed activities.
    """
    activity = choice.activity_mbq
    try:
        problem = limit_scenarios(choice.problem, simulated, activity)
    except NoSamplesError as error:
        return ProbabilityResult(0, str(error), float(activity.sum()), (), (), (), (), ())
    curve = optimal.probability_curve(problem, activity)
    named: list[tuple[Literal["robust", "optimum", "upper"], np.ndarray]] = []
    if choice.robust is not None:
        named.append(("robust", activity))
    named += [("optimum", choice.optimum_mbq), ("upper", choice.upper_mbq)]
    return ProbabilityResult(
        samples=0 if problem.scenarios is None else problem.scenarios.count,
        message="",
        chosen_mbq=float(activity.sum()),
        choices=tuple(
            ChoiceProbability(
                name, optimal.limits_probability(problem, one) or 0.0, optimal.targets_probability(problem, one)
            )
            for name, one in named
        ),
        omitted_targets=omitted_targets(choice.problem, problem),
        activity_mbq=curve.activity_mbq,
        limits_met=curve.limits_met,
        targets_met=curve.targets_met,
    )


def probability_checks(found: OptimalResult, *, level: float) -> tuple[dosimetry.Check, ...]:
    """Returns the check of the probability that all limits are kept.

    A robust plan is compared with its stated probability. Another one is compared with the probability with which the
    upper bound of an interval is not exceeded.

    Args:
      found: optimal activities with their probabilities.
      level: probability of the intervals.
    """
    shown = found.probability
    if shown is None or not shown.choices:
        return ()
    wanted = (1.0 + level) / 2.0 if found.robust is None else found.robust.limit_probability
    reached = shown.choices[0].limits_met
    if reached >= wanted - 1e-9:
        return ()
    return (dosimetry.make_check("SJ563", value=reached, limit=wanted),)
