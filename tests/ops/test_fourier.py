import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.signal import fftconvolve

from sirtjax.ops import fft_convolve, good_fft_size

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("image", "kernel"), [((12, 9, 10), (3, 5, 7)), ((6, 5, 4), (1, 1, 1)), ((16, 7, 9), (8, 2, 4))]
)
def test_equals_scipy_same(image, kernel):
    a, k = RNG.normal(size=image).astype(np.float32), RNG.normal(size=kernel).astype(np.float32)
    expected = fftconvolve(a.astype(np.float64), k.astype(np.float64), mode="same")
    np.testing.assert_allclose(fft_convolve(a, k), expected, atol=2e-5)
    np.testing.assert_allclose(jax.jit(fft_convolve)(a, k), expected, atol=2e-5)


def test_a_kernel_larger_than_the_image_keeps_the_image_size():
    a, k = RNG.normal(size=(3, 4, 2)).astype(np.float32), RNG.normal(size=(9, 5, 7)).astype(np.float32)
    full = fftconvolve(a.astype(np.float64), k.astype(np.float64), mode="full")
    np.testing.assert_allclose(fft_convolve(a, k), full[4:7, 2:6, 3:5], atol=2e-5)


def test_nothing_wraps_round():
    a = np.zeros((8, 8, 8), np.float32)
    a[0, 0, 0] = 1.0
    found = np.array(fft_convolve(a, np.ones((5, 5, 5), np.float32)))
    np.testing.assert_allclose(found[:3, :3, :3], 1.0, atol=1e-6)
    found[:3, :3, :3] = 0
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_adjoint_is_convolution_with_the_flipped_kernel():
    x, y = RNG.normal(size=(2, 9, 8, 7)).astype(np.float32)
    k = RNG.normal(size=(5, 3, 7)).astype(np.float32)
    forward = float(np.vdot(fft_convolve(x, k), y))
    backward = float(np.vdot(x, fft_convolve(y, k[::-1, ::-1, ::-1])))
    assert forward == pytest.approx(backward, rel=1e-4)
    pulled = jax.vjp(lambda v: fft_convolve(v, k), jnp.asarray(x))[1](jnp.asarray(y))[0]
    np.testing.assert_allclose(pulled, fft_convolve(y, k[::-1, ::-1, ::-1]), atol=5e-5)


def test_gradients_in_image_and_kernel():
    a, k = RNG.normal(size=(4, 3, 5)).astype(np.float32), RNG.normal(size=(3, 3, 3)).astype(np.float32)
    check_grads(jax.jit(fft_convolve), (jnp.asarray(a), jnp.asarray(k)), order=1, modes=["rev"], rtol=2e-2, eps=1e-2)


@pytest.mark.parametrize(("n", "size"), [(1, 1), (7, 8), (11, 12), (13, 15), (127, 128), (241, 243), (320, 320)])
def test_good_sizes_are_products_of_2_3_5(n, size):
    assert good_fft_size(n) == size


def test_errors():
    with pytest.raises(ValueError, match="an FFT size must be at least 1, got 0"):
        good_fft_size(0)
    with pytest.raises(ValueError, match="image and kernel need the same axes"):
        fft_convolve(np.zeros((2, 2, 2)), np.zeros((2, 2)))
