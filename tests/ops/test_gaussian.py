from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import ndimage

from sirtjax.ops import gaussian_filter

ARRAY = np.random.default_rng(6).normal(size=(14, 11, 9)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [(0.8, 1.5, 0.4), (2.0, 0.0, 1.0)])
def test_equals_scipy_of_the_same_radius(sigma):
    expected = ndimage.gaussian_filter(ARRAY.astype(np.float64), sigma, mode="constant", radius=(6, 6, 6))
    np.testing.assert_allclose(gaussian_filter(ARRAY, sigma, radius=6), expected, atol=1e-6)
    traced = jax.jit(lambda a, s: gaussian_filter(a, s, radius=6))
    np.testing.assert_allclose(traced(ARRAY, jnp.asarray(sigma)), expected, atol=1e-6)


@pytest.mark.slow
def test_default_radius_is_scipys_four_standard_deviations():
    expected = ndimage.gaussian_filter(ARRAY.astype(np.float64), 1.5, mode="constant", truncate=4.0)
    np.testing.assert_allclose(gaussian_filter(ARRAY, 1.5), expected, atol=1e-6)


def test_total_is_kept_away_from_the_faces():
    point = np.zeros((21, 21, 21), np.float32)
    point[10, 10, 10] = 3.0
    blur = jax.jit(partial(gaussian_filter, radius=8))
    assert float(blur(point, jnp.asarray([1.0, 2.0, 1.5])).sum()) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.slow
def test_gradient_in_image_and_sigma():
    small = jnp.asarray(ARRAY[:6, :5, :4])
    check_grads(
        jax.jit(partial(gaussian_filter, radius=4)),
        (small, jnp.asarray([0.9, 1.2, 1.5])),
        order=1,
        modes=["rev"],
        rtol=2e-2,
        eps=1e-2,
    )


def test_errors():
    with pytest.raises(ValueError, match="radius must not be negative, got -1"):
        gaussian_filter(ARRAY, 1.0, radius=-1)
    with pytest.raises(ValueError, match="give radius="):
        jax.jit(gaussian_filter)(ARRAY, 1.0)
