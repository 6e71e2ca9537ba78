"""Limits that are kept with a probability: against new samples, a linear program of the tail mean, and counting."""

import numpy as np
import pytest
from activity_problems import scenarios
from scipy.optimize import linprog

from sirtjax import optimal as o
from sirtjax.optimal._search import smooth_problem


@pytest.mark.parametrize("objective", ["expected", "worst-case"])
@pytest.mark.parametrize("kind", ["mean", "d70", "eud", "volume"])
@pytest.mark.slow
def test_new_samples_keep_the_probability(patient, kind, objective):
    case = patient(11)
    plain = case.problem(kind, alpha_per_gy=0.02)
    robust = o.RobustOptions(probability=0.9, objective=objective)
    more = {"alpha_per_gy": 0.02, "robust": robust}
    problem = case.problem(kind, scenarios=scenarios(plain, 1024, 1), **more)
    found = o.optimise_activity(problem)
    fresh = case.problem(kind, scenarios=scenarios(plain, 2000, 2), **more)
    activity = np.asarray(found.activity_mbq)
    assert o.limits_probability(fresh, activity) == pytest.approx(0.9, abs=0.03)
    assert found.limits_probability >= 0.9
    assert found.nominal_value < o.optimise_activity(plain).value
    # Not worse than the optimum without uncertainty, reduced until the probability is kept.
    nominal = np.asarray(o.optimise_activity(plain).activity_mbq)
    reduced = nominal / o.use_of_limits(problem, nominal)
    assert found.value >= o.objective_value(problem, reduced) * (1 - 1e-3)


def test_tail_mean_equals_a_linear_program(patient):
    case = patient(12)
    case.objectives = [one for one in case.objectives if one.kind == "mean"]
    plain = case.problem("mean")
    samples = scenarios(plain, 200, 3)
    robust = o.RobustOptions(probability=0.9, limits="tail-mean")
    found = o.optimise_activity(case.problem("mean", robust=robust, scenarios=samples))
    # Variables: activities, threshold, excess of each sample, lowest tumour of each sample.
    rows, right = [], []
    for sample in range(200):
        for column, (bound, voi) in enumerate(plain.limits):
            row = np.zeros(2 + 1 + 400)
            row[:2] = samples.limits[sample, column] * voi.mean_gy_per_mbq / bound.dose_gy
            row[2], row[3 + sample] = -1, -1
            rows.append(row)
            right.append(0.0)
        for column, voi in enumerate(plain.tumours):
            row = np.zeros(2 + 1 + 400)
            row[:2], row[203 + sample] = -samples.tumours[sample, column] * voi.mean_gy_per_mbq, 1
            rows.append(row)
            right.append(0.0)
    tail = np.zeros(403)
    tail[2], tail[3:203] = 1, 1 / (200 * 0.1)
    bounds = [(0, None)] * 2 + [(None, None)] + [(0, None)] * 400
    cost = np.zeros(403)
    cost[203:] = -1 / 200
    expected = linprog(cost, A_ub=np.vstack([*rows, tail]), b_ub=[*right, 1.0], bounds=bounds)
    assert found.value == pytest.approx(-expected.fun, rel=2e-4)
    assert found.limits_probability > 0.9


@pytest.mark.slow
def test_the_curve_counts_samples(patient):
    case = patient(13)
    robust = o.RobustOptions(probability=0.8)
    plain = case.problem("mean")
    samples = scenarios(plain, 400, 4)
    problem = case.problem("mean", robust=robust, scenarios=samples)
    activity = np.asarray(o.optimise_activity(problem).activity_mbq)
    curve = o.probability_curve(problem, activity)
    assert curve.limits_met[0] == 1
    assert curve.targets_met[0] == 0
    assert np.all(np.diff(curve.limits_met) <= 0)
    assert np.all(np.diff(curve.targets_met) >= 0)
    index = 60
    scaled = activity * curve.activity_mbq[index] / activity.sum()
    rows = [voi.value_gy(bound, scaled) / bound.dose_gy for bound, voi in problem.limits]
    assert curve.limits_met[index] == np.mean([(ratio * rows <= 1).all() for ratio in samples.limits])
    reached = [voi.mean_gy_per_mbq @ scaled / 150 for voi in problem.tumours]
    assert curve.targets_met[index] == np.mean([(ratio * reached >= 1).all() for ratio in samples.targets])


@pytest.mark.slow
def test_robust_multipliers_are_the_gain_of_a_higher_limit(patient):
    case = patient(14)
    plain = case.problem("mean")
    more = {"robust": o.RobustOptions(probability=0.9), "scenarios": scenarios(plain, 512, 5)}
    before = o.optimise_activity(case.problem("mean", **more))
    gains = [one.gain_per_gy for one in before.limits]
    # All limits raised by 2 %, so that their gains add up.
    case.objectives = [
        o_.__class__(**{**vars(o_), "dose_gy": o_.dose_gy * 1.02}) if o_.direction == "at most" else o_
        for o_ in case.objectives
    ]
    after = o.optimise_activity(case.problem("mean", **more))
    expected = sum(gain * 0.02 * one.limit_gy for gain, one in zip(gains, before.limits, strict=True))
    assert after.value - before.value == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("objective", ["expected", "worst-case"])
@pytest.mark.parametrize("kind", ["eud", "volume", "d70", "mean"])
@pytest.mark.slow
def test_the_search_sees_the_objective_over_the_samples(patient, kind, objective):
    """The smooth objective of the search is near the exact one, and so is its gradient near that by differences."""
    case = patient(13)
    samples = scenarios(case.problem(kind, alpha_per_gy=0.02), 200, 5)
    robust = o.RobustOptions(probability=0.9, objective=objective)
    problem = case.problem(kind, alpha_per_gy=0.02, robust=robust, scenarios=samples)
    smooth = smooth_problem(problem)

    def exact(units):
        return o.objective_value(problem, units * smooth.unit_mbq)

    units = np.array([0.45, 0.4])
    values, _, gradient, _ = smooth.at(units)
    assert values[0] == pytest.approx(exact(units), rel=0.02)
    steps = 0.05 * np.eye(2)
    differences = [(exact(units + step) - exact(units - step)) / 0.1 for step in steps]
    np.testing.assert_allclose(gradient[0], differences, rtol=0.1)
