"""The future liver remnant against sums over the other VOIs, and the interval between imaging and treatment."""

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.io import read_nifti_array
from sirtjax.reports import report_html
from sirtjax.workflows import load_case, plan_case

FIXED = {"strategy": "fixed"}
RIGHT = [{"territory": "right", "activity_mbq": 300.0, "residual_fraction": 0.0}]
BOTH = [*RIGHT, {"territory": "left", "activity_mbq": 200.0, "residual_fraction": 0.0}]


def codes(result):
    return [check.code for check in result.checks]


def test_the_remnant_is_what_the_injected_territory_leaves(planned):
    result, _ = planned(prescription=FIXED, injections=RIGHT)
    rows, found = {row.name: row for row in result.vois}, result.remnant
    for whole, treated, ml, fraction, gy in (
        ("liver", "right", found.volume_ml, found.liver_fraction, found.mean_gy),
        ("normal liver", "normal right", found.normal_ml, found.normal_fraction, found.normal_mean_gy),
    ):
        liver, right = rows[whole], rows[treated]
        assert ml == pytest.approx(liver.volume_ml - right.volume_ml, rel=1e-3)
        assert fraction == pytest.approx(ml / liver.volume_ml, rel=1e-6)
        energy = liver.mean_gy * liver.volume_ml - right.mean_gy * right.volume_ml
        assert gy == pytest.approx(energy / ml, abs=1e-3 * liver.mean_gy)
    assert found.volume_ml > found.normal_ml


def test_its_volume_is_that_of_the_mask_files(patient, planned):
    result, _ = planned(prescription=FIXED, injections=RIGHT)
    table = case.case_table()
    territories, geometry = read_nifti_array(patient / table["territories"]["path"])
    values = {name: int(value) for value, name in table["territories"]["labels"].items()}
    voxels = int(np.count_nonzero(np.asarray(territories) == values["left"]))
    assert result.remnant.volume_ml == pytest.approx(voxels * geometry.voxel_volume_ml, rel=0.01)


def test_a_limit_on_its_dose_is_checked_and_does_not_change_the_activity(planned):
    free, maps = planned(prescription=FIXED, injections=RIGHT)
    gy = free.remnant.normal_mean_gy
    assert "SJ309" not in codes(free)
    for factor, expected in ((1.01, False), (0.99, True)):
        limit = {"limit_gy": factor * gy, "source": "the test"}
        result, _ = planned(prescription=FIXED, injections=RIGHT, remnant=limit)
        assert ("SJ309" in codes(result)) == expected
        assert result.injections[0].activity_mbq == 300.0
    page = report_html(free, maps, pictures=[])
    assert "Future liver remnant" in page
    assert "10.1002/jso.25430" in page
    assert f"{100 * free.remnant.normal_fraction:.1f}" in page


@pytest.mark.slow
def test_without_a_remnant_there_is_no_dose_and_no_limit(planned):
    result, maps = planned(prescription=FIXED, injections=BOTH)
    found = result.remnant
    assert (found.volume_ml, found.liver_fraction, found.mean_gy, found.normal_mean_gy) == (0.0, 0.0, None, None)
    assert "there is no remnant" in report_html(result, maps, pictures=[])
    with pytest.raises(ConfigError, match=r"remnant\.limit_gy: the injected territories contain the whole"):
        planned(prescription=FIXED, injections=BOTH, remnant={"limit_gy": 5.0, "source": "the test"})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, {}),
        ({"treatment_date": "2026-03-02", "imaging_dates": {"activity": "2026-02-01"}}, {}),
        # 29 days, from 1 February to 2 March, are not more than 29.
        ({"max_interval_days": 29, "treatment_date": "2026-03-02"}, {"SJ310": None}),
        ({"max_interval_days": 29, "imaging_dates": {"activity": "2026-02-01", "ct": "2026-02-01"}}, {"SJ310": None}),
    ],
)
def test_an_interval_without_days_or_limit(planned, record, expected):
    days = record.get("imaging_dates", {})
    result, _ = planned(record=record)
    assert {code for code in codes(result) if code in ("SJ307", "SJ308", "SJ310")} == set(expected), days


@pytest.mark.parametrize(
    ("treatment", "limit", "expected"),
    [
        ("2026-03-02", 29, {}),
        ("2026-03-03", 29, {"SJ307": 30.0}),
        ("2026-01-31", 29, {"SJ308": 1.0}),
        ("2026-02-01", 29, {}),
    ],
)
def test_the_days_between_imaging_and_treatment(planned, treatment, limit, expected):
    record = {
        "max_interval_days": limit,
        "treatment_date": treatment,
        "imaging_dates": {"activity": "2026-02-01", "ct": "2026-02-01"},
    }
    result, _ = planned(record=record)
    found = {check.code: check.value for check in result.checks if check.code in ("SJ307", "SJ308", "SJ310")}
    assert found == expected
    if "SJ307" in expected:
        (where, *_) = [check.where for check in result.checks if check.code == "SJ307"]
        assert where == "activity image"


def test_the_interval_must_be_a_number_of_days(patient):
    path = case.write_case(patient, record={"max_interval_days": 0})
    with pytest.raises(ConfigError, match="greater than 0"):
        plan_case(load_case(path))


def test_days_of_images_are_not_paths(tmp_path, patient):
    # The steps store a case as JSON, where a day is text.
    from sirtjax.reports import load_saved_case, save_steps
    from sirtjax.workflows import StepResults

    record = {"treatment_date": "2026-03-02", "imaging_dates": {"ct": "2026-02-01", "planar": "2026-02-03"}}
    loaded = load_case(case.write_case(patient, record=record))
    save_steps(tmp_path, loaded, StepResults())
    assert load_saved_case(tmp_path).record == loaded.record
