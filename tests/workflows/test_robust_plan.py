"""Robust optima of a plan: what a case must state, and the probability by hand from the simulations of the plan."""

import dataclasses
import json
from importlib import resources
from types import SimpleNamespace

import analytic_case as case
import jsonschema
import numpy as np
import pytest
import uncertain_case as stated

from sirtjax.errors import ConfigError, InputError
from sirtjax.io import write_nifti
from sirtjax.reports import report_html
from sirtjax.reports._probability_curve import probability_sentences
from sirtjax.volume import LabelMap
from sirtjax.workflows import (
    ChoiceProbability,
    OptimalInjection,
    OptimalResult,
    ProbabilityResult,
    RobustResult,
    _optimal_robust,
    choose_uncertainty,
    load_case,
    plan_case,
    result_to_json,
)
from sirtjax.workflows import _uncertainty as intervals
from sirtjax.workflows._optimal_probability import probability_checks
from sirtjax.workflows._optimal_scenarios import NoSamplesError

SCHEMA = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())
ROBUST = {"strategy": "optimal", "objective": "mean", "limit_probability": 0.9}


@pytest.mark.parametrize(
    ("prescription", "message"),
    [
        ({"strategy": "upper", "limit_probability": 0.9}, "`limit_probability` is allowed only with strategy"),
        (
            {"strategy": "optimal", "objective": "mean", "robust_limits": "chance"},
            "are allowed only with `limit_probability`",
        ),
        (
            {"strategy": "optimal", "objective": "mean", "robust_objective": "expected"},
            "are allowed only with `limit_probability`",
        ),
        (ROBUST | {"limit_probability": 0.4}, "greater than or equal to 0.5"),
        (ROBUST | {"limit_probability": 1.0}, "less than 1"),
        (ROBUST | {"limit_probability": 90}, "less than 1"),
        (ROBUST | {"robust_limits": "mean"}, "robust_limits"),
        (ROBUST | {"robust_objective": "best"}, "robust_objective"),
    ],
)
def test_what_a_case_cannot_state(patient, prescription, message):
    with pytest.raises(ConfigError, match=message):
        load_case(case.write_case(patient, prescription=prescription, uncertainty=stated.SOURCES, **stated.TABLES))


@pytest.mark.parametrize(
    ("uncertainty", "choice", "probability", "message"),
    [
        (None, None, 0.9, r'0\.9 requires \[uncertainty\] with method = "samples"'),
        (stated.SOURCES, "off", 0.9, "do not use --uncertainty off"),
        (stated.SOURCES | {"method": "eanm"}, None, 0.9, r'requires \[uncertainty\] with method = "samples"'),
        (stated.SOURCES, None, 0.99, "64 samples are too few; use uncertainty.samples = 128"),
        (stated.SOURCES | {"samples": 256}, "fast", 0.99, "64 samples are too few; use uncertainty.samples = 128"),
        (stated.SOURCES, None, 0.9995, "64 samples are too few; state a smaller probability"),
    ],
)
def test_a_robust_plan_without_samples_is_refused(patient, uncertainty, choice, probability, message):
    tables = stated.TABLES if uncertainty is None else stated.TABLES | {"uncertainty": uncertainty}
    path = case.write_case(patient, prescription=ROBUST | {"limit_probability": probability}, **tables)
    with pytest.raises(ConfigError, match=message) as error:
        plan_case(choose_uncertainty(load_case(path), choice))
    assert "\n" not in str(error.value)


def shown(kept, *, robust=None):
    """An optimal result with a probability that all limits are kept."""
    choices = (ChoiceProbability("robust" if robust else "optimum", kept, None),)
    probability = ProbabilityResult(64, "", 500.0, choices, (), (0.0, 500.0), (1.0, kept), ())
    numbers = dict.fromkeys(("value", "upper_value", "liver_gy", "upper_liver_gy", "use"), 1.0)
    return OptimalResult(
        objective="mean",
        label="mean",
        unit="Gy",
        status="optimal",
        method="linear program",
        searches=0,
        agreeing=0,
        injections=(),
        limits=(),
        front_liver_gy=(),
        front_value=(),
        robust=robust,
        probability=probability,
        **numbers,
    )


def test_an_optimum_that_keeps_its_limits_by_chance_is_reported():
    (check,) = probability_checks(shown(0.52), level=0.9)
    assert (check.code, check.value, check.limit) == ("SJ563", 0.52, pytest.approx(0.95))
    assert "52 %" in check.message
    assert probability_checks(shown(0.96), level=0.9) == ()


@pytest.mark.parametrize(("activity_mbq", "same"), [(500.0, True), (460.0, False)])
def test_a_robust_plan_that_the_limits_as_computed_decide_is_named(activity_mbq, same):
    robust = RobustResult(
        limit_probability=0.9,
        robust_limits="chance",
        robust_objective="expected",
        status="local optimum",
        searches=6,
        agreeing=6,
        value=1.0,
        nominal_value=1.0,
        liver_gy=1.0,
        activity_mbq=(activity_mbq,),
        limits=(),
    )
    found = shown(0.97, robust=robust)
    injection = OptimalInjection("all", 500.0, 500.0, 1.0, 1.0)
    (text,) = probability_sentences(dataclasses.replace(found, injections=(injection,)))
    assert "with a probability of 97 %" in text and "The case requires 90 %." in text
    assert ("The limits by the doses as computed decide" in text) == same
    assert probability_checks(found, level=0.9) == ()
    (check,) = probability_checks(shown(0.85, robust=robust), level=0.9)
    assert (check.value, check.limit) == (0.85, 0.9)


