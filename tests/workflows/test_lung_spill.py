"""Betas from the liver in the lung dose of a plan and a verification, against the exact value for a ball of liver."""

import json

import analytic_case as case
import numpy as np
import pytest

from sirtjax import pipeline
from sirtjax.dosimetry import get_nuclide, get_radial_kernel, sphere_self_fraction
from sirtjax.io import write_nifti
from sirtjax.volume import LabelMap
from sirtjax.workflows import load_case, pipeline_inputs, plan_case, result_to_json, verify_case

K = get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
LSF = 0.05
LUNG_G = 900.0
GIVEN = [{"territory": "right", "activity_mbq": 400.0}, {"territory": "left", "activity_mbq": 250.0}]
DOSE = {"method": "local", "spacing_mm": 3.0, "lung_mass_g": LUNG_G}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The analytic patient, with lungs wherever there is no liver."""
    folder = tmp_path_factory.mktemp("spill")
    case.write_patient(folder)
    liver, _, _ = case.masks(case.CT)
    write_nifti(folder / "lungs.nii", LabelMap.from_mask(~liver, case.CT, name="lungs"))
    return folder


def patient(folder, *, lungs=True, **changes):
    masks = case.case_table()["masks"]
    if lungs:
        masks |= {"lungs": {"path": "lungs.nii", "image": "activity"}}
    settings = {"masks": masks, "dose": DOSE, "injections": GIVEN, "prescription": {"strategy": "fixed"}} | changes
    return load_case(case.write_case(folder, **settings))


def spill_by_hand_gy(activity_mbq):
    """K times the energy that leaves the ball: its surface has the concentration of normal liver on either side."""
    radial = get_radial_kernel("y90-graves2019-water")
    escapes = 1 - float(sphere_self_fraction(np.float32(case.LIVER_MM), radial=radial, medium_density_g_per_ml=1.05))
    total = 0.0
    for territory, height_mm in (("right", case.LIVER_MM + case.PLANE_MM), ("left", case.LIVER_MM - case.PLANE_MM)):
        mine = [lesion for lesion in case.LESIONS if lesion.territory == territory]
        hot_ml = [lesion.volume_ml(7.0) for lesion in mine]
        weight_ml = case.TERRITORY_ML[territory] - sum(hot_ml)
        weight_ml += sum(lesion.ratio * ml for lesion, ml in zip(mine, hot_ml, strict=True))
        per_ml = activity_mbq[territory] * (1 - LSF) / weight_ml
        # The surface of a cap goes with its height.
        total += per_ml * case.ball_ml(case.LIVER_MM) * escapes * height_mm / (2 * case.LIVER_MM)
    return K * total / LUNG_G


@pytest.mark.slow
def test_the_lung_dose_has_two_parts(folder):
    result, _, products = plan_case(patient(folder))
    shunt_gy = K * 650 * LSF / LUNG_G
    expected_gy = spill_by_hand_gy({"right": 400.0, "left": 250.0})
    assert result.lung_shunt_dose_gy == pytest.approx(shunt_gy, rel=1e-6)
    # Partial voxels of 2.3 x 2.5 x 3 mm masks on a 3 mm grid.
    assert result.lung_spill_dose_gy == pytest.approx(expected_gy, rel=0.06)
    assert result.lung_dose_gy == pytest.approx(shunt_gy + result.lung_spill_dose_gy, rel=1e-6)
    row = result.voi("lungs")
    assert (row.mean_gy, row.multi_compartment_mean_gy) == (result.lung_dose_gy, result.lung_shunt_dose_gy)
    reached = next(one for one in result.objectives if one.voi == "lungs")
    assert reached.value_gy == pytest.approx(result.lung_dose_gy, rel=1e-5)
    inputs, config = pipeline_inputs(patient(folder), products)
    assert float(pipeline.run(inputs, config).lung_dose_gy) == pytest.approx(result.lung_dose_gy, rel=1e-4)


@pytest.mark.slow
def test_it_limits_the_activity(folder):
    """With a limit that only the lungs set, the bound is that of both parts."""
    limit = {"voi": "lungs", "direction": "at most", "dose_gy": 3.0, "source": "the test"}
    chosen = {"strategy": "upper", "objectives": [limit]}
    result, _, _ = plan_case(patient(folder, injections=[{"territory": "right"}], prescription=chosen))
    bound = min((one for one in result.injections[0].bounds if "lungs" in one.name), key=lambda one: one.activity_mbq)
    both = K * LSF / LUNG_G + spill_by_hand_gy({"right": 1.0, "left": 0.0})
    assert bound.activity_mbq == pytest.approx(3.0 / both, rel=0.03)


@pytest.mark.slow
def test_a_verification_has_them_too(folder):
    result, _, _ = verify_case(patient(folder))
    assert result.lung_spill_dose_gy == pytest.approx(spill_by_hand_gy({"right": 400.0, "left": 250.0}), rel=0.06)


@pytest.mark.slow
def test_without_a_lung_mask_the_report_states_that_it_is_missing(folder):
    result, _, _ = plan_case(patient(folder, lungs=False))
    assert result.lung_spill_dose_gy is None
    assert result.lung_dose_gy == result.lung_shunt_dose_gy
    assert json.loads(json.dumps(result_to_json(result)))["lung_spill_dose_gy"] is None
    stated = {entry.name: entry.value for entry in result.methods}
    assert stated["lung dose of betas from the liver"] == "not included: there is no lung mask"
