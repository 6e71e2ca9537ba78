"""Problems with volume metrics against a brute-force search over the proportions of two activities."""

from dataclasses import replace

import numpy as np
import pytest
from activity_problems import OUTCOME, d70, dose_at, interior_problem, sharp_patient

from sirtjax import dosimetry as d
from sirtjax import optimal as o
from sirtjax.optimal import _optimise
from sirtjax.optimal._search import Found


def brute(case, value, *, angles=4001, scales=(1.0,)):
    """The largest value over all proportions, each scaled to the first limit; shares no code with the search."""
    samples = {voi.name: voi.samples_gy_per_mbq for voi in case.vois}
    mean = {voi.name: voi.mean_gy_per_mbq for voi in case.vois}
    found = []
    for angle in np.linspace(0, np.pi / 2, angles):
        ray = np.asarray([np.cos(angle), np.sin(angle)]) * 1000
        liver = samples["normal liver"] @ ray
        use = max(mean["normal liver"] @ ray / 40, dose_at(liver, 0.25) / 55, mean["lungs"] @ ray / 20)
        found += [value(samples, mean, scale * ray / use) for scale in scales]
    return np.asarray(found)


def volume(samples, mean, activity):
    tumours = [dose @ activity for name, dose in samples.items() if name.startswith("lesion")]
    return float(np.mean([(dose >= 150).mean() for dose in tumours]))


def eud(samples, mean, activity):
    tumours = np.concatenate([dose @ activity for name, dose in samples.items() if name.startswith("lesion")])
    return float(-np.log(np.mean(np.exp(-0.02 * tumours))) / 0.02)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("kind", "value", "within"),
    # Within the largest change between neighbours of the grid; a volume moves in steps of a voxel.
    [("d70", d70, 1e-3), ("eud", eud, 1e-5), ("volume", volume, 5e-3)],
)
def test_equal_to_brute_force(patient, seed, kind, value, within):
    case = patient(seed)
    problem = case.problem(kind, alpha_per_gy=0.02)
    found = o.optimise_activity(problem)
    expected = brute(case, value).max()
    assert found.value == pytest.approx(expected, rel=within)
    assert found.value >= expected * (1 - within)
    assert found.use <= 1
    assert o.limit_use(problem, np.asarray(found.activity_mbq)).max() == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_utcp_equal_to_brute_force(patient):
    case = patient(3)
    case.objectives[0] = d.DoseObjective(voi="whole_normal", direction="at most", dose_gy=120.0, source="test")
    case.objectives[1:3] = []
    problem = case.problem("utcp", outcome=OUTCOME)
    found = o.optimise_activity(problem)
    grid = np.stack(np.meshgrid(np.linspace(0, 6000, 301), np.linspace(0, 6000, 301)), axis=-1).reshape(-1, 2)
    values = [o.nominal_objective(problem, one) for one in grid if o.use_of_limits(problem, one) <= 1]
    assert found.value == pytest.approx(max(values), rel=2e-3)
    assert found.value >= max(values) * (1 - 1e-6)
    assert found.use < 1, "the NTCP and not a limit ends the activity"


def test_a_utcp_within_the_limits_has_converged():
    problem = interior_problem()
    found = o.optimise_activity(problem)
    assert min(found.activity_mbq) > 100 and found.use < 0.9
    assert found.status == "local optimum" and found.stationarity < 0.1
    assert found.limits[0].gain_per_gy == 0
    around = np.asarray(found.activity_mbq) * (1 + 0.01 * np.random.default_rng(0).normal(size=(50, 2)))
    assert found.value > max(o.objective_value(problem, one) for one in around)


@pytest.mark.parametrize("kind", ["utcp", "d70"])
@pytest.mark.parametrize("part", [0.5, 0.95])
def test_a_search_that_ended_too_early_has_not_converged(patient, monkeypatch, kind, part):
    """A search that returns a part of the optimum is reported, within the limits too."""
    problem = interior_problem() if kind == "utcp" else patient(3).problem(kind)
    found = o.optimise_activity(problem)
    assert found.status == "local optimum" and (found.use < 1 - 1e-3) == (kind == "utcp")

    def early(smooth, starts):
        units = part * np.asarray(found.activity_mbq) / smooth.unit_mbq
        return Found(units=units, value=0.0, agreeing=1, searches=1)

    monkeypatch.setattr(_optimise, "search", early)
    assert o.optimise_activity(problem).status == "not converged"


