"""Uneven uptake within regions: against dense normal distributions in NumPy, SciPy's transform, and simulations."""

from dataclasses import replace

import ball_treatment
import jax
import numpy as np
import pytest
from scipy import fft, ndimage

from sirtjax import uncertainty

SHAPE, SPACING_MM = (8, 7, 6), np.array([4.0, 5.0, 4.0], np.float32)
SIGMA = 1.0 / 2.354820045
UPTAKE, LENGTH_MM, NOISE, NOISE_MM, FWHM_MM = 0.15, 15.0, 0.12, 8.0, 12.0


DATA = replace(
    ball_treatment.DATA,
    spacing_mm=SPACING_MM,
    fwhm_mm=np.full(3, FWHM_MM, np.float32),
    normal_of=np.zeros(1, np.int32),
)
FAR_MM = np.full((3, *SHAPE), -500.0, np.float32)


def texture(image, spread, regions, noise=NOISE, distance_mm=FAR_MM, uptake=UPTAKE):
    return uncertainty.uptake_texture(
        image,
        spread,
        regions,
        distance_mm,
        DATA,
        uptake_fraction=np.float32(uptake),
        uptake_fwhm_mm=np.float32(LENGTH_MM),
        noise_fraction=np.float32(noise),
        noise_fwhm_mm=np.float32(NOISE_MM),
    )


def whole_liver():
    """Every voxel is normal tissue of one territory."""
    regions = np.zeros((4, *SHAPE), np.float32)
    regions[1] = 1.0
    return regions


def blur_matrix(fwhm_mm):
    """Reflecting Gaussian blur of SciPy as a dense matrix."""
    count = int(np.prod(SHAPE))
    columns = [
        ndimage.gaussian_filter(row.reshape(SHAPE), fwhm_mm * SIGMA / SPACING_MM, mode="reflect", truncate=12).ravel()
        for row in np.eye(count)
    ]
    return np.array(columns).T


def covariance(size, fwhm_mm):
    """Covariance of blurred white noise whose mean variance is `size` squared."""
    blur = blur_matrix(fwhm_mm)
    found = blur @ blur.T
    return size**2 * found / np.mean(np.diag(found))


def test_the_cosine_waves_are_those_of_scipy():
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    waves = np.asarray(uncertainty.cosine_waves(values))
    np.testing.assert_allclose(waves, fft.dctn(values, norm="ortho"), atol=1e-5)
    np.testing.assert_allclose(uncertainty.cosine_waves(waves, inverse=True), values, atol=1e-5)


@pytest.mark.slow
def test_the_expected_uptake_is_that_of_a_normal_distribution():
    """Mean and covariance by dense matrices of SciPy's blur: A = S G' (G S G' + N)^-1."""
    rng = np.random.default_rng(1)
    prior, noise, blur = covariance(UPTAKE, LENGTH_MM), covariance(NOISE, NOISE_MM), blur_matrix(FWHM_MM)
    shown = rng.normal(scale=0.1, size=SHAPE)
    gain = prior @ blur.T @ np.linalg.inv(blur @ prior @ blur.T + noise)
    image = (2.0 * np.exp(shown)).astype(np.float32)
    found = texture(image, np.full(SHAPE, 2.0, np.float32), whole_liver())
    np.testing.assert_allclose(found.shown, shown, atol=1e-5)
    np.testing.assert_allclose(found.mean, (gain @ shown.ravel()).reshape(SHAPE), atol=4e-4)
    rest = prior - gain @ blur @ prior
    normal = rng.normal(size=(4000, *SHAPE)).astype(np.float32)
    sampled = jax.vmap(lambda z: uncertainty.sampled_uptake(image, found, z))(normal)
    logs = np.log(np.asarray(sampled) / 2.0).reshape(len(normal), -1)
    np.testing.assert_allclose(logs.mean(axis=0), gain @ shown.ravel(), atol=5 * np.sqrt(np.diag(rest).max() / 4000))
    np.testing.assert_allclose(np.cov(logs.T), rest, atol=0.1 * np.diag(rest).max())


