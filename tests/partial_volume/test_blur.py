import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from sirtjax.errors import InputError
from sirtjax.partial_volume import gaussian_blur

SPACING_MM, FWHM_MM = (3.0, 4.0, 5.0), (9.0, 8.0, 12.0)


@pytest.mark.parametrize("shape", [(16, 13, 11), (5, 20, 1)])
def test_equals_scipy(shape):
    image = np.random.default_rng(0).random(shape).astype("f4")
    expected = reference.blur(image, SPACING_MM, FWHM_MM)
    np.testing.assert_allclose(gaussian_blur(image, SPACING_MM, FWHM_MM), expected, atol=2e-6)
    np.testing.assert_allclose(gaussian_blur(image, SPACING_MM, 7.0), reference.blur(image, SPACING_MM, 7.0), atol=2e-6)


def test_total_constants_and_transpose():
    first, second = np.random.default_rng(0).random((2, 9, 8, 7)).astype("f4")
    blurred = gaussian_blur(first, SPACING_MM, FWHM_MM)
    assert float(blurred.sum()) == pytest.approx(float(first.sum()), rel=1e-6)
    np.testing.assert_allclose(gaussian_blur(np.ones_like(first), SPACING_MM, FWHM_MM), 1.0, rtol=1e-6)
    other = gaussian_blur(second, SPACING_MM, FWHM_MM)
    assert float(jnp.vdot(blurred, second)) == pytest.approx(float(jnp.vdot(first, other)), rel=1e-6)


def test_a_blurred_occupancy_is_the_mean_over_voxels_of_the_blurred_sphere():
    fine, fine_mm = reference.fine_sphere((20, 16, 14), SPACING_MM, (6, 8, 10), radius_mm=10.0, offset_mm=(1, 0.5, 2))
    expected = reference.voxel_means(reference.blur(fine, fine_mm, FWHM_MM), (6, 8, 10))
    found = gaussian_blur(reference.voxel_means(fine, (6, 8, 10)), SPACING_MM, FWHM_MM)
    # Voxels of half the FWHM sample the edge of the sphere too coarsely for a smaller error.
    np.testing.assert_allclose(found, expected, atol=6e-3)


@pytest.mark.slow
def test_jit_vmap_and_gradient_by_fwhm():
    images = np.random.default_rng(0).random((2, 9, 8, 7)).astype("f4")
    eager = gaussian_blur(images[1], SPACING_MM, 8.0)
    batched = jax.jit(jax.vmap(gaussian_blur, in_axes=(0, None, 0)))(images, np.array(SPACING_MM), np.array([6.0, 8.0]))
    np.testing.assert_allclose(batched[1], eager, rtol=1e-5)
    weight = images[1] ** 2
    gradient = jax.grad(lambda f: jnp.sum(weight * gaussian_blur(images[0], SPACING_MM, f)))(8.0)
    above, below = (float((weight * reference.blur(images[0], SPACING_MM, 8 + d)).sum()) for d in (1e-3, -1e-3))
    assert float(gradient) == pytest.approx((above - below) / 2e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("image", "spacing_mm", "fwhm_mm", "message"),
    [
        (np.ones((4, 4)), SPACING_MM, 6.0, r"image: expected 3 axes, got shape \(4, 4\)"),
        (np.full((2, 2, 2), np.nan), SPACING_MM, 6.0, "image: 8 of 8 voxels are NaN or infinite; replace them"),
        (np.ones((4, 4, 4)), (3.0, 4.0), 6.0, r"spacing_mm: expected 3 numbers, got shape \(2,\)"),
        (np.ones((4, 4, 4)), (3.0, 0.0, 4.0), 6.0, "spacing_mm: expected positive, finite numbers"),
        (np.ones((4, 4, 4)), SPACING_MM, -6.0, "fwhm_mm: expected positive, finite numbers, got -6.0"),
        (np.ones((4, 4, 4)), SPACING_MM, (6.0, np.nan, 6.0), "fwhm_mm: expected positive, finite numbers"),
        (np.ones((4, 4, 4)), SPACING_MM, (6.0, 6.0), r"fwhm_mm: expected one number or 3, got shape \(2,\)"),
    ],
)
def test_wrong_inputs(image, spacing_mm, fwhm_mm, message):
    with pytest.raises(InputError, match=message):
        gaussian_blur(image, spacing_mm, fwhm_mm)
