"""Intervals of a plan and a verification against the correction, the laws of linear doses and one without intervals."""

import dataclasses
import json
import math
from importlib import resources

import analytic_case as case
import jsonschema
import numpy as np
import pytest
import uncertain_case
from scipy import ndimage

from sirtjax.io import write_nifti
from sirtjax.reports._interval_section import interval_sentences
from sirtjax.volume import Volume
from sirtjax.workflows import choose_uncertainty, load_case, plan_case, result_to_json, verify_case
from sirtjax.workflows._uncertainty_checks import uncertainty_checks
from sirtjax.workflows._uncertainty_record import UncertaintySource

FWHM_MM = 10.0
SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))
SPECT = case.grid((40, 36, 34), (4.4, 4.8, 5.3), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
FINE = case.grid((80, 72, 68), (2.2, 2.4, 2.65), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
IMAGES = {"activity": {"path": "spect.nii", "resolution_fwhm_mm": FWHM_MM}, "ct": {"path": "ct.nii"}}
# A third lesion, too small for an interval.
SMALL = case.Lesion("gamma", (-4.0, -25.0, 20.0), 5.0, 5.0, "right")
LESIONS = (*case.LESIONS, SMALL)
SOURCES = uncertain_case.SOURCES
CALIBRATION, SHUNT, RESIDUAL = (SOURCES[name]["size"] for name in ("calibration", "lung_shunt", "residual"))
BIOLOGY = {
    "tumour": {"alpha_beta_gy": 10.0, "repair_half_time_h": 1.5, "source": "written for tests"},
    "tcp": "resin-tumour",
    "tcp_gamma50": 1.0,
}
TABLES = {"images": IMAGES, "partial_volume": {"methods": ["rbv"], "propose_shift": True}, "biology": BIOLOGY}
SCHEMA = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intervals")
    case.write_patient(folder, margin_mm=0.0, lesions=LESIONS)
    sigma = FWHM_MM * SIGMA_PER_FWHM / np.asarray(FINE.spacing_mm)
    fine = ndimage.gaussian_filter(case.concentration(FINE, 0.0, LESIONS), sigma)
    i, j, k = SPECT.shape
    image = 1000.0 * fine.reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5)).astype(np.float32)
    write_nifti(folder / "spect.nii", Volume(image, SPECT, unit="counts"), force=True)
    return folder


@pytest.fixture(scope="module")
def plans(folder):
    """A plan with intervals, and the same without."""
    loaded = load_case(case.write_case(folder, lesions=LESIONS, **TABLES, uncertainty=SOURCES))
    found, _, products = plan_case(loaded)
    return found, plan_case(choose_uncertainty(loaded, "off"), products=products)[0]


@pytest.mark.slow
def test_intervals_do_not_change_the_plan(plans):
    found, plain = plans
    assert found.uncertainty is not None and plain.uncertainty is None
    for name in ("injections", "vois", "objectives", "dose_map", "lung_dose_gy", "partial_volume", "outcome"):
        assert getattr(found, name) == getattr(plain, name), name
    new = {check.code for check in found.checks} - {check.code for check in plain.checks}
    assert new <= {"SJ612", "SJ613", "SJ614", "SJ615", "SJ616", "SJ618"}


@pytest.mark.slow
def test_intervals_are_the_same_without_the_budget(folder, plans):
    sources = {**SOURCES, "budget": "none"}
    found = plan_case(load_case(case.write_case(folder, lesions=LESIONS, **TABLES, uncertainty=sources)))[0]
    whole = plans[0].uncertainty
    for row, other in zip(found.uncertainty.rows, whole.rows, strict=True):
        if other.interval is not None:
            assert (row.interval.lower, row.interval.upper) == (other.interval.lower, other.interval.upper)
            assert (row.interval.budget, row.interval.linear_standard_deviation) == ({}, None)
    assert any(row.interval is not None and row.interval.budget for row in whole.rows)
    # The report states what is missing; it is no effect that the intervals leave out.
    assert found.uncertainty.not_included == whole.not_included
    assert any("Neither the fraction" in sentence for sentence in interval_sentences(found))
    assert not any("Neither the fraction" in sentence for sentence in interval_sentences(plans[0]))


