import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.ops import bspline_coefficients, sample_bspline, sample_cubic


@pytest.mark.parametrize("shape", [(9, 14, 6), (40, 3, 2), (1, 5, 7), (1, 1, 1)])
def test_coefficients_equal_scipy_mirror(shape):
    array = np.random.default_rng(0).normal(size=shape)
    expected = ndimage.spline_filter(array, order=3, mode="mirror")
    np.testing.assert_allclose(bspline_coefficients(array), expected, atol=2e-5)
    found = jax.jit(bspline_coefficients)(array.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=3e-5)


def test_samples_equal_scipy_between_and_beyond_the_voxels():
    array = np.random.default_rng(1).normal(size=(8, 5, 11)).astype(np.float32)
    points = np.random.default_rng(2).uniform(-0.45, 4.4, (300, 3)).astype(np.float32)
    expected = ndimage.map_coordinates(array.astype(np.float64), points.T, order=3, mode="mirror")
    np.testing.assert_allclose(sample_cubic(array, points), expected, atol=2e-5)


def test_a_cubic_polynomial_is_reproduced_away_from_the_ends():
    x = np.arange(60.0)
    array = np.broadcast_to(((x - 30) ** 3 / 100)[:, None, None], (60, 3, 3))
    points = np.stack([np.linspace(24, 36, 25), np.ones(25), np.ones(25)], axis=-1)
    np.testing.assert_allclose(sample_cubic(array, points), (points[:, 0] - 30) ** 3 / 100, atol=1e-4)


@pytest.mark.slow
def test_sampling_coefficients_is_linear_in_them():
    first, second = np.random.default_rng(3).normal(size=(2, 6, 6, 6)).astype(np.float32)
    points = jnp.asarray(np.random.default_rng(4).uniform(0, 5, (40, 3)), jnp.float32)
    total = sample_bspline(jnp.asarray(first + 2 * second), points)
    parts = sample_bspline(jnp.asarray(first), points) + 2 * sample_bspline(jnp.asarray(second), points)
    np.testing.assert_allclose(total, parts, atol=2e-5)
