import jax
import numpy as np
import pytest
import reference
from scipy import ndimage, optimize

from sirtjax.errors import InputError
from sirtjax.partial_volume import resolution_fwhm

SPACING_MM, SHAPE = (3.0, 4.0, 4.0), (24, 18, 18)
FOUND = jax.jit(lambda image, mask: resolution_fwhm(image, mask, SPACING_MM, noise_fwhm_mm=6.0))
WHITE = jax.jit(lambda image, mask: resolution_fwhm(image, mask, SPACING_MM))


@pytest.fixture(scope="module")
def sphere():
    """Occupancy of a sphere of 14 mm off the centre of the grid, and its image of 9 mm FWHM from a finer grid."""
    fine, fine_mm = reference.fine_sphere(SHAPE, SPACING_MM, (3, 4, 4), radius_mm=14.0, offset_mm=(1, 2, -1))
    image = reference.voxel_means(reference.blur(1 + 3 * fine, fine_mm, 9.0), (3, 4, 4))
    return reference.voxel_means(fine, (3, 4, 4)).astype("f4"), image


def noise(seed, fwhm_mm):
    white = np.random.default_rng(seed).normal(size=SHAPE)
    sigma = fwhm_mm * reference.SIGMA_PER_FWHM / np.asarray(SPACING_MM)
    filtered = ndimage.gaussian_filter(white, sigma, mode="wrap") if fwhm_mm else white
    return filtered / filtered.std()


@pytest.mark.slow
def test_a_sphere_of_a_finer_grid(sphere):
    mask, image = sphere
    found = WHITE(image.astype("f4"), mask)
    assert float(found.fwhm_mm) == pytest.approx(9.0, abs=0.15)
    assert float(found.foreground) == pytest.approx(4.0, rel=0.01)
    assert float(found.background) == pytest.approx(1.0, rel=0.01)


@pytest.mark.slow
def test_the_least_squares_fit_of_scipy_agrees(sphere):
    mask, image = sphere
    noisy = image + 0.3 * noise(0, 0.0)
    used = reference.blur(mask, SPACING_MM, 20 / 3 / reference.SIGMA_PER_FWHM) > 0.00135

    def residuals(p):
        return (p[1] + (p[0] - p[1]) * reference.blur(mask, SPACING_MM, p[2]) - noisy)[used]

    fit = optimize.least_squares(residuals, [3.0, 1.0, 7.0])
    covariance = np.linalg.inv(fit.jac.T @ fit.jac) * 2 * fit.cost / (used.sum() - 3)
    found = WHITE(noisy.astype("f4"), mask)
    assert float(found.fwhm_mm) == pytest.approx(fit.x[2], abs=2e-3)
    assert float(found.standard_error_mm) == pytest.approx(np.sqrt(covariance[2, 2]), rel=0.01)
    assert float(found.foreground) == pytest.approx(fit.x[0], rel=1e-3)
    assert float(found.residual_sd) == pytest.approx(np.sqrt(2 * fit.cost / (used.sum() - 3)), rel=0.01)


@pytest.mark.parametrize(("estimate", "fwhm_mm"), [(WHITE, 0.0), (FOUND, 6.0)])
@pytest.mark.slow
def test_the_standard_error_covers_the_scatter(sphere, estimate, fwhm_mm):
    mask, image = sphere
    found = [estimate((image + 0.3 * noise(s, fwhm_mm)).astype("f4"), mask) for s in range(24)]
    scatter = np.std([float(f.fwhm_mm) for f in found], ddof=1)
    stated = np.mean([float(f.standard_error_mm) for f in found])
    assert 0.65 < stated / scatter < 1.5
    assert abs(np.mean([float(f.fwhm_mm) for f in found]) - 9.0) < 0.15 + 3 * scatter / np.sqrt(24)


