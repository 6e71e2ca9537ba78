"""A digital phantom before and after treatment: simulated, planned and verified with the files that are written."""

import json

import numpy as np
import pytest

from sirtjax import formats, io, spatial
from sirtjax.phantom import simulate_folder
from sirtjax.reports import write_plan
from sirtjax.workflows import load_case

SESSIONS = ("diagnostic_ct", "spect", "y90_pet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders patient, plan and verification; the planned activities are delivered."""
    folder = tmp_path_factory.mktemp("treated")
    simulate_folder(folder / "patient", seed=0, preset="small", sessions=SESSIONS)
    planned = write_plan(load_case(folder / "patient" / "case.toml"), folder / "plan", pdf=False).result
    case = load_case(folder / "patient" / "case-pet.toml")
    rows = [{"territory": row.territory, "activity_mbq": row.activity_mbq} for row in planned.injections]
    case = type(case).model_validate(case.model_dump(by_alias=True) | {"injections": rows})
    write_plan(case, folder / "verification", kind="verify")
    return folder


@pytest.mark.slow
def test_the_case_has_the_activities_of_the_phantom(folder):
    """The true activity in each territory; voxels at its surface are shared with what is outside the mask."""
    truth = json.loads((folder / "patient" / "truth.json").read_text())["y90"]
    activity = io.read_nifti(folder / "patient" / "truth" / "y90_pet_activity.nii.gz").volume
    territories = formats.read_masks(folder / "patient" / "truth" / "y90_pet_territories.nii.gz")
    case = load_case(folder / "patient" / "case-pet.toml")
    assert case.lung_shunt.fraction == pytest.approx(truth["lung_shunt_fraction"], abs=1e-4)
    for row in case.injections:
        inside = spatial.occupancy(territories[row.territory], row.territory, activity.geometry)
        mbq = float(np.vdot(np.asarray(activity.array), np.asarray(inside))) * activity.geometry.voxel_volume_ml
        assert row.activity_mbq == pytest.approx(mbq / (1 - truth["lung_shunt_fraction"]), rel=0.06)


@pytest.mark.slow
def test_the_plan_is_registered_and_compared(folder):
    both = json.loads((folder / "verification" / "results.json").read_text())["before_after"]
    assert both["registration"]["status"] == "success"
    assert both["registration"]["dice"] > 0.95
    assert both["registration"]["dice_unregistered"] < 0.9
    lesions = [row for row in both["vois"] if row["kind"] == "lesion"]
    assert len(lesions) == both["lesions"]["count"] == 3
    assert max(row["centroid_mm"] for row in lesions) < 5
    assert [row["scope"] for row in both["gamma"]] == ["local", "global"]
    assert all(0.5 < row["passed_fraction"] <= 1 for row in both["gamma"])
    assert "Before and after treatment" in (folder / "verification" / "report.html").read_text()
    assert (folder / "verification" / "plan-registration.html").is_file()


@pytest.mark.slow
def test_the_registration_finds_the_true_movement(folder):
    """x of the PET and its point of the SPECT are at one point of the diagnostic CT: both displacements are known."""
    truth = folder / "patient" / "truth"
    pet, spect = (io.read_nifti(truth / f"{name}_liver.nii.gz").volume for name in ("y90_pet", "spect"))
    from_pet = io.read_transform(truth / "y90_pet_displacement.nii.gz", reference=pet.geometry)
    from_spect = io.read_transform(truth / "spect_displacement.nii.gz", reference=spect.geometry)
    found = io.read_transform(folder / "verification" / "plan-transform.h5", reference=pet.geometry)
    points = pet.geometry.to_world(np.argwhere(np.asarray(pet.array) > 0)[::50])
    true = np.asarray(spatial.transform_points(from_pet, points))

    def error_mm(here):
        return float(np.linalg.norm(np.asarray(spatial.transform_points(from_spect, here)) - true, axis=1).mean())

    after = error_mm(np.asarray(spatial.transform_points(found, points)))
    assert error_mm(points) > 5
    assert after < 4
    assert after < 0.4 * error_mm(points)