@pytest.mark.parametrize("kind", ["d70", "eud", "mean"])
def test_the_multiplier_is_the_gain_of_a_higher_limit(patient, kind):
    case = patient(4)
    before = o.optimise_activity(case.problem(kind, alpha_per_gy=0.02))
    active = int(np.argmax([one.gain_per_gy * one.limit_gy for one in before.limits]))
    old = case.objectives[active]
    case.objectives[active] = d.DoseObjective(
        voi=old.voi,
        direction="at most",
        dose_gy=old.dose_gy + 0.5,
        kind=old.kind,
        volume_fraction=old.volume_fraction,
        source="test",
    )
    after = o.optimise_activity(case.problem(kind, alpha_per_gy=0.02))
    assert (after.value - before.value) / 0.5 == pytest.approx(before.limits[active].gain_per_gy, rel=0.1)
    assert before.stationarity < 0.1


@pytest.mark.slow
def test_never_worse_than_the_starting_points(patient):
    case = patient(6, 5, 4)
    problem = case.problem("d70")
    for activity in np.random.default_rng(0).uniform(0.1, 1, (20, 5)):
        activity = activity / o.use_of_limits(problem, activity)
        assert o.optimise_activity(problem, also=[activity]).value >= o.objective_value(problem, activity)


@pytest.mark.slow
def test_a_second_patient_compiles_nothing(patient, compilations):
    o.optimise_activity(patient(7, 3, 4).problem("d70"))
    compilations.clear()
    found = o.optimise_activity(patient(8, 5, 3, voxels=333, liver=2500).problem("d70"))
    assert found.use <= 1
    assert compilations == []


def test_front_and_contributions(patient):
    case = patient(9)
    problem = case.problem("d70")
    best = o.optimise_activity(problem)
    activity = np.asarray(best.activity_mbq)
    front = o.pareto_front(problem, activity, points=6)
    assert front.value[-1] == pytest.approx(best.value)
    assert np.all(np.diff(front.value) > 0)
    assert np.all(np.diff(front.liver_gy) > 0)
    # Every point keeps all limits, and no multiple of the optimum with the same liver dose is better.
    for value, liver, one in zip(front.value, front.liver_gy, front.activity_mbq, strict=True):
        assert o.use_of_limits(problem, np.asarray(one)) <= 1
        same = activity * liver / front.liver_gy[-1]
        assert value >= o.nominal_objective(problem, same) * (1 - 1e-6)
    gains = o.injection_gains(problem, activity)
    for index, one in enumerate(gains):
        unit = np.eye(2)[index]
        alone = unit / o.use_of_limits(problem, unit)
        assert one.only == pytest.approx(o.objective_value(problem, alone), rel=1e-6)
        other = np.eye(2)[1 - index]
        without = o.objective_value(problem, other / o.use_of_limits(problem, other))
        assert one.gain == pytest.approx(best.value - without, rel=1e-6)


def test_no_limit_restricts_a_volume_that_has_its_target_everywhere(patient):
    one = patient(1)
    one.objectives[-1] = replace(one.objectives[-1], dose_gy=0.5)
    found = o.optimise_activity(one.problem("volume"))
    assert found.value == 1 and [limit.gain_per_gy for limit in found.limits] == [0, 0, 0]
    assert "a higher limit would not raise" in found.limits[0].sentence("tumour volume above its target", "%")


def test_the_front_never_falls():
    problem = sharp_patient(0)
    best = o.optimise_activity(problem)
    front = o.pareto_front(problem, np.asarray(best.activity_mbq))
    assert front.value[-1] == pytest.approx(best.value)
    # A lower dose of the liver allows nothing that a higher one forbids.
    assert np.all(np.diff(front.value) >= 0)
    for level, liver, one in zip(np.linspace(0, 1, 13)[1:], front.liver_gy, front.activity_mbq, strict=True):
        assert o.use_of_limits(problem, np.asarray(one)) <= 1
        assert liver <= level * front.liver_gy[-1] * (1 + 1e-9)
