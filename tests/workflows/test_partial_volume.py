"""Doses after partial-volume correction against the activity that made the image, blurred by SciPy."""

from datetime import datetime

import analytic_case as case
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.dosimetry import get_nuclide
from sirtjax.errors import ConfigError
from sirtjax.io import write_nifti
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import load_case, plan_case, verify_case
from sirtjax.workflows._partial_volume_regions import width_on_grid_mm

FWHM_MM, LSF, DENSITY = 10.0, 0.05, 1.05
SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))
K = get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
METHODS = ["recovery", "gtm", "rbv", "richardson-lucy"]
SPECT = case.grid((40, 36, 34), (4.4, 4.8, 5.3), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
FINE = case.grid((80, 72, 68), (2.2, 2.4, 2.65), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
IMAGES = {"activity": {"path": "spect.nii", "resolution_fwhm_mm": FWHM_MM}, "ct": {"path": "ct.nii"}}
TIME = datetime(2026, 3, 2, 10, 30)


def blurred():
    """The image of the patient's activity: concentration 1 in normal tissue, T/N 4 and 6 in the lesions."""
    sigma = FWHM_MM * SIGMA_PER_FWHM / np.asarray(FINE.spacing_mm)
    fine = ndimage.gaussian_filter(case.concentration(FINE, 0.0), sigma)
    i, j, k = SPECT.shape
    return fine.reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("partial-volume")
    case.write_patient(folder, margin_mm=0.0)
    write_nifti(folder / "spect.nii", Volume(1000.0 * blurred(), SPECT, unit="counts"), force=True)
    return folder


@pytest.fixture(scope="module")
def planned(folder):
    tables = {"images": IMAGES, "partial_volume": {"methods": METHODS}}
    return plan_case(load_case(case.write_case(folder, **tables)))[0]


def true_gy(result):
    """The dose of each lesion and of normal tissue: K times activity over mass, by hand."""
    found = {}
    for injection in result.injections:
        part = case.partition(0.0)[injection.territory]
        gy_per_ml = K * injection.activity_mbq * (1 - LSF) / DENSITY
        found[f"normal {injection.territory}"] = gy_per_ml * part["normal"] / part["normal_ml"]
        for lesion in case.LESIONS:
            if lesion.territory == injection.territory:
                found[lesion.name] = gy_per_ml * part["lesions"][lesion.name] / lesion.volume_ml()
    return found


@pytest.mark.slow
def test_a_plan_shows_the_corrected_doses(planned):
    found = planned.partial_volume
    truth = true_gy(planned)
    rows = {row.name: row for row in found.rows}
    assert (found.fwhm_mm, list(found.methods), set(rows)) == (FWHM_MM, METHODS, set(truth))
    assert rows["alpha"].mean_gy < 0.8 * truth["alpha"] and rows["beta"].mean_gy < 0.7 * truth["beta"]
    for name, expected in truth.items():
        doses = rows[name].corrected
        assert doses["gtm"].mean_gy == pytest.approx(expected, rel=0.05), name
        assert doses["rbv"].mean_gy == pytest.approx(expected, rel=0.08), name
        assert doses["recovery"].mean_gy == pytest.approx(expected, rel=0.12), name
    for name in ("alpha", "beta"):
        doses = rows[name].corrected
        assert rows[name].mean_gy < doses["richardson-lucy"].mean_gy < doses["gtm"].mean_gy
        assert doses["rbv"].d70_gy < doses["rbv"].mean_gy
        # Betas leave a sphere of 13 mm; those of 9.5 mm more.
        assert 0.75 < doses["rbv"].kernel_mean_gy / doses["rbv"].mean_gy < 0.97
        assert doses["gtm"].d70_gy is None and not rows[name].below_resolution
    assert 0 < found.iterations <= 30


@pytest.mark.slow
def test_nothing_else_changes(folder, planned):
    plain = plan_case(load_case(case.write_case(folder, images=IMAGES)))[0]
    assert plain.partial_volume is None
    assert [one.activity_mbq for one in plain.injections] == [one.activity_mbq for one in planned.injections]
    assert [voi.mean_gy for voi in plain.vois] == [voi.mean_gy for voi in planned.vois]
    assert [check.code for check in plain.checks] == [check.code for check in planned.checks]


@pytest.mark.slow
def test_a_verification_with_absolute_calibration(folder):
    mbq_per_ml = 2.0
    image = Volume(1e6 * mbq_per_ml * blurred(), SPECT, unit="Bq/mL")
    write_nifti(folder / "pet.nii", image, force=True)
    tables = {
        "images": IMAGES | {"activity": IMAGES["activity"] | {"path": "pet.nii"}},
        "partial_volume": {"methods": ["gtm"]},
        "calibration": {"method": "absolute", "reference_time": TIME},
        "injections": [
            {"territory": name, "activity_mbq": 900.0, "time": TIME, "residual_fraction": 0.0}
            for name in ("right", "left")
        ],
    }
    result = verify_case(load_case(case.write_case(folder, **tables)))[0]
    rows = {row.name: row for row in result.partial_volume.rows}
    for lesion in case.LESIONS:
        expected = K * mbq_per_ml * lesion.ratio / DENSITY
        assert rows[lesion.name].corrected["gtm"].mean_gy == pytest.approx(expected, rel=0.05)
    assert rows["normal right"].corrected["gtm"].mean_gy == pytest.approx(K * mbq_per_ml / DENSITY, rel=0.03)


@pytest.mark.slow
def test_a_wrong_resolution_shows(folder):
    images = IMAGES | {"activity": IMAGES["activity"] | {"resolution_fwhm_mm": 5.0}}
    tables = {"images": images, "partial_volume": {"methods": ["gtm"]}}
    result = plan_case(load_case(case.write_case(folder, **tables)))[0]
    rows = {row.name: row for row in result.partial_volume.rows}
    assert rows["beta"].corrected["gtm"].mean_gy < 0.9 * true_gy(result)["beta"]


@pytest.mark.slow
def test_a_misplaced_image_is_found_and_moved_only_on_request(folder):
    wrong = np.array([4.0, -3.0, 5.0])
    affine = SPECT.affine.copy()
    affine[:3, 3] += wrong
    moved = Geometry.from_affine(SPECT.shape, affine)
    write_nifti(folder / "moved.nii", Volume(1000.0 * blurred(), moved, unit="counts"), force=True)
    activity = IMAGES["activity"] | {"path": "moved.nii"}
    tables = {"images": IMAGES | {"activity": activity}, "partial_volume": {"propose_shift": True}}
    found = plan_case(load_case(case.write_case(folder, **tables)))[0].partial_volume
    assert found.methods == () and found.rows == ()
    proposed = found.alignment
    np.testing.assert_allclose(proposed.shift_mm, -wrong, atol=0.7)
    assert proposed.significant and proposed.applied_mm is None and proposed.residual_ratio < 0.6
    accepted = activity | {"shift_mm": (-wrong).tolist()}
    tables["images"] = IMAGES | {"activity": accepted}
    result = plan_case(load_case(case.write_case(folder, **tables)))[0]
    after = result.partial_volume.alignment
    assert np.abs(after.shift_mm).max() < 0.7 and after.applied_mm == tuple(-wrong)
    assert any(entry.name == "activity image" for entry in result.methods)
    straight = plan_case(load_case(case.write_case(folder, images=IMAGES)))[0]
    assert result.voi("alpha").mean_gy == pytest.approx(straight.voi("alpha").mean_gy, rel=1e-3)


@pytest.mark.slow
def test_measured_recovery_coefficients_replace_those_of_a_gaussian(folder, planned):
    gaussian = {row.name: row for row in planned.partial_volume.rows}
    volumes = {lesion.name: planned.voi(lesion.name).volume_ml for lesion in case.LESIONS}
    coefficients = {name: gaussian[name].recovery_coefficient for name in volumes}
    small, large = sorted(volumes, key=volumes.get)
    # A curve through the Gaussian's own coefficients gives its doses.
    v, r = [[source[name] for name in (small, large)] for source in (volumes, coefficients)]
    same = {"volume_ml": [0.5 * v[0], *v, 2 * v[1]], "recovery": [r[0], *r, r[1]], "source": "computed"}
    found = planned_with(folder, same)
    for name in (small, large):
        expected = gaussian[name].corrected["recovery"].mean_gy
        assert found[name].corrected["recovery"].mean_gy == pytest.approx(expected, rel=1e-4)
    # With half the coefficient a lesion hotter than its surroundings has a higher dose.
    halved = planned_with(folder, same | {"recovery": [0.5 * value for value in same["recovery"]]})
    assert halved[large].corrected["recovery"].mean_gy > 1.2 * found[large].corrected["recovery"].mean_gy
    # Below the smallest sphere there is no correction, and the other lesion keeps its own.
    outside = planned_with(folder, same | {"volume_ml": [0.9 * v[1], 1.1 * v[1]], "recovery": [r[1], r[1]]})
    assert np.isnan(outside[small].corrected["recovery"].mean_gy) and np.isnan(outside[small].recovery_coefficient)
    assert np.isfinite(outside[large].corrected["recovery"].mean_gy)


def planned_with(folder, curve):
    """The rows of a plan with measured recovery coefficients."""
    tables = {"images": IMAGES, "partial_volume": {"methods": ["recovery"], "recovery_curve": curve}}
    result = plan_case(load_case(case.write_case(folder, **tables)))[0]
    assert result.partial_volume.recovery_source == "computed"
    return {row.name: row for row in result.partial_volume.rows}


def test_wrong_inputs(folder):
    without = {"path": "spect.nii"}
    tables = {"images": IMAGES | {"activity": without}, "partial_volume": {"methods": ["gtm"]}}
    with pytest.raises(ConfigError, match="the resolution of the activity image is not stated"):
        load_case(case.write_case(folder, **tables))
    with pytest.raises(ConfigError, match="each method can be named once"):
        load_case(case.write_case(folder, images=IMAGES, partial_volume={"methods": ["gtm", "gtm"]}))
    far = IMAGES | {"activity": IMAGES["activity"] | {"shift_mm": [0.0, 80.0, 0.0]}}
    with pytest.raises(ConfigError, match=r"images\.activity\.shift_mm"):
        load_case(case.write_case(folder, images=far))
    with pytest.raises(ConfigError, match=r"partial_volume\.methods"):
        load_case(case.write_case(folder, images=IMAGES, partial_volume={"methods": ["guess"]}))


def sampled_variance(voxel_mm, *, copied):
    """Variance of a Gaussian seen in voxels and brought to a fine grid, averaged over its position in a voxel."""
    step, sigma, found = 0.05, FWHM_MM * SIGMA_PER_FWHM, []
    x = (np.arange(-1200, 1200) + 0.5) * step
    per_voxel = round(voxel_mm / step)
    x = x[: len(x) // per_voxel * per_voxel]
    for offset in np.arange(0.0, voxel_mm, voxel_mm / 8):
        seen = np.exp(-0.5 * ((x - offset) / sigma) ** 2).reshape(-1, per_voxel).mean(axis=1)
        centres = x.reshape(-1, per_voxel).mean(axis=1)
        fine = np.repeat(seen, per_voxel) if copied else np.interp(x, centres, seen)
        found.append((fine * (x - offset) ** 2).sum() / fine.sum())
    return np.mean(found)


@pytest.mark.parametrize("copied", [True, False])
def test_the_width_follows_how_the_dose_grid_samples_the_image(copied):
    fine = Geometry.from_axes((8, 8, 8), spacing_mm=(1.0, 1.0, 2.0))
    image = Geometry.from_axes((8, 8, 8), spacing_mm=(4.0, 6.0, 8.0))
    width = width_on_grid_mm(FWHM_MM, image, fine, copied=copied)
    expected = [np.sqrt(sampled_variance(mm, copied=copied)) / SIGMA_PER_FWHM for mm in image.spacing_mm]
    np.testing.assert_allclose(width, expected, rtol=2e-3)
    np.testing.assert_allclose(width_on_grid_mm(FWHM_MM, fine, fine, copied=copied), FWHM_MM)


@pytest.mark.slow
def test_the_default_dose_grid(folder):
    tables = {"images": IMAGES, "partial_volume": {"methods": ["gtm", "rbv"]}, "dose": {}}
    result = plan_case(load_case(case.write_case(folder, **tables)))[0]
    rows = {row.name: row for row in result.partial_volume.rows}
    for name, expected in true_gy(result).items():
        assert rows[name].corrected["gtm"].mean_gy == pytest.approx(expected, rel=0.05), name
        assert rows[name].corrected["rbv"].mean_gy == pytest.approx(expected, rel=0.08), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recovery": [0.5]}, "same number of values"),
        ({"volume_ml": [3.0, 2.0]}, "must increase"),
        ({"recovery": [0.5, 1.3]}, "recovery_curve.recovery"),
        ({"source": ""}, "recovery_curve.source"),
    ],
)
def test_wrong_recovery_curves(folder, change, message):
    curve = {"volume_ml": [1.0, 30.0], "recovery": [0.3, 0.8], "source": "phantom"} | change
    tables = {"images": IMAGES, "partial_volume": {"methods": ["recovery"], "recovery_curve": curve}}
    with pytest.raises(ConfigError, match=message):
        load_case(case.write_case(folder, **tables))


def test_a_recovery_curve_without_its_correction(folder):
    curve = {"volume_ml": [1.0, 30.0], "recovery": [0.3, 0.8], "source": "phantom"}
    tables = {"images": IMAGES, "partial_volume": {"methods": ["gtm"], "recovery_curve": curve}}
    with pytest.raises(ConfigError, match=r'requires methods = \["recovery"\]'):
        load_case(case.write_case(folder, **tables))
