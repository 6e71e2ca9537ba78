"""VOIs drawn on a diagnostic image that lies elsewhere, by a movement that is known."""

import analytic_case as case
import numpy as np
import pytest
from diagnostic_case import DIAGNOSTIC, DRAWN_MM, centroid_errors_mm, diagnostic_case, moved_back, write_patient

from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows import plan_case, run_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnostic")
    write_patient(folder)
    return folder


@pytest.mark.slow
def test_a_transform_file_brings_every_voi_home(folder):
    mapped = run_until(diagnostic_case(folder, "file", "moved.tfm"), "resampling").resampling
    assert max(centroid_errors_mm(mapped).values()) < DRAWN_MM
    for lesion in case.LESIONS:
        ml = float(mapped.occupancy[lesion.name].sum()) * mapped.geometry.voxel_volume_ml
        assert ml == pytest.approx(mapped.mask_ml[lesion.name], rel=0.01)
    right = mapped.occupancy["right"].sum() / mapped.occupancy["liver"].sum()
    assert right == pytest.approx(case.TERRITORY_ML["right"] / case.ball_ml(case.LIVER_MM), abs=0.01)


@pytest.mark.slow
def test_the_other_direction_would_be_seen(folder):
    mapped = run_until(diagnostic_case(folder, "file", "back.tfm"), "resampling").resampling
    errors = centroid_errors_mm(mapped)
    assert min(errors.values()) > 20


@pytest.mark.slow
def test_the_plan_through_a_transform_is_that_of_masks_in_place(folder, planned):
    result, _, _ = plan_case(diagnostic_case(folder, "file", "moved.tfm"))
    near, _ = planned()
    for name in ("normal liver", "alpha", "beta"):
        assert result.voi(name).mean_gy == pytest.approx(near.voi(name).mean_gy, rel=0.03)
    assert "SJ106" not in [check.code for check in result.checks]
    assert result.provenance["registration"] == "transform file moved.tfm"


@pytest.mark.slow
def test_identity_is_used_as_asked_and_checked(folder):
    result, _, products = plan_case(diagnostic_case(folder, "identity"))
    found = {check.code: check for check in result.checks}
    assert found["SJ106"].severity == "warning" and "liver" in found["SJ106"].where
    assert min(centroid_errors_mm(products.resampling).values()) > 10


def test_territories_on_the_activity_side_of_a_liver_on_the_diagnostic_side(folder):
    table = {"path": "territories.nii", "image": "activity", "labels": {"1": "right", "2": "left"}}
    mapped = run_until(diagnostic_case(folder, "file", "moved.tfm", territories=table), "resampling").resampling
    right = mapped.occupancy["right"].sum() / mapped.occupancy["liver"].sum()
    assert right == pytest.approx(case.TERRITORY_ML["right"] / case.ball_ml(case.LIVER_MM), abs=0.015)


def test_lines_must_be_on_the_image_of_the_liver(folder):
    (folder / "lines.json").write_text("{}")
    table = {"image": "activity", "dividing_lines": ["lines.json"], "names": ["right", "left"]}
    with pytest.raises(ValueError, match=r"the dividing lines are on the activity image, the liver on the diagnostic"):
        run_until(diagnostic_case(folder, "identity", territories=table), "territories")


def test_masks_on_the_diagnostic_image_without_it_are_refused(folder):
    with pytest.raises(ConfigError, match=r"masks\.liver is on the diagnostic image, but there is no"):
        diagnostic_case(folder, "identity", images={"activity": {"path": "spect.nii"}})


def test_a_mask_on_its_own_grid_is_carried_with_its_image(folder, tmp_path):
    """A label map cropped to the liver, on another grid than the image it was drawn on."""
    liver, _, _ = case.labels_at(moved_back(DIAGNOSTIC))
    start = np.array([8, 6, 4])
    cropped = liver[8:, 6:, 4:]
    affine = DIAGNOSTIC.affine
    affine[:3, 3] = DIAGNOSTIC.to_world(start)
    smaller = Geometry.from_affine(cropped.shape, affine)
    write_nifti(folder / "cropped.nii", LabelMap.from_mask(cropped, smaller, name="liver"), force=True)
    whole = diagnostic_case(folder, "file", "moved.tfm")
    masks = whole.masks.model_copy(
        update={"liver": whole.masks.liver.model_copy(update={"path": folder / "cropped.nii"})}
    )
    part = run_until(whole.model_copy(update={"masks": masks}), "resampling").resampling
    assert np.abs(part.occupancy["liver"] - run_until(whole, "resampling").resampling.occupancy["liver"]).max() < 0.02
