from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float
from scipy.fft import next_fast_len

from sirtjax.typing import Array


def good_fft_size(n: int) -> int:
    """Returns the smallest fast real-FFT size of at least `n`: a product of 2, 3 and 5.

    Raises:
      ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"an FFT size must be at least 1, got {n}")
    return int(next_fast_len(int(n), real=True))


def fft_convolve(array: Float[Array, "*shape"], kernel: Float[Array, "*kernel"]) -> Float[jax.Array, "*shape"]:
    """Convolves an image with a kernel, zero beyond the image, with the size of the image.

    Both are zero-padded so that nothing wraps round. Output voxel `n` is `sum_m array[m] kernel[n - m + c]`
    with the kernel's centre `c = (size - 1) // 2`; SciPy's `fftconvolve(mode="same")` for odd kernels.
    Differentiable in both arguments; both may be traced, only their shapes are static.

    Args:
      array: (i, j, k) values.
      kernel: (a, b, c) values, odd along each axis for a symmetric kernel; may be larger than the image.

    Returns:
      (i, j, k) values.

    Raises:
      ValueError: image and kernel have not the same number of axes.
    """
    if array.ndim != kernel.ndim:
        raise ValueError(f"image and kernel need the same axes, got shapes {array.shape} and {kernel.shape}")
    axes = tuple(range(array.ndim))
    size = tuple(good_fft_size(n + m - 1) for n, m in zip(array.shape, kernel.shape, strict=True))
    spectrum = jnp.fft.rfftn(array, size, axes=axes) * jnp.fft.rfftn(kernel, size, axes=axes)
    full = jnp.fft.irfftn(spectrum, size, axes=axes)
    start = [(m - 1) // 2 for m in kernel.shape]
    return full[tuple(slice(s, s + n) for s, n in zip(start, array.shape, strict=True))]
