"""Problems whose limits are all on volumes, and lesions or livers that receive no dose."""

from dataclasses import replace

import numpy as np
import pytest
from activity_problems import d70, dose_at

from sirtjax import dosimetry as d
from sirtjax import optimal as o
from sirtjax.errors import InputError
from sirtjax.optimal._search import smooth_problem

NAMES = ("a", "b")


def only_volumes(case):
    case.objectives = [one for one in case.objectives if one.kind == "V"]
    return case


def test_the_search_sees_limits_that_are_all_on_volumes(patient):
    smooth = smooth_problem(only_volumes(patient(1)).problem("d70"))
    units = np.asarray([0.4, 0.5])
    _, uses, _, by_use = smooth.at(units)
    exact = o.limit_use(smooth.problem, units * smooth.unit_mbq)
    assert uses == pytest.approx(exact, rel=0.02)
    assert by_use[0] @ units == pytest.approx(exact[0], rel=0.02), "the use is proportional to the activity"


def test_limits_that_are_all_on_volumes_equal_brute_force(patient):
    case = only_volumes(patient(1))
    found = o.optimise_activity(case.problem("d70"))
    samples = {voi.name: voi.samples_gy_per_mbq for voi in case.vois}
    rays = [1000 * np.asarray([np.cos(a), np.sin(a)]) for a in np.linspace(0, np.pi / 2, 4001)]
    values = [d70(samples, None, 55 * ray / dose_at(samples["normal liver"] @ ray, 0.25)) for ray in rays]
    assert found.value == pytest.approx(max(values), rel=1e-3)
    # The only limit decides: everything is proportional to it.
    assert found.limits[0].gain_per_gy == pytest.approx(found.value / 55, rel=0.02)


def voi(name, role, samples):
    return d.VoiDose(
        name=name, role=role, territories=NAMES, mean_gy_per_mbq=samples.mean(axis=0), samples_gy_per_mbq=samples
    )


def at_most(name, dose_gy, **more):
    return d.DoseObjective(voi=name, direction="at most", dose_gy=dose_gy, source="test", **more)


@pytest.mark.parametrize("both", [False, True])
def test_a_lesion_whose_d70_is_always_zero_is_refused(both):
    lesion = np.zeros((100, 2))
    lesion[:50, 0] = 0.2
    lesion[40:60, 1] = 0.1 * both
    vois = [voi("lesion", "tumour", lesion), voi("liver", "whole_normal", np.full((50, 2), 0.04))]
    with pytest.raises(InputError, match="reach less than 70 % of lesion, so its D70 is 0 Gy"):
        o.activity_problem(vois, [at_most("liver", 40.0)], NAMES, objective=o.TumourObjective(kind="d70"))


def test_a_target_that_earlier_treatments_met_is_named():
    lesion = replace(voi("lesion", "tumour", np.full((100, 2), 0.2)), previous_gy=160.0)
    vois = [lesion, voi("liver", "whole_normal", np.full((50, 2), 0.04))]
    target = d.DoseObjective(voi="tumour", direction="at least", dose_gy=150.0, cumulative=True, source="test")
    with pytest.raises(InputError, match="earlier treatments gave lesion its target dose"):
        o.activity_problem(vois, [at_most("liver", 40.0), target], NAMES, objective=o.TumourObjective(kind="volume"))


def test_no_activity_has_an_empty_front():
    vois = [voi("lesion", "tumour", np.full((100, 2), 0.2)), voi("liver", "whole_normal", np.full((50, 2), 0.04))]
    problem = o.activity_problem(vois, [at_most("liver", 40.0)], NAMES, objective=o.TumourObjective(kind="mean"))
    assert o.pareto_front(problem, np.zeros(2)) == o.ParetoFront(liver_gy=(), value=(), activity_mbq=())
