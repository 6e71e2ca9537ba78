"""The delivered dose: patient-relative, and absolute with a known answer through the whole workflow."""

import json
import re
from dataclasses import replace
from datetime import date, datetime, timedelta

import analytic_case as case
import numpy as np
import pytest

from sirtjax.dosimetry import get_nuclide
from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows import _decay, _images, load_case, plan_case, result_to_json, verify_case

LSF = 0.05
K = get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
INJECTED = datetime(2026, 3, 2, 10, 30)
DELIVERED = [
    {"territory": "right", "activity_mbq": 400.0, "time": INJECTED},
    {"territory": "left", "activity_mbq": 250.0, "residual_fraction": 0.1, "time": INJECTED + timedelta(minutes=20)},
]
# The tank is cut off at the image's edge, where keeping its total costs this much.
EDGE = 1e-3
LOCAL = {"method": "local", "spacing_mm": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verification")
    case.write_patient(folder)
    result, _, _ = plan_case(load_case(case.write_case(folder)))
    (folder / "results.json").write_text(json.dumps(result_to_json(result)))
    return folder


def verify(folder, **changes):
    return verify_case(load_case(case.write_case(folder, **({"injections": DELIVERED} | changes))))


@pytest.mark.slow
def test_relative_doses_are_those_of_the_activities_delivered(folder):
    result, _, _ = verify(folder, plan="results.json")
    assert result.kind == "verification"
    for territory, activity in (("right", 400.0), ("left", 250.0)):
        part = case.partition(7.0)[territory]
        expected = K * activity * (1 - LSF) * part["normal"] / (1.05 * part["normal_ml"])
        assert result.voi(f"normal {territory}").mean_gy == pytest.approx(expected, rel=0.012)
    right, left = result.injections
    assert (right.activity_mbq, right.lower_mbq, right.upper_mbq, right.bounds) == (400.0, None, None, ())
    assert left.dispensed_mbq == pytest.approx(250 / 0.9)
    assert result.lung_dose_gy == pytest.approx(K * 650 * LSF / 1000, rel=1e-6)


@pytest.mark.slow
def test_the_plan_stands_beside_the_delivered_dose(folder):
    result, _, _ = verify(folder, plan="results.json")
    planned = json.loads((folder / "results.json").read_text())
    assert set(result.planned) == {row["name"] for row in planned["vois"]} == {voi.name for voi in result.vois}
    by_name = {row["name"]: row for row in planned["vois"]}
    assert result.planned["alpha"]["mean_gy"] == by_name["alpha"]["mean_gy"]
    # Planning put as much into each territory as the limit allows; delivered is more, by the ratio of activities.
    assert f"planned {planned['injections'][0]['activity_mbq']:.0f} MBq" in result.injections[0].limiting_objective
    ratio = 400.0 / planned["injections"][0]["activity_mbq"]
    assert result.voi("alpha").mean_gy / result.planned["alpha"]["mean_gy"] == pytest.approx(ratio, rel=2e-3)
    assert result.provenance["inputs"]["plan"]["file"] == "results.json"


@pytest.mark.slow
def test_a_verification_needs_no_choice_and_leaves_an_unknown_residual_open(folder):
    result, _, _ = verify(folder, prescription=None)
    right, left = result.injections
    assert (right.residual_fraction, right.dispensed_mbq) == (None, None)
    assert (left.residual_fraction, left.dispensed_mbq) == (0.1, pytest.approx(250 / 0.9))
    shared, _, _ = verify(folder, prescription={"residual_fraction": 0.2})
    assert [row.dispensed_mbq for row in shared.injections] == [pytest.approx(500), pytest.approx(250 / 0.9)]


def test_a_verification_without_a_plan_has_nothing_beside_it(folder):
    result = verify(folder)[0]
    assert (result.planned, result.comparison, result.image_activity_mbq) == ({}, None, None)
    assert "SJ510" in [check.code for check in result.checks]
    assert all(row.planned_gy is None for row in result.objectives)


@pytest.fixture(scope="module")
def uniform(tmp_path_factory):
    """The liver in a tank of 1.000 MBq/mL, the whole image and a wide margin."""
    folder = tmp_path_factory.mktemp("uniform")
    case.write_patient(folder)
    tank = Volume(np.full(case.SPECT.shape, 1.0e6, np.float32), case.SPECT, unit="Bq/mL")
    write_nifti(folder / "spect.nii", tank, force=True)
    return folder


def absolute(folder, hours, *, time=INJECTED, **changes):
    reference = {"reference_time": INJECTED + timedelta(hours=hours)} if hours is not None else {}
    injections = [{"territory": "whole liver", "activity_mbq": 900.0} | ({"time": time} if time else {})]
    dose = LOCAL | {"constant": "y90-thesis"}
    table = {"calibration": {"method": "absolute", **reference}, "territories": None, "injections": injections}
    return verify(folder, **(table | {"dose": dose} | changes))[0]


def test_one_mbq_per_ml_a_day_after_the_injection(uniform):
    """1.000 MBq/mL measured 24 h p.i. at 1.05 g/mL: 49.3788/1.05 * 2^(24/64.0416) = 60.98 Gy.

    49.38 gives 60.978 Gy as the thesis rounds its Eq. 1.3; its own numbers give 49.3788.
    """
    result = absolute(uniform, 24.0)
    expected = 49.3788 / 1.05 * 2 ** (24 / 64.0416)
    assert expected == pytest.approx(60.978, rel=5e-5)
    liver = result.voi("liver")
    assert liver.mean_gy == pytest.approx(60.978, rel=EDGE)
    assert liver.multi_compartment_mean_gy == pytest.approx(60.978, rel=EDGE)
    assert (liver.min_gy, liver.max_gy) == (pytest.approx(60.978, rel=EDGE), pytest.approx(60.978, rel=EDGE))
    at_injection = 1.0 * 2 ** (24 / 64.0416) * liver.volume_ml
    assert liver.activity_mbq == pytest.approx(at_injection, rel=1e-3)
    assert "SJ601" not in [check.code for check in result.checks]


@pytest.mark.slow
def test_a_calibration_factor_multiplies_the_activity_and_is_reported(uniform):
    table = {"method": "absolute", "reference_time": INJECTED + timedelta(hours=24)}
    factor = {
        "factor": 0.9,
        "factor_uncertainty": 0.04,
        "factor_date": date(2026, 2, 20),
        "factor_source": "NEMA phantom",
    }
    plain, scaled = absolute(uniform, 24.0), absolute(uniform, 24.0, calibration=table | factor)
    assert scaled.voi("liver").mean_gy == pytest.approx(0.9 * plain.voi("liver").mean_gy, rel=1e-5)
    assert scaled.image_activity_mbq == pytest.approx(0.9 * plain.image_activity_mbq, rel=1e-5)
    (entry,) = [one for one in scaled.methods if one.name == "calibration factor"]
    assert "0.9 ± 4 %, measured on 2026-02-20" in entry.value and entry.source == "NEMA phantom"
    for wrong, message in (
        ({key: value for key, value in factor.items() if key != "factor_date"}, "`factor` requires"),
        (factor | {"factor": 0.0}, "calibration.factor"),
        (factor | {"method": "relative"}, '`factor` requires method = "absolute"'),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            absolute(uniform, 24.0, calibration=table | wrong)


@pytest.mark.slow
def test_a_pet_calibrated_as_another_nuclide_is_reported(uniform, monkeypatch):
    read = _images.formats.read_image

    def as_fluorine(*args, **kwargs):
        image = read(*args, **kwargs)
        return replace(image, source=replace(image.source, positron_fraction=0.967))

    monkeypatch.setattr(_images.formats, "read_image", as_fluorine)
    assert "SJ606" in [check.code for check in absolute(uniform, 24.0).checks]


@pytest.mark.slow
def test_the_kernel_gives_the_same_inside_a_uniform_tank(uniform):
    result = absolute(uniform, 24.0, dose={"method": "kernel", "spacing_mm": 3.0, "constant": "y90-thesis"})
    assert result.voi("alpha").mean_gy == pytest.approx(60.978, rel=3e-3)


def test_the_activity_of_the_whole_image_at_the_injection(uniform):
    """The tank fills the image of 1.000 MBq/mL, of which the working grid covers a part."""
    image_ml = np.prod(case.SPECT.shape) * case.SPECT.voxel_volume_ml
    result = absolute(uniform, 24.0)
    assert result.image_activity_mbq == pytest.approx(image_ml * 2 ** (24 / 64.0416), rel=1e-6)
    assert any(line.startswith("the whole image shows ") for line in result.notes)


@pytest.mark.slow
def test_decay_before_and_after_the_injection(uniform):
    later, sooner = absolute(uniform, 0.0), absolute(uniform, -2.0)
    assert later.voi("liver").mean_gy == pytest.approx(49.3788 / 1.05, rel=EDGE)
    assert sooner.voi("liver").mean_gy == pytest.approx(49.3788 / 1.05 * 2 ** (-2 / 64.0416), rel=EDGE)


@pytest.mark.parametrize(("hours", "time"), [(None, INJECTED), (24.0, None)])
def test_a_missing_time_is_a_check_and_no_decay_correction(uniform, hours, time):
    result = absolute(uniform, hours, time=time)
    assert "SJ601" in [check.code for check in result.checks]
    assert result.voi("liver").mean_gy == pytest.approx(49.3788 / 1.05, rel=EDGE)


STAGED = [
    {"territory": "right", "activity_mbq": 400.0, "time": INJECTED},
    {"territory": "left", "activity_mbq": 250.0, "time": INJECTED + timedelta(hours=24)},
]


def divided(folder, uniform, changes=()):
    (uniform / "later.nii").write_bytes((folder / "territories.nii").read_bytes())
    table = {"path": "later.nii", "image": "activity", "labels": {"1": "right", "2": "left"}} | dict(changes)
    return {"territories": table}


def test_staged_injections_decay_each_from_its_own_time(folder, uniform):
    """1.000 MBq/mL two days after the first injection: 48 h for the right side, 24 h for the left."""
    result = absolute(uniform, 48.0, **divided(folder, uniform), injections=STAGED)
    right, left = (49.3788 / 1.05 * 2 ** (hours / 64.0416) for hours in (48, 24))
    # Voxels cut by the dividing plane are shared: they are 6 % of the smaller side.
    assert result.voi("normal right").d_gy["50"] == pytest.approx(right, rel=EDGE)
    assert result.voi("normal left").d_gy["50"] == pytest.approx(left, rel=EDGE)
    assert result.voi("alpha").mean_gy == pytest.approx(right, rel=EDGE)
    assert result.voi("beta").mean_gy == pytest.approx(left, rel=EDGE)
    expected_ml = {"normal right": right, "normal left": left}
    for name, dose in expected_ml.items():
        assert result.voi(name).mean_gy == pytest.approx(dose, rel=8e-3)
    assert [row.elapsed_h for row in result.injections] == [48.0, 24.0]
    assert right / left == pytest.approx(1.2966, abs=1e-4)
    assert any("the injections were at different times" in line for line in result.notes)
    assert result.image_activity_mbq is None
    assert {"SJ601", "SJ407"}.isdisjoint(check.code for check in result.checks)


@pytest.mark.slow
def test_staged_injections_in_the_other_order(folder, uniform):
    result = absolute(uniform, 48.0, **divided(folder, uniform), injections=STAGED[::-1])
    assert result.voi("beta").mean_gy == pytest.approx(49.3788 / 1.05 * 2 ** (24 / 64.0416), rel=EDGE)


@pytest.mark.slow
def test_an_image_corrected_to_the_first_injection(folder, uniform):
    """The reference time is a day before the second injection: its activity there is less than the image says."""
    result = absolute(uniform, 0.0, **divided(folder, uniform), injections=STAGED)
    assert result.voi("alpha").mean_gy == pytest.approx(49.3788 / 1.05, rel=EDGE)
    assert result.voi("beta").mean_gy == pytest.approx(49.3788 / 1.05 * 2 ** (-24 / 64.0416), rel=EDGE)


@pytest.mark.slow
def test_activity_outside_the_injected_territories_decays_with_the_nearest_one(folder, uniform):
    """Only a slab of the liver is in a territory, in two parts; the rest follows the nearer one, with a check."""
    sides = case.masks(case.CT)[2]
    points = case.points_of(case.CT)[..., 0, :]
    slab = np.abs(points[..., 2] - case.CENTRE_MM[2]) < 20
    labels = LabelMap(np.where(slab, sides, 0).astype(np.uint8), case.CT, names=((1, "right"), (2, "left")))
    write_nifti(uniform / "slab.nii", labels, force=True)
    table = {"path": "slab.nii", "image": "activity", "labels": {"1": "right", "2": "left"}}
    result = absolute(uniform, 48.0, territories=table, injections=STAGED)
    right, left = (49.3788 / 1.05 * 2 ** (hours / 64.0416) for hours in (48, 24))
    mixed = (case.TERRITORY_ML["right"] * right + case.TERRITORY_ML["left"] * left) / sum(case.TERRITORY_ML.values())
    assert result.voi("liver").mean_gy == pytest.approx(mixed, rel=1e-2)
    (check,) = (check for check in result.checks if check.code == "SJ407")
    outside = 1 - float((slab & (sides > 0)).sum()) / float((sides > 0).sum())
    assert check.value == pytest.approx(outside, abs=0.03)


def test_a_voxel_in_two_territories_is_shared_by_its_fractions():
    right = np.asarray([0.5, 0.5, 0.0, 0.0], np.float32).reshape(4, 1, 1)
    left = np.asarray([0.0, 1.0, 0.5, 0.0], np.float32).reshape(4, 1, 1)
    first, second = _decay._shares([right, left], (1.0, 1.0, 1.0))
    assert first.ravel().tolist() == pytest.approx([1.0, 1 / 3, 0.0, 0.0])
    assert second.ravel().tolist() == pytest.approx([0.0, 2 / 3, 1.0, 1.0])


@pytest.mark.slow
def test_one_unknown_time_is_named_and_not_corrected(folder, uniform):
    injections = [STAGED[0], {key: STAGED[1][key] for key in ("territory", "activity_mbq")}]
    result = absolute(uniform, 48.0, **divided(folder, uniform), injections=injections)
    (check,) = (check for check in result.checks if check.code == "SJ601")
    assert check.where == "the injection into left"
    assert result.voi("beta").mean_gy == pytest.approx(49.3788 / 1.05, rel=EDGE)
    assert result.voi("alpha").mean_gy == pytest.approx(49.3788 / 1.05 * 2 ** (48 / 64.0416), rel=EDGE)


@pytest.mark.slow
def test_times_of_a_relative_verification_change_nothing(folder):
    """Counts of a territory are scaled to what was injected into it: all of them decay alike."""
    staged = [dict(row, time=INJECTED + timedelta(hours=24 * n)) for n, row in enumerate(DELIVERED)]
    together, apart = verify(folder)[0], verify(folder, injections=staged)[0]
    assert [voi.mean_gy for voi in apart.vois] == [voi.mean_gy for voi in together.vois]


def test_absolute_needs_bq_per_ml(folder):
    with pytest.raises(ConfigError, match=r'"absolute" needs an image in Bq/mL, this one is in counts'):
        absolute(folder, 24.0)


def test_zones_are_compared_not_dropped(uniform):
    """09:30 UTC is 10:30 in a zone one hour east: the two times of the case are one moment."""
    times = {"time": "2026-03-02T10:30:00+01:00"}
    calibration = {"method": "absolute", "reference_time": "2026-03-03T09:30:00Z"}
    injections = [{"territory": "whole liver", "activity_mbq": 900.0, **times}]
    result = absolute(uniform, 24.0, calibration=calibration, injections=injections)
    assert result.voi("liver").mean_gy == pytest.approx(60.978, rel=EDGE)


def test_a_time_with_a_zone_and_one_without_are_not_mixed(uniform):
    calibration = {"method": "absolute", "reference_time": "2026-03-03T09:30:00Z"}
    with pytest.raises(ConfigError, match="one has a time zone, the other has none"):
        absolute(uniform, 24.0, calibration=calibration)
