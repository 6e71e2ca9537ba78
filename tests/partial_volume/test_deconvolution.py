import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from sirtjax.errors import InputError
from sirtjax.partial_volume import richardson_lucy, richardson_lucy_fixed

SPACING_MM, FWHM_MM = (3.0, 4.0, 5.0), (9.0, 8.0, 12.0)


def test_equals_the_definition(image):
    expected = reference.richardson_lucy(image.astype(float), SPACING_MM, FWHM_MM, 6)
    np.testing.assert_allclose(richardson_lucy_fixed(image, SPACING_MM, FWHM_MM, iterations=6), expected, rtol=1e-4)
    stopped = richardson_lucy(image, SPACING_MM, FWHM_MM, max_iterations=6, relative_change=1e-9)
    np.testing.assert_allclose(stopped.image, expected, rtol=1e-4)
    assert int(stopped.iterations) == 6


def test_it_stops_at_the_relative_change(image):
    found = richardson_lucy(image, SPACING_MM, FWHM_MM, max_iterations=100, relative_change=0.02)
    count = int(found.iterations)
    before, after = (reference.richardson_lucy(image.astype(float), SPACING_MM, FWHM_MM, n) for n in (count - 1, count))
    earlier = reference.richardson_lucy(image.astype(float), SPACING_MM, FWHM_MM, count - 2)
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert 2 < count < 100 and change < 0.02 <= np.linalg.norm(before - earlier) / np.linalg.norm(earlier)
    assert float(found.relative_change) == pytest.approx(change, rel=1e-3)


def test_total_and_sign_with_negative_voxels_and_zeros(image):
    noisy = np.where(np.indices(image.shape)[0] < 5, 0.0, image - 1.5).astype("f4")
    assert noisy.min() < 0
    found = richardson_lucy(noisy, SPACING_MM, FWHM_MM).image
    assert float(found.min()) >= 0
    assert float(found.sum()) == pytest.approx(float(np.maximum(noisy, 0).sum()), rel=1e-5)


def test_an_empty_image_stays_empty():
    found = richardson_lucy(np.zeros((5, 4, 3), "f4"), SPACING_MM, 6.0)
    assert float(jnp.abs(found.image).max()) == 0 and int(found.iterations) == 1


def test_each_image_of_a_batch_stops_separately(image):
    images = np.stack([image, np.full_like(image, 2.0)])
    found = jax.jit(jax.vmap(lambda y: richardson_lucy(y, SPACING_MM, FWHM_MM)))(images)
    single = richardson_lucy(image, SPACING_MM, FWHM_MM)
    assert found.iterations.tolist() == [int(single.iterations), 1]
    np.testing.assert_allclose(found.image[0], single.image, rtol=1e-4)


@pytest.mark.slow
def test_reverse_gradients(image):
    weight = np.random.default_rng(2).random(image.shape)
    direction = np.random.default_rng(3).normal(size=image.shape)

    @jax.jit
    def ours(y, f):
        return jnp.sum(weight * richardson_lucy_fixed(y, SPACING_MM, f, iterations=4) ** 2)

    def theirs(y, f):
        return (weight * reference.richardson_lucy(y, SPACING_MM, f, 4) ** 2).sum()

    by_image, by_fwhm = jax.grad(ours, argnums=(0, 1))(image, 8.0)
    y = image.astype(float)
    step = (theirs(y + 1e-4 * direction, 8.0) - theirs(y - 1e-4 * direction, 8.0)) / 2e-4
    assert float(jnp.vdot(by_image, direction)) == pytest.approx(step, rel=1e-3)
    assert float(by_fwhm) == pytest.approx((theirs(y, 8.001) - theirs(y, 7.999)) / 2e-3, rel=5e-3)


def test_wrong_inputs(image):
    with pytest.raises(InputError, match="max_iterations: expected at least 1, got 0"):
        richardson_lucy(image, SPACING_MM, 6.0, max_iterations=0)
    with pytest.raises(InputError, match="relative_change: expected positive, finite numbers, got 0"):
        richardson_lucy(image, SPACING_MM, 6.0, relative_change=0.0)
    with pytest.raises(InputError, match="iterations: expected at least 1, got -1"):
        richardson_lucy_fixed(image, SPACING_MM, 6.0, iterations=-1)
    with pytest.raises(InputError, match="image: 2288 of 2288 voxels are NaN or infinite"):
        richardson_lucy_fixed(np.full_like(image, np.inf), SPACING_MM, 6.0, iterations=2)
    with pytest.raises(InputError, match="fwhm_mm: expected positive"):
        richardson_lucy(image, SPACING_MM, -6.0)