def test_noise_hides_the_uptake():
    rng = np.random.default_rng(2)
    image = np.exp(rng.normal(scale=0.1, size=SHAPE)).astype(np.float32)
    flat = np.ones(SHAPE, np.float32)
    clear, hidden = texture(image, flat, whole_liver(), 0.01), texture(image, flat, whole_liver(), 10.0)
    assert np.std(hidden.mean) < 0.01 * np.std(clear.mean)
    # Nothing is known: the rest is the whole uptake, whose variance is the mean over the waves.
    assert np.mean(np.asarray(hidden.deviation[0]) ** 2) == pytest.approx(UPTAKE**2, rel=1e-3)
    assert np.mean(np.asarray(clear.deviation[0]) ** 2) < 0.6 * UPTAKE**2


def test_a_stated_size_of_0_is_even_uptake_whatever_the_image_shows():
    rng = np.random.default_rng(5)
    regions = np.zeros((4, *SHAPE), np.float32)
    regions[0, :3], regions[1, 3:6], regions[3, 6:] = 1.0, 1.0, 1.0
    spread = (np.array([8.0, 1.0, 0.0, 0.1], np.float32) @ regions.reshape(4, -1)).reshape(SHAPE)
    image = spread * np.exp(rng.normal(scale=0.2, size=SHAPE)).astype(np.float32)
    found = texture(image, spread, regions, uptake=0.0)
    sample = np.asarray(uncertainty.sampled_uptake(image, found, rng.normal(size=SHAPE).astype(np.float32)))
    np.testing.assert_allclose(sample[:3], 8.0, rtol=1e-5)
    np.testing.assert_allclose(sample[3:6], 1.0, rtol=1e-5)


def test_lesions_have_less_noise_and_the_surroundings_no_uptake():
    regions = np.zeros((4, *SHAPE), np.float32)
    regions[0, :3], regions[1, 3:6], regions[3, 6:] = 1.0, 1.0, 1.0
    spread = np.array([8.0, 1.0, 0.0, 0.1], np.float32) @ regions.reshape(4, -1)
    spread = spread.reshape(SHAPE)
    found = texture(spread * np.float32(1.2), spread, regions)
    np.testing.assert_allclose(np.asarray(found.shown)[:6], np.log(1.2), atol=1e-5)
    assert np.all(np.asarray(found.shown)[6:] == 0.0)
    tissue, lesion, _ = np.asarray(found.deviation)
    assert np.all(lesion <= tissue + 1e-7) and np.sum(lesion**2) < 0.8 * np.sum(tissue**2)
    normal = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    sample = np.asarray(uncertainty.sampled_uptake(spread, found, normal))
    np.testing.assert_array_equal(sample[6:], spread[6:])
    assert np.std(np.log(sample[:6] / spread[:6])) > 0.03


def test_the_image_shows_no_uptake_at_a_surface():
    rng = np.random.default_rng(4)
    image = np.exp(rng.normal(scale=0.1, size=SHAPE)).astype(np.float32)
    distance_mm = FAR_MM.copy()
    distance_mm[0] = 4.0 * (np.arange(SHAPE[0]) - 1.0)[:, None, None]
    found = texture(image, np.ones(SHAPE, np.float32), whole_liver(), distance_mm=distance_mm)
    inside = texture(image, np.ones(SHAPE, np.float32), whole_liver())
    assert np.all(found.mean[1] == 0.0) and np.std(found.mean[-1]) > 0.5 * np.std(inside.mean[-1])
    sigma_mm = FWHM_MM * SIGMA
    np.testing.assert_allclose(found.at_surface[3], np.exp(-0.5 * (8.0 / sigma_mm) ** 2), rtol=1e-4)
    assert np.mean(np.asarray(found.deviation[2]) ** 2) == pytest.approx(UPTAKE**2, rel=1e-3)


def test_a_misplaced_contour_is_not_uptake_without_limit():
    image = np.ones(SHAPE, np.float32)
    image[4] = 1e-6
    found = texture(image, np.ones(SHAPE, np.float32), whole_liver())
    assert np.min(found.shown) == pytest.approx(-np.log(4.0), rel=1e-5)