@pytest.fixture(scope="module")
def robust_plan(tmp_path_factory):
    """A robust plan, its images, and the logarithms of estimate over truth of its intervals."""
    folder = tmp_path_factory.mktemp("robust")
    stated.write_patient(folder)
    path = case.write_case(folder, prescription=ROBUST, uncertainty=stated.SOURCES, **stated.TABLES)
    kept = []
    simulate = intervals.simulate

    def keeping(setting, inputs, *args, **more):
        found = simulate(setting, inputs, *args, **more)
        kept.append((found, inputs))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "simulate", keeping)
        result, maps, _ = plan_case(load_case(path))
    return result, maps, kept[-1]


@pytest.mark.slow
def test_the_probability_is_that_of_the_corrected_doses_in_the_samples(robust_plan):
    result, _, (found, inputs) = robust_plan
    names = [voi.name for voi in inputs.vois]
    met, checked = np.ones(result.uncertainty.samples, bool), 0
    for row in result.objectives:
        if row.direction == "at least" or row.purpose != "bound":
            continue
        if row.voi == "lungs":
            parts = np.asarray(found.estimate.lung_gy, np.float64)
            ratio = np.exp(-np.asarray(found.log_ratios.lung_gy, np.float64)) @ (parts / parts.sum())
            true = result.lung_shunt_dose_gy * ratio
        else:
            logs = np.asarray(found.log_ratios.mean_gy, np.float64)[:, names.index(row.voi)]
            true = result.uncertainty.row(row.voi, "mean").corrected * np.exp(-logs)
        met &= true <= row.dose_gy
        checked += 1
    assert checked >= 3
    chosen = result.optimal.probability.choices[0]
    assert chosen.choice == "robust"
    assert chosen.limits_met == pytest.approx(met.mean(), abs=1 / len(met) + 1e-9)
    assert chosen.limits_met >= 0.9


@pytest.mark.slow
def test_the_robust_optimum_is_prescribed(robust_plan):
    result, maps, _ = robust_plan
    best = result.optimal
    robust = best.robust
    assert [row.activity_mbq for row in result.injections] == pytest.approx(robust.activity_mbq)
    assert sum(robust.activity_mbq) < sum(row.activity_mbq for row in best.injections)
    assert robust.nominal_value <= best.value
    assert all(row.met for row in result.objectives if row.direction == "at most")
    by_name = {one.choice: one for one in best.probability.choices}
    assert by_name["robust"].limits_met > by_name["optimum"].limits_met
    assert best.probability.chosen_mbq == pytest.approx(sum(robust.activity_mbq))
    # The curve at the prescribed activity, and its ends.
    curve = np.interp(best.probability.chosen_mbq, best.probability.activity_mbq, best.probability.limits_met)
    assert curve == pytest.approx(by_name["robust"].limits_met, abs=0.05)
    assert best.probability.limits_met[0] == 1.0 and best.probability.limits_met[-1] < 0.1
    assert not any(check.code == "SJ563" for check in result.checks)
    assert all("90 %" in row.limiting_objective for row in result.injections)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(result_to_json(result), allow_nan=False)))
    page = report_html(result, maps)
    for text in ("robust optimum (prescribed)", "The case requires 90 %", "limits kept", "targets met"):
        assert text in page


@pytest.mark.slow
def test_overlapping_lesions_have_no_robust_optimum(tmp_path):
    """As they have no intervals: a voxel of the simulations has one lesion."""
    outer = dataclasses.replace(case.LESIONS[0], radius_mm=20.0)
    core = dataclasses.replace(case.LESIONS[0], name="core", radius_mm=14.0)
    stated.write_patient(tmp_path, lesions=(outer, case.LESIONS[1]))
    (tmp_path / "lesions").mkdir()
    for lesion in (outer, core, case.LESIONS[1]):
        inside = np.asarray(case.masks(case.CT, (lesion,))[1]) > 0
        write_nifti(tmp_path / "lesions" / f"{lesion.name}.nii", LabelMap.from_mask(inside, case.CT, name=lesion.name))
    masks = case.case_table()["masks"] | {"lesions": {"path": "lesions", "image": "activity"}}
    path = case.write_case(tmp_path, prescription=ROBUST, masks=masks, uncertainty=stated.SOURCES, **stated.TABLES)
    with pytest.raises(InputError, match=r"prescription\.limit_probability: the lesions core and alpha overlap"):
        plan_case(load_case(path))


def test_a_dose_without_samples_is_refused_with_what_to_do(monkeypatch):
    def no_samples(*_):
        raise NoSamplesError("alpha: its dose has no samples")

    monkeypatch.setattr(_optimal_robust, "robust_problem", no_samples)
    monkeypatch.setattr(_optimal_robust, "case_sources", lambda *_, **__: SimpleNamespace(message=""))
    monkeypatch.setattr(_optimal_robust, "overlap_message", lambda _: "")
    for name in ("superpose", "partial_volume_result", "_simulated"):
        monkeypatch.setattr(_optimal_robust, name, lambda *_, **__: None)
    asked = SimpleNamespace(limit_probability=0.9, robust_limits=None, robust_objective=None)
    images = SimpleNamespace(activity=SimpleNamespace(resolution_fwhm_mm=16.0))
    bare = SimpleNamespace(
        prescription=asked, uncertainty=SimpleNamespace(), images=images,
        partial_volume=SimpleNamespace(model_copy=lambda **_: None), model_copy=lambda **_: None,
    )  # fmt: skip
    choice = SimpleNamespace(activity_mbq=np.ones(1), upper_mbq=np.ones(1), problem=None)
    with pytest.raises(InputError, match=r"alpha: its dose has no samples; choose another objective .* remove limit_"):
        _optimal_robust.robust_choice(bare, None, SimpleNamespace(vois=()), (), (), choice)