@pytest.mark.slow
def test_activity_outside_moves_every_interval_of_a_relative_calibration(folder, plans):
    outside = {"fraction": 0.1, "size": 0.0, "origin": "written for tests", "evidence": "assumed"}
    sources = {**SOURCES, "budget": "none", "outside": outside}
    found = plan_case(load_case(case.write_case(folder, lesions=LESIONS, **TABLES, uncertainty=sources)))[0]
    compared = 0
    for row, other in zip(found.uncertainty.rows, plans[0].uncertainty.rows, strict=True):
        assert (row.value, row.corrected) == (other.value, other.corrected)
        if other.interval is None or row.metric not in ("mean", "D70", "T/N"):
            continue
        factor = 1.0 if row.metric == "T/N" else 0.9
        # One more source changes the other random numbers.
        middle, ends = (0.03, 0.08) if row.metric == "D70" else (0.02, 0.05)
        for name, accuracy in (("lower", ends), ("median", middle), ("upper", ends)):
            expected = factor * getattr(other.interval, name)
            assert getattr(row.interval, name) == pytest.approx(expected, rel=accuracy), (row.voi, row.metric, name)
        compared += 1
    assert compared > 6
    for one, other in zip(found.uncertainty.bounds, plans[0].uncertainty.bounds, strict=True):
        if other.interval is not None and one.name != "tumour TCP":
            assert one.interval.median == pytest.approx(other.interval.median / 0.9, rel=0.02), one.name
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(result_to_json(found), allow_nan=False)))


@pytest.mark.slow
def test_intervals_follow_the_schema_and_their_own_order(plans):
    found, _ = plans
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(result_to_json(found), allow_nan=False)))
    uncertainty = found.uncertainty
    assert (uncertainty.status, uncertainty.samples, uncertainty.level) == ("intervals", 64, 0.9)
    checked = 0
    for row in (*uncertainty.rows, *uncertainty.bounds, *uncertainty.activities):
        one = row.interval
        assert (one is None) == (row.status == "no interval") == bool(row.reason)
        if one is not None:
            assert one.lower <= one.median <= one.upper and one.standard_deviation > 0
            checked += 1
    assert checked > 20
    for band in uncertainty.histograms:
        for low, middle, high in zip(band.lower_gy, band.middle_gy, band.upper_gy, strict=True):
            assert low <= middle <= high
        assert list(band.middle_gy) == sorted(band.middle_gy, reverse=True)


@pytest.mark.slow
def test_intervals_are_around_the_corrected_doses(plans):
    found, _ = plans
    for row in found.partial_volume.rows:
        mean, d70 = found.uncertainty.row(row.name, "mean"), found.uncertainty.row(row.name, "D70")
        assert mean.corrected == pytest.approx(row.corrected["rbv"].mean_gy, rel=1e-6)
        assert d70.corrected == pytest.approx(row.corrected["rbv"].d70_gy, rel=1e-6)
        assert mean.value == pytest.approx(row.mean_gy)
        if mean.interval is not None:
            assert mean.interval.lower < mean.corrected < mean.interval.upper
            assert mean.interval.median * (1 + mean.interval.relative_bias) == pytest.approx(mean.corrected, rel=1e-6)


@pytest.mark.slow
def test_a_small_lesion_has_no_interval(plans):
    found, _ = plans
    for metric in ("mean", "D70", "BED", "TCP"):
        row = found.uncertainty.row("gamma", metric)
        assert row.status == "no interval" and "5.0 mm" in row.reason and row.corrected is not None
    assert not any(band.voi == "gamma" for band in found.uncertainty.histograms)
    assert [check.where for check in found.checks if check.code == "SJ615"] == ["gamma"]
    assert found.uncertainty.row("alpha", "mean").status == "interval"


@pytest.mark.slow
def test_the_lungs_have_the_variance_of_calibration_residual_and_shunt(plans):
    found, _ = plans
    row = found.uncertainty.row("lungs", "mean") if any(v.kind == "lungs" for v in found.vois) else None
    bounds = [one for one in found.uncertainty.bounds if "lungs" in one.name]
    assert bounds
    expected = math.sqrt(CALIBRATION**2 + RESIDUAL**2 + SHUNT**2)
    for one in bounds:
        relative = one.interval.standard_deviation / one.interval.expectation
        assert relative == pytest.approx(expected, rel=0.25)
        assert one.interval.budget["lung_shunt"] == pytest.approx(SHUNT**2 / expected**2, abs=0.05)
    assert row is None or row.interval is not None


