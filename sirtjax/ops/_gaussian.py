from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.typing import Array, Scalar


def gaussian_filter(
    array: Float[Array, "*shape"],
    sigma_voxels: Scalar | Sequence[float] | Float[Array, " axes"],
    *,
    radius: int | None = None,
) -> Float[jax.Array, "*shape"]:
    """Applies a separable Gaussian, truncated at `radius`, summing to one, zero beyond the image.

    The standard deviations may be traced when `radius` is given: one compilation serves every blur that fits
    in it. The kernel is truncated at the radius, so choose at least 3 standard deviations. A standard
    deviation of zero leaves its axis as it is.

    Args:
      array: (i, j, k) floating values.
      sigma_voxels: standard deviation in voxels, one number or one per axis.
      radius: half-length of the kernel in voxels, static; 4 of the largest standard deviation by default.

    Returns:
      (i, j, k) blurred values.

    Raises:
      ValueError: `radius` is negative, or not given for a traced standard deviation.
    """
    if radius is None:
        if isinstance(sigma_voxels, jax.core.Tracer):
            raise ValueError("gaussian_filter: give radius=, as sigma_voxels is traced and its size unknown")
        radius = math.ceil(4.0 * float(np.max(np.asarray(sigma_voxels))))
    if radius < 0:
        raise ValueError(f"radius must not be negative, got {radius}")
    sigma = jnp.broadcast_to(jnp.atleast_1d(jnp.asarray(sigma_voxels, array.dtype)), (array.ndim,))
    blurred = jnp.asarray(array)
    offset = jnp.arange(-radius, radius + 1, dtype=array.dtype)
    for axis in range(array.ndim):
        # A floor on sigma makes the kernel of a zero blur the identity instead of 0 / 0.
        scaled = offset / jnp.maximum(sigma[axis], 1e-3)
        kernel = jnp.exp(-0.5 * scaled * scaled)
        blurred = _convolve_axis(blurred, kernel / kernel.sum(), axis)
    return blurred


def _convolve_axis(array: jax.Array, kernel: jax.Array, axis: int) -> jax.Array:
    # A sum of shifted images: XLA's convolution is slow on a CPU for one channel.
    taps = kernel.shape[0]
    length = array.shape[axis]
    padding = [(taps // 2, taps // 2) if a == axis else (0, 0) for a in range(array.ndim)]
    padded = jnp.pad(array, padding)
    total = jnp.zeros((), array.dtype)
    for tap in range(taps):
        total = total + kernel[tap] * jax.lax.slice_in_dim(padded, tap, tap + length, axis=axis)
    return total
