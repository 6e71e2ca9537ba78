"""Linear problems against HiGHS written down independently, and against the margin of `prescribe`."""

import numpy as np
import pytest
from scipy.optimize import linprog

from sirtjax import dosimetry as d
from sirtjax import optimal as o


def without_volume_limit(found):
    found.objectives = [one for one in found.objectives if one.kind == "mean"]
    return found


@pytest.mark.parametrize("injections", [1, 2, 8])
@pytest.mark.parametrize("seed", [1, 2])
def test_mean_doses_equal_highs(patient, seed, injections):
    case = without_volume_limit(patient(seed, injections))
    found = o.optimise_activity(case.problem("mean"))
    rows = {voi.name: voi.mean_gy_per_mbq for voi in case.vois}
    lesions = [rows[name] for name in rows if name.startswith("lesion")]
    matrix = [[*rows["normal liver"], 0.0], [*rows["lungs"], 0.0], *([*-row, 1.0] for row in lesions)]
    expected = linprog([*np.zeros(injections), -1.0], A_ub=matrix, b_ub=[40.0, 20.0, *np.zeros(len(lesions))])
    assert found.method == "linear program"
    assert found.status == "optimal"
    assert found.value == pytest.approx(-expected.fun, rel=1e-6)
    assert found.use <= 1
    # The multipliers of the solver, in Gy per Gy.
    gains = [one.gain_per_gy for one in found.limits]
    assert gains == pytest.approx(-expected.ineqlin.marginals[:2], rel=1e-6, abs=1e-9)


def test_the_value_is_the_margin_of_prescribe(patient):
    case = without_volume_limit(patient(5, 3))
    pairs = d.resolve_objectives(case.objectives, case.vois)
    margin = d.max_margin_allocation(pairs, 3).margin
    assert o.optimise_activity(case.problem("mean")).value == pytest.approx(150 * margin, rel=1e-6)


def test_d70_of_lesions_with_one_injection_each_is_linear():
    names = ("a", "b")
    rng = np.random.default_rng(0)
    vois = []
    for index, name in enumerate(names):
        samples = np.zeros((200, 2))
        samples[:, index] = rng.gamma(4, 0.05, 200)
        vois.append(
            d.VoiDose(
                name=f"lesion {name}",
                role="tumour",
                territories=(name,),
                mean_gy_per_mbq=samples.mean(axis=0),
                samples_gy_per_mbq=samples,
            )
        )
    liver = np.asarray([0.03, 0.02])
    vois.append(d.VoiDose(name="normal liver", role="whole_normal", territories=names, mean_gy_per_mbq=liver))
    limit = d.DoseObjective(voi="whole_normal", direction="at most", dose_gy=40.0, source="test")
    problem = o.activity_problem(vois, [limit], names, objective=o.TumourObjective(kind="d70"))
    found = o.optimise_activity(problem)
    assert found.method == "linear program"
    # Both lesions have the same D70 and the liver is at its limit: two equations for two activities.
    middles = (np.arange(200) + 0.5) / 200
    d70 = [np.interp(0.7, middles, np.sort(voi.samples_gy_per_mbq[:, i])[::-1]) for i, voi in enumerate(vois[:2])]
    expected = np.linalg.solve([liver, [d70[0], -d70[1]]], [40.0, 0.0])
    assert found.activity_mbq == pytest.approx(expected, rel=1e-6)


def test_of_several_optima_the_one_with_more_dose_to_the_other_lesions():
    # The limit of lesion a is its own territory's; b can rise above it without a cost.
    eye = np.eye(2)
    vois = [d.VoiDose(name=n, role="tumour", territories=(n,), mean_gy_per_mbq=eye[i]) for i, n in enumerate("ab")]
    vois += [
        d.VoiDose(name=f"n{n}", role="normal_perfused", territories=(n,), mean_gy_per_mbq=eye[i])
        for i, n in enumerate("ab")
    ]
    limits = [
        d.DoseObjective(voi=f"n{name}", direction="at most", dose_gy=dose, source="test")
        for name, dose in (("a", 20.0), ("b", 90.0))
    ]
    problem = o.activity_problem(vois, limits, ("a", "b"), objective=o.TumourObjective(kind="mean"))
    found = o.optimise_activity(problem)
    assert found.activity_mbq == pytest.approx((20.0, 90.0), rel=1e-6)
    assert [one.gain_per_gy for one in found.limits] == pytest.approx([1.0, 0.0])
    assert "1 Gy more would raise" in found.limits[0].sentence(problem.objective.label, problem.objective.unit)
    gains = o.injection_gains(problem, np.asarray(found.activity_mbq))
    assert [one.gain for one in gains] == pytest.approx([20.0, 20.0])