@pytest.mark.slow
def test_bounds_are_inverse_to_the_dose_of_their_objective(plans):
    found, _ = plans
    by_name = {row.name: row for row in found.objectives}
    checked = 0
    for bound in found.uncertainty.bounds:
        objective = by_name[bound.name]
        if objective.kind != "mean" or objective.voi == "lungs" or bound.interval is None:
            continue
        row = found.uncertainty.row(objective.voi, "mean")
        assert bound.corrected_mbq * row.corrected == pytest.approx(bound.value_mbq * row.value, rel=1e-6)
        assert bound.interval.upper * row.interval.lower == pytest.approx(bound.corrected_mbq * row.corrected, rel=1e-4)
        assert bound.interval.lower * row.interval.upper == pytest.approx(bound.corrected_mbq * row.corrected, rel=1e-4)
        assert bound.interval.budget == row.interval.budget
        checked += 1
    assert checked >= 2


@pytest.mark.slow
def test_tcp_is_the_monotone_map_of_its_dose(plans):
    from sirtjax.dosimetry import get_response_parameters, tumour_control_probability

    found, _ = plans
    response = get_response_parameters("resin-tumour")

    def tcp(gy):
        return float(tumour_control_probability(np.float32(gy), response, sphere_type="resin", gamma50=1.0))

    dose, row = found.uncertainty.row("alpha", "mean"), found.uncertainty.row("alpha", "TCP")
    for name in ("lower", "median", "upper"):
        assert getattr(row.interval, name) == pytest.approx(tcp(getattr(dose.interval, name)), abs=1e-6)
    assert row.corrected == pytest.approx(tcp(dose.corrected)) and row.value < row.corrected


@pytest.mark.slow
def test_a_target_inside_the_interval_is_not_certain(plans):
    found, _ = plans
    row = found.uncertainty.row("alpha", "mean")
    first = next(one for one in found.objectives if one.kind == "mean" and one.direction == "at least")
    limit = next(one for one in found.objectives if one.kind == "mean" and one.direction == "at most")
    liver = found.uncertainty.row(limit.voi, "mean")

    def codes(target_gy, limit_gy):
        changed = (
            dataclasses.replace(first, voi="alpha", dose_gy=target_gy),
            dataclasses.replace(limit, dose_gy=limit_gy),
        )
        checks = uncertainty_checks(dataclasses.replace(found, objectives=changed), found.uncertainty, {})
        return {check.code for check in checks} & {"SJ612", "SJ613"}

    inside = (row.interval.lower + row.interval.median) / 2
    assert codes(0.9 * row.interval.lower, 1.1 * liver.interval.upper) == set()
    assert codes(inside, 1.1 * liver.interval.upper) == {"SJ612"}
    assert codes(0.9 * row.interval.lower, 0.99 * liver.interval.upper) == {"SJ613"}


@pytest.mark.slow
def test_much_activity_outside_liver_and_lungs_is_a_warning(plans):
    found, _ = plans

    def warned(fraction):
        outside = UncertaintySource("outside", (0.02,), "1", None, "planar views", "measured", None, fraction)
        stated = dataclasses.replace(found.uncertainty, sources=(*found.uncertainty.sources, outside))
        return [(check.value, check.limit) for check in uncertainty_checks(found, stated, {}) if check.code == "SJ621"]

    assert warned(0.02) == warned(0.1) == []
    assert warned(0.2) == [(0.2, 0.1)]
    assert not any(check.code == "SJ621" for check in uncertainty_checks(found, found.uncertainty, {}))


@pytest.mark.slow
def test_a_verification_has_intervals_of_what_was_delivered(folder):
    delivered = [{"territory": "right", "activity_mbq": 300.0, "residual_fraction": 0.0}]
    delivered.append({"territory": "left", "activity_mbq": 200.0, "residual_fraction": 0.0})
    loaded = load_case(case.write_case(folder, lesions=LESIONS, **TABLES, injections=delivered, uncertainty=SOURCES))
    found, _, _ = verify_case(loaded)
    rows = {row.territory: row for row in found.uncertainty.activities}
    assert set(rows) == {"right", "left", None} and found.uncertainty.bounds == ()
    one = rows["right"].interval
    assert one.standard_deviation / 300.0 == pytest.approx(math.hypot(CALIBRATION, RESIDUAL), rel=0.05)
    assert one.lower == pytest.approx(300.0 * math.exp(-1.645 * math.hypot(CALIBRATION, RESIDUAL)), rel=1e-3)
    assert found.uncertainty.row("alpha", "mean").interval is not None
