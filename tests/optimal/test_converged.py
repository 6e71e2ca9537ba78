"""Optima at kinks: of the samples of a robust plan, and of histograms of few voxels. They are recognised as optima."""

import itertools

import numpy as np
import pytest
from activity_problems import interior_problem, scenarios, sharp_patient

from sirtjax import optimal as o
from sirtjax.optimal import _optimise
from sirtjax.optimal._composite import best_step, linear_model
from sirtjax.optimal._search import Found, smooth_problem


def scaled(problem, activity):
    """The objective after scaling to the limits, by the exact metrics."""
    use = o.use_of_limits(problem, activity)
    if use > 1 or problem.monotone:
        activity = activity / use * (1 - 1e-12)
    return o.objective_value(problem, activity)


def around(problem, activity, count, seed):
    """The largest objective of random activities near others, at distances of 1e-4 to 0.1 of their own bounds."""
    rng = np.random.default_rng(seed)
    unit = smooth_problem(problem).unit_mbq
    steps = rng.normal(size=(count, len(unit))) * 10 ** rng.uniform(-4, -1, (count, 1)) * unit
    trials = np.maximum(activity + steps, 0)
    return max(scaled(problem, one) for one in trials if one.any())


def robust_interior(objective, *, count=64):
    plain = interior_problem()
    return o.ActivityProblem(
        **{
            **vars(plain),
            "robust": o.RobustOptions(probability=0.8, objective=objective),
            "scenarios": scenarios(plain, count, 1),
        }
    )


@pytest.mark.parametrize("seed", [0, 3])
def test_a_volume_at_the_edge_of_a_histogram_has_converged(seed):
    """One lesion receives its target everywhere, and would lose it on one side: the derivative is not continuous."""
    problem = sharp_patient(seed)
    found = o.optimise_activity(problem)
    assert found.status == "local optimum" and found.stationarity < 0.25
    assert around(problem, np.asarray(found.activity_mbq), 4000, 0) <= found.value * (1 + 1e-5)


@pytest.mark.parametrize("objective", ["expected", "worst-case"])
def test_a_robust_utcp_within_the_limits_equals_a_grid(objective):
    problem = robust_interior(objective)
    found = o.optimise_activity(problem)
    assert found.status == "local optimum"
    at = np.asarray(found.activity_mbq)
    factors = np.linspace(0.8, 1.2, 101)
    grid = [o.objective_value(problem, at * one) for one in itertools.product(factors, factors)]
    assert found.value >= max(grid) * (1 - 1e-6)


@pytest.mark.parametrize("objective", ["expected", "worst-case"])
@pytest.mark.parametrize("part", [0.5, 0.97])
def test_a_robust_search_that_ended_too_early_has_not_converged(monkeypatch, objective, part):
    problem = robust_interior(objective)
    at = np.asarray(o.optimise_activity(problem).activity_mbq)

    def early(smooth, starts):
        return Found(units=part * at / smooth.unit_mbq, value=0.0, agreeing=1, searches=1)

    monkeypatch.setattr(_optimise, "search", early)
    assert o.optimise_activity(problem).status == "not converged"


@pytest.mark.parametrize("objective", ["expected", "worst-case"])
@pytest.mark.parametrize("limits", ["chance", "tail-mean"])
def test_the_step_is_the_best_one_of_a_grid(patient, limits, objective):
    """Mean doses are linear, so the linearised problem is the problem: against all points of a box."""
    case = patient(12)
    case.objectives = [one for one in case.objectives if one.kind == "mean"]
    robust = o.RobustOptions(probability=0.8, limits=limits, objective=objective)
    problem = case.problem("mean", robust=robust, scenarios=scenarios(case.problem("mean"), 64, 3))
    smooth = smooth_problem(problem)
    units, radius = smooth.exact(np.asarray([0.5, 0.4]))[0] * 0.995, 0.01
    step, promised, bound = best_step(linear_model(smooth, units), radius)
    before = o.objective_value(problem, units * smooth.unit_mbq)
    axis = np.linspace(-radius, radius, 161)
    grid = [(units + one) * smooth.unit_mbq for one in itertools.product(axis, axis)]
    best = max(o.objective_value(problem, one) for one in grid if o.use_of_limits(problem, one) <= 1)
    reached = (units + step) * smooth.unit_mbq
    assert o.use_of_limits(problem, reached) <= 1 + 1e-5
    assert o.objective_value(problem, reached) / before - 1 == pytest.approx(promised, rel=2e-3)
    assert promised >= (best / before - 1) * (1 - 5e-3)
    assert bound == pytest.approx(promised, rel=2e-3)
    assert promised == pytest.approx(best / before - 1, rel=0.02)
