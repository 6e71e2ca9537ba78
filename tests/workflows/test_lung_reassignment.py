"""The lung shunt and the dose next to the lung against the activity that made the image, blurred by SciPy."""

import analytic_case as case
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows import load_case, plan_case

FWHM_MM, LUNG_CONCENTRATION = 12.0, 0.015
FINE = case.grid((96, 96, 96), (2.4, 2.4, 2.4), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
SPECT = case.grid((48, 48, 48), (4.8, 4.8, 4.8), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))
GIVEN = {
    "injections": [{"territory": "right", "activity_mbq": 400.0}, {"territory": "left", "activity_mbq": 250.0}],
    "prescription": {"strategy": "fixed"},
}


def true_activity():
    """Liver and lesions of the analytic case under a half-space of lung above the liver's centre plus 10 mm."""
    points = case.points_of(FINE, 1)[..., 0, :]
    liver, labels, _ = case.labels_at(points)
    lung = (points[..., 2] > case.CENTRE_MM[2] + 10.0) & ~liver
    ratios = np.array([1.0, *(lesion.ratio for lesion in case.LESIONS)])
    return liver, lung, ratios[labels] * liver + LUNG_CONCENTRATION * lung


def seen(concentration, *, z_mm=0.0):
    sigma = np.array([FWHM_MM, FWHM_MM, np.hypot(FWHM_MM, z_mm)]) * SIGMA_PER_FWHM / 2.4
    blurred = ndimage.gaussian_filter(concentration, sigma)
    return 1000.0 * blurred.reshape(48, 2, 48, 2, 48, 2).mean(axis=(1, 3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lungs")
    liver, lung, concentration = true_activity()
    case.write_patient(folder, margin_mm=0.0, spect=SPECT, ct=FINE)
    write_nifti(folder / "spect.nii", Volume(seen(concentration), SPECT, unit="counts"), force=True)
    write_nifti(folder / "lungs.nii", LabelMap.from_mask(lung, FINE, name="lungs"))
    hu = np.where(liver, 50, np.where(lung, -740, 0)).astype(np.int16)
    write_nifti(folder / "ct.nii", Volume(hu, FINE, unit="HU"), force=True)
    return folder


def tables(*, lungs="show", **changes):
    masks = case.case_table()["masks"] | {"lungs": {"path": "lungs.nii", "image": "activity"}}
    images = {"activity": {"path": "spect.nii", "resolution_fwhm_mm": FWHM_MM}, "ct": {"path": "ct.nii"}}
    made = {"masks": masks, "images": images, "lung_shunt": {"method": "spect"}, "partial_volume": {"lungs": lungs}}
    return GIVEN | made | changes


def true_shunt():
    liver, lung, concentration = true_activity()
    return concentration[lung].sum() / (concentration[lung].sum() + concentration[liver].sum())


def planned(folder, **changes):
    return plan_case(load_case(case.write_case(folder, **tables(**changes))))[0]


@pytest.mark.slow
def test_the_shunt_without_the_blur_of_the_liver(folder):
    shown, applied, off = (planned(folder, lungs=choice) for choice in ("show", "apply", "off"))
    found = shown.lung_reassignment.shunt_fraction
    truth = true_shunt()
    assert found.uncorrected > 1.3 * truth
    assert found.corrected == pytest.approx(truth, rel=0.03)
    assert off.lung_reassignment is None
    # Showing changes nothing else.
    assert off.lung_shunt_fraction == shown.lung_shunt_fraction == pytest.approx(found.uncorrected, rel=1e-3)
    assert [voi.mean_gy for voi in off.vois] == [voi.mean_gy for voi in shown.vois]
    assert {check.code for check in shown.checks} - {check.code for check in off.checks} <= {"SJ567", "SJ568"}
    assert applied.lung_shunt_fraction == pytest.approx(found.corrected)
    assert applied.lung_shunt_dose_gy < 0.8 * off.lung_shunt_dose_gy
    assert {"SJ566", "SJ568"} <= {check.code for check in applied.checks}
    stated = {entry.name: entry for entry in applied.methods}["lung shunt fraction"]
    assert f"Measured without it: {100 * found.uncorrected:.3g} %" in stated.source


@pytest.mark.slow
def test_a_wrong_resolution_shows(folder):
    """An image of 12 mm stated as 5 mm keeps most of the liver's counts in the lung."""
    images = tables()["images"] | {"activity": {"path": "spect.nii", "resolution_fwhm_mm": 5.0}}
    found = planned(folder, images=images).lung_reassignment.shunt_fraction
    assert found.corrected > 1.04 * true_shunt()


@pytest.mark.slow
def test_breathing_widens_the_blur(folder):
    """8.3 mm FWHM from head to feet is a sinusoid of 10 mm, which the case states."""
    _, _, concentration = true_activity()
    moved = seen(concentration, z_mm=10.0 * np.sqrt(np.log(2)))
    write_nifti(folder / "moved.nii", Volume(moved, SPECT, unit="counts"), force=True)
    images = tables()["images"] | {"activity": {"path": "moved.nii", "resolution_fwhm_mm": FWHM_MM}}
    without = planned(folder, images=images)
    stated = planned(folder, images=images, partial_volume={"lungs": "show", "breathing_mm": 10.0})
    assert stated.lung_reassignment.shunt_fraction.corrected == pytest.approx(true_shunt(), rel=0.04)
    assert "SJ568" in {check.code for check in without.checks}
    assert "SJ568" not in {check.code for check in stated.checks}


@pytest.mark.slow
def test_the_dose_next_to_the_lung_by_rays(folder):
    """Against the rays through the true activity; the image as it is gives far too much."""
    result = planned(folder, dose={"method": "cone", "spacing_mm": 3.0})
    dose = result.lung_reassignment.basal_gy
    liver, lung, concentration = true_activity()
    near = lung & (ndimage.distance_transform_edt(~liver, sampling=2.4) <= 30.0)
    from sirtjax import dosimetry

    shunt = true_shunt()
    mbq = np.zeros(liver.shape)
    right = case.points_of(FINE, 1)[..., 0, 0] < case.CENTRE_MM[0] + case.PLANE_MM
    for side, injected in ((right, 400.0), (~right, 250.0)):
        inside = concentration * (liver & side)
        mbq += injected * (1 - shunt) * inside / inside.sum()
    mbq += 650.0 * shunt * lung / lung.sum()
    density = np.where(lung, 0.26, 1.05)
    gy = dosimetry.absorbed_dose_gy(
        mbq,
        density,
        (2.4, 2.4, 2.4),
        nuclide=dosimetry.get_nuclide("y90-icrp107"),
        method="cone",
        lung=lung.astype(np.float32),
        medium_density_g_per_ml=1.05,
    )
    truth = float(gy[near].mean())
    assert dose.uncorrected > 1.1 * truth
    assert dose.corrected == pytest.approx(truth, rel=0.06)


def test_wrong_inputs(folder):
    for changes, message in (
        ({"lung_shunt": {"method": "value", "fraction": 0.05}, "lungs": "apply"}, "corrects the lung shunt of"),
        ({"images": {"activity": {"path": "spect.nii"}, "ct": {"path": "ct.nii"}}}, "the resolution of the activity"),
        ({"partial_volume": {"breathing_mm": 10.0}}, "`breathing_mm` is only used with"),
        ({"partial_volume": {"lungs": "always"}}, r"partial_volume\.lungs"),
        ({"partial_volume": {"lungs": "show", "breathing_mm": 60.0}}, r"breathing_mm"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_case(case.write_case(folder, **tables(**changes)))
    without = {"masks": case.case_table()["masks"], "lung_shunt": {"method": "value", "fraction": 0.05}}
    with pytest.raises(ConfigError, match=r'partial_volume\.lungs = "show" requires \[masks\.lungs\]'):
        planned(folder, **without)