def test_flat_images_have_an_infinite_standard_error(sphere):
    mask, _ = sphere
    assert np.isinf(float(WHITE(np.full(SHAPE, 3.0, "f4"), mask).standard_error_mm))
    for seed in range(4):
        flat = (1 + 0.3 * noise(seed, 0.0)).astype("f4")
        assert np.isinf(float(WHITE(flat, mask).standard_error_mm))


@pytest.mark.slow
def test_a_resolution_outside_the_search_has_an_infinite_standard_error(sphere):
    mask, image = sphere
    narrow = jax.jit(lambda y, m: resolution_fwhm(y, m, SPACING_MM, min_fwhm_mm=2.0, max_fwhm_mm=7.0))
    found = narrow(image.astype("f4"), mask)
    assert np.isinf(float(found.standard_error_mm)) and float(found.fwhm_mm) == pytest.approx(7.0, rel=1e-4)


@pytest.mark.slow
def test_weights_exclude_another_lesion(sphere):
    mask, image = sphere
    disturbed = image.copy()
    disturbed[:5] += 5.0
    weights = np.ones(SHAPE, "f4")
    weights[:5] = 0.0
    found = jax.jit(lambda y, w: resolution_fwhm(y, mask, SPACING_MM, weights=w))(disturbed.astype("f4"), weights)
    assert float(found.fwhm_mm) == pytest.approx(9.0, abs=0.15)
    assert abs(float(WHITE(disturbed.astype("f4"), mask).fwhm_mm) - 9.0) > 0.5


@pytest.mark.slow
def test_gradients_and_batches(sphere):
    mask, image = sphere
    noisy = (image + 0.1 * noise(0, 0.0)).astype("f4")
    direction = reference.blur(noise(5, 6.0), SPACING_MM, 6.0)
    with jax.enable_x64(True):
        wide = jax.jit(lambda y, m: resolution_fwhm(y, m, SPACING_MM).fwhm_mm)
        y, m = noisy.astype(float), mask.astype(float)
        by_image, by_mask = jax.jit(jax.grad(lambda y, m: resolution_fwhm(y, m, SPACING_MM).fwhm_mm, (0, 1)))(y, m)
        step = float(wide(y + 1e-3 * direction, m) - wide(y - 1e-3 * direction, m)) / 2e-3
        assert float((by_image * direction).sum()) == pytest.approx(step, rel=1e-3)
        # The contrast absorbs a factor of the mask.
        assert abs(float((by_mask * m).sum())) < 1e-9
        moved = np.roll(m, 1, axis=0)
        slide = float(wide(y, m + 1e-4 * (moved - m)) - wide(y, m - 1e-4 * (moved - m))) / 2e-4
        assert float((by_mask * (moved - m)).sum()) == pytest.approx(slide, rel=1e-3)
    batch = jax.vmap(WHITE, in_axes=(0, None))(np.stack([noisy, noisy * 2]), mask)
    np.testing.assert_allclose(batch.fwhm_mm, float(WHITE(noisy, mask).fwhm_mm), rtol=1e-4)


def test_wrong_inputs(sphere):
    mask, image = sphere
    with pytest.raises(InputError, match=r"masks\[0\]: empty"):
        resolution_fwhm(image, 0 * mask, SPACING_MM)
    with pytest.raises(InputError, match="image: 7776 of 7776 voxels are NaN"):
        resolution_fwhm(np.full(SHAPE, np.nan), mask, SPACING_MM)
    with pytest.raises(InputError, match="differs from that of the image"):
        resolution_fwhm(image[1:], mask, SPACING_MM)
    with pytest.raises(InputError, match=r"expected a rising range above 0, got \(-1.0, 30.0\)"):
        resolution_fwhm(image, mask, SPACING_MM, min_fwhm_mm=-1.0)
    with pytest.raises(InputError, match="noise_fwhm_mm: expected a number of at least 0, got -1"):
        resolution_fwhm(image, mask, SPACING_MM, noise_fwhm_mm=-1.0)
    with pytest.raises(InputError, match="margin_mm: expected positive"):
        resolution_fwhm(image, mask, SPACING_MM, margin_mm=0.0)
