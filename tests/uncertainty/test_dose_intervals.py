"""The parts of the simulated measurement against NumPy, SciPy and closed forms; the intervals of one phantom."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import partial_volume, uncertainty
from sirtjax.errors import InputError
from sirtjax.uncertainty._estimate import deposited_dose_gy, dose_metrics, recovered_concentration, regions_of

SHAPE, SPACING_MM, FWHM_MM = (30, 28, 26), np.array([4.0, 4.0, 4.0], np.float32), np.float32(12.0)
RADII_MM = (10.0, 9.0, 42.0)
CENTRES_MM = ((20.0, 0.0, 0.0), (-14.0, 8.0, 10.0), (0.0, 0.0, 0.0))


def distances():
    axes = np.meshgrid(*(4.0 * (np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij")
    away = [np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))) for centre in CENTRES_MM]
    return np.stack([d - r for d, r in zip(away, RADII_MM, strict=True)]).astype(np.float32)


DISTANCE_MM = distances()
REGIONS = np.asarray(regions_of(DISTANCE_MM, SPACING_MM))
TRUTH = np.tensordot(np.array([5.0, 3.0, 1.0, 0.0], np.float32), REGIONS, axes=1)
LOCAL = np.ones((1, 1, 1), np.float32)
DATA = uncertainty.TreatmentData(
    spacing_mm=SPACING_MM,
    fwhm_mm=FWHM_MM,
    injected_mbq=np.float32(1000.0),
    gy_ml_per_mbq=np.float32(49.67 / 1.05),
    lung_gy_per_mbq=np.float32(0.0497),
    octant=LOCAL,
    near=uncertainty.near_voxels(DISTANCE_MM[:-1], capacity=2048),
)
SIZES = {
    "shift_mm": (np.zeros(3), 0.7, "normal"),
    "boundary_mm": (np.zeros((3, 6, 6, 6)), 1.5, "normal"),
    "resolution": (1.0, 0.1, "lognormal"),
    "calibration": (1.0, 0.05, "lognormal"),
    "shunt": (1.0, 0.1, "lognormal"),
    "density": (1.0, 0.0, "lognormal"),
    "noise": (np.zeros(SHAPE), 1.0, "normal"),
}


def sources(**sizes):
    found = []
    for name, (centre, size, kind) in SIZES.items():
        found.append(
            uncertainty.Source(
                name=name,
                centre=centre,
                size=sizes.get(name, size),
                origin="test",
                evidence="assumed",
                distribution=kind,
            )
        )
    return found


def errors(**changes):
    values = {name: np.float32(centre) for name, (centre, _, _) in SIZES.items()}
    return values | {name: np.float32(value) for name, value in changes.items()}


def known(**changes):
    found = uncertainty.KnownTreatment(
        concentration=TRUTH,
        distance_mm=DISTANCE_MM,
        lung_shunt_fraction=np.float32(0.05),
        noise_fwhm_mm=np.float32(8.0),
        noise_fraction=np.float32(0.1),
        data=DATA,
    )
    return replace(found, **changes)


def test_regions_have_the_volumes_of_the_spheres():
    np.testing.assert_allclose(REGIONS.sum(axis=0), 1.0, atol=1e-6)
    volumes = REGIONS.sum(axis=(1, 2, 3)) * 0.064
    spheres = 4 / 3 * np.pi * np.array(RADII_MM) ** 3 / 1000
    assert volumes[2] == pytest.approx(spheres[2] - spheres[:2].sum(), rel=0.01)
    # The position within a voxel changes the volume by 1 %, and its mean is right.
    rng, found = np.random.default_rng(8), []
    for centre in rng.uniform(-2.0, 2.0, (20, 3)):
        axes = np.meshgrid(*(4.0 * (np.arange(14) - 6.5),) * 3, indexing="ij")
        ball = np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))) - 8.0
        both = np.stack([ball, np.full_like(ball, -50.0)]).astype(np.float32)
        found.append(float(regions_of(both, SPACING_MM)[0].sum()) * 0.064)
    assert np.mean(found) == pytest.approx(4 / 3 * np.pi * 0.512, rel=0.006)


def test_the_correction_is_that_of_the_partial_volume_subpackage():
    image = np.asarray(partial_volume.gaussian_blur(TRUTH, SPACING_MM, FWHM_MM))
    found = recovered_concentration(image, REGIONS, DATA)
    masks = REGIONS / REGIONS.sum(axis=0)
    expected = partial_volume.region_based_voxelwise(image, masks, SPACING_MM, FWHM_MM)
    inside = REGIONS[-1] < 0.5
    np.testing.assert_allclose(np.asarray(found)[inside], np.asarray(expected)[inside], rtol=2e-3, atol=2e-3)


def test_local_dose_by_hand():
    dose = np.asarray(deposited_dose_gy(TRUTH, 1.0 - REGIONS[-1], 0.05, DATA))
    inside = TRUTH * (1.0 - REGIONS[-1])
    mbq = inside / inside.sum() * 950.0
    np.testing.assert_allclose(dose, mbq / 0.064 * 49.67 / 1.05, rtol=1e-4, atol=1e-3)


def test_d70_against_sorting():
    dose = np.random.default_rng(0).gamma(4.0, 30.0, SHAPE).astype(np.float32)
    found = dose_metrics(dose, REGIONS, 0.05, DATA)
    for index in range(2):
        weight = REGIONS[index].ravel()
        order = np.argsort(-dose.ravel())
        above = np.cumsum(weight[order]) - 0.5 * weight[order]
        used = weight[order] > 0
        expected = np.interp(0.7 * weight.sum(), above[used], dose.ravel()[order][used])
        assert float(found.d70_gy[index]) == pytest.approx(expected, rel=1e-4)
    assert float(found.lung_gy) == pytest.approx(0.0497 * 50.0, rel=1e-5)
    np.testing.assert_allclose(found.mean_gy[0], (dose * REGIONS[0]).sum() / REGIONS[0].sum(), rtol=1e-5)


def test_a_shift_of_the_blur_is_a_shift_of_the_image():
    moved = partial_volume.gaussian_blur(TRUTH, SPACING_MM, FWHM_MM, shift_mm=np.array([6.0, -4.0, 2.0]))
    blurred = ndimage.gaussian_filter(TRUTH, 12.0 / 2.354820045 / 4.0, mode="reflect", truncate=6)
    expected = ndimage.shift(blurred, (1.5, -1.0, 0.5), order=5)
    np.testing.assert_allclose(moved[6:-6, 6:-6, 6:-6], expected[6:-6, 6:-6, 6:-6], atol=0.02)


def test_the_boundary_field_has_one_variance():
    white = np.random.default_rng(1).normal(size=(4000, 3, 3, 3)).astype(np.float32)
    field = np.asarray(uncertainty.boundary_field(white, (9, 8, 7)))
    np.testing.assert_allclose(field.std(axis=0), 1.0, atol=0.06)
    near = np.corrcoef(field[:, 4, 4, 3], field[:, 5, 4, 3])[0, 1]
    far = np.corrcoef(field[:, 0, 0, 0], field[:, 8, 7, 6])[0, 1]
    assert near > 0.7 and abs(far) < 0.06


def test_calibration_and_shunt_act_as_factors():
    found = jax.jit(uncertainty.log_ratios)(errors(calibration=1.1), known())
    plain = jax.jit(uncertainty.log_ratios)(errors(), known())
    np.testing.assert_allclose(found.mean_gy - plain.mean_gy, np.log(1.1), atol=1e-5)
    np.testing.assert_allclose(found.d70_gy - plain.d70_gy, np.log(1.1), atol=1e-5)
    shunted = jax.jit(uncertainty.log_ratios)(errors(shunt=2.0), known())
    np.testing.assert_allclose(shunted.mean_gy - plain.mean_gy, np.log(0.90 / 0.95), atol=1e-4)
    assert float(shunted.lung_gy - plain.lung_gy) == pytest.approx(np.log(2.0), abs=1e-5)


def test_a_measurement_without_errors_finds_the_truth():
    found = uncertainty.log_ratios(errors(), known())
    # Uniform regions: only voxels that two regions share are not recovered exactly.
    np.testing.assert_allclose(found.mean_gy, 0.0, atol=0.05)
    assert float(found.lung_gy) == pytest.approx(0.0, abs=1e-6)


def test_errors_have_the_expected_direction():
    plain = uncertainty.log_ratios(errors(), known())
    wide = uncertainty.log_ratios(errors(resolution=1.2), known())
    assert np.all(wide.mean_gy[:2] < plain.mean_gy[:2] - 0.02)  # more blur than stated: counts stay lost
    moved = uncertainty.log_ratios(errors(shift_mm=np.array([5.0, 0.0, 0.0])), known())
    assert np.all(moved.mean_gy[:2] < plain.mean_gy[:2] - 0.02)
    larger = uncertainty.log_ratios(
        errors(boundary_mm=np.full((3, 6, 6, 6), 2.0) * [[[[1]]], [[[1]]], [[[0]]]]), known()
    )
    assert np.all(larger.d70_gy < plain.d70_gy - 0.05)  # a contour that is too large has cold edges


@pytest.mark.slow
def test_intervals_of_a_phantom():
    rng = np.random.default_rng(3)
    image = np.asarray(partial_volume.gaussian_blur(TRUTH, SPACING_MM, FWHM_MM))
    image = image * (1 + 0.02 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.0)).astype(np.float32)
    given = dict(noise_fwhm_mm=np.float32(8.0), noise_fraction=np.float32(0.1), names=["hot", "warm"])
    found = uncertainty.dose_intervals(
        image, DISTANCE_MM, np.float32(0.05), DATA, sources(), jax.random.key(0), count=64, **given
    )
    truth = dose_metrics(deposited_dose_gy(TRUTH, 1.0 - REGIONS[-1], 0.05, DATA), REGIONS, 0.05, DATA)
    exact = np.concatenate([truth.mean_gy, truth.d70_gy, [truth.lung_gy]])
    assert found.names[:3] == ("hot: mean", "warm: mean", "normal liver: mean") and found.names[-1] == "lungs: mean"
    assert np.all((found.interval.lower < exact) & (exact < found.interval.upper))
    spread = dict(zip(found.names, found.interval.log_standard_deviation, strict=True))
    assert 0.03 < spread["normal liver: mean"] < 0.08 < spread["hot: mean"] < 0.3
    assert spread["lungs: mean"] == pytest.approx(np.hypot(0.05, 0.1), rel=0.3)
    # Without errors of the contour and the registration the interval is narrower.
    better = uncertainty.dose_intervals(
        image,
        DISTANCE_MM,
        np.float32(0.05),
        DATA,
        sources(shift_mm=0.0, boundary_mm=0.0),
        jax.random.key(0),
        count=64,
        **given,
    )
    assert better.interval.log_standard_deviation[0] < 0.75 * spread["hot: mean"]


def test_wrong_inputs():
    given = dict(noise_fwhm_mm=8.0, noise_fraction=0.1, names=["hot", "warm"], count=64)
    call = [TRUTH, DISTANCE_MM, 0.05, DATA]
    with pytest.raises(InputError, match=r"missing \['noise'\], unknown \[\]"):
        uncertainty.dose_intervals(*call, sources()[:-1], jax.random.key(0), **given)
    with pytest.raises(InputError, match="names: expected 2, one per lesion, got 1"):
        uncertainty.dose_intervals(*call, sources(), jax.random.key(0), **(given | {"names": ["hot"]}))


def test_near_voxels_of_a_large_lesion_are_chosen_evenly():
    near = uncertainty.near_voxels(DISTANCE_MM[2:], capacity=1000)
    assert near.shape == (1, 1000) and (near >= 0).all() and len(np.unique(near)) == 1000
    small = uncertainty.near_voxels(DISTANCE_MM[:1], capacity=4096)
    inside = np.flatnonzero(DISTANCE_MM[0].ravel() < 0)
    assert np.isin(inside, small[0]).all() and (small[0] == -1).any()
