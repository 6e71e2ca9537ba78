from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Real

from sirtjax.losses._weighting import TINY, same_shape, weighted_mean
from sirtjax.typing import Array

# Windows whose variances multiply to less than this part of the two images' own count as without contrast.
FLOOR = 1e-5


def lncc_loss(
    warped: Float[Array, "i j k"],
    reference: Float[Array, "i j k"],
    *,
    window: int = 7,
    weights: Real[Array, "i j k"] | None = None,
) -> Float[jax.Array, ""]:
    """Computes one minus the weighted mean of the squared local correlation of two images.

    `cc^2 = cov(w, r)^2 / (var(w) var(r) + e)` over the cube of `window`^3 voxels around each voxel, cut off at the
    image's faces; `e` is 1e-5 of the product of both images' variances, so that noise in a uniform window counts as
    no correlation. Scaling or shifting either image, inversion included, changes nothing. Two images without
    contrast have the loss 1.

    Args:
      warped: (i, j, k) values of the floating image.
      reference: (i, j, k) values of the reference image.
      window: side of the cube in voxels, odd; static.
      weights: (i, j, k) fraction of each window by its centre, non-negative; all one by default.

    Returns:
      Scalar between 0 and 1.

    Raises:
      ValueError: an even window or one below 3, or arrays of other than one common shape (i, j, k).

    Reference:
      Cachier et al., Comput Vis Image Underst 2003;89:272-298, doi:10.1016/S1077-3142(03)00002-X; squared as in
      Avants et al., Med Image Anal 2008;12:26-41, doi:10.1016/j.media.2007.06.004.
    """
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window must be odd and at least 3, got {window}")
    if warped.ndim != 3:
        raise ValueError(f"warped must have shape (i, j, k), got {warped.shape}")
    same_shape("warped and reference", warped, reference)
    if weights is not None:
        same_shape("warped and weights", warped, weights)
    warped, reference = _standardised(warped), _standardised(reference)
    inside = _window_sum(jnp.ones_like(warped), window)

    def local_mean(values: Array) -> Array:
        return _window_sum(values, window) / inside

    mean_w, mean_r = local_mean(warped), local_mean(reference)
    covariance = local_mean(warped * reference) - mean_w * mean_r
    variance_w = local_mean(jnp.square(warped)) - jnp.square(mean_w)
    variance_r = local_mean(jnp.square(reference)) - jnp.square(mean_r)
    correlation = jnp.square(covariance) / (variance_w * variance_r + FLOOR)
    return 1.0 - weighted_mean(correlation, weights)


def _standardised(values: Array) -> Array:
    """Mean zero, because a local variance is a small difference of squares, and variance one."""
    centred = values - values.mean()
    return centred / jnp.sqrt(jnp.maximum(jnp.mean(jnp.square(centred)), TINY))


def _window_sum(values: Array, window: int) -> Array:
    """Sums over the cube around each voxel, zero beyond the image."""
    for axis in range(3):
        values = _axis_sum(values, window, axis)
    return values


def _axis_sum(values: Array, window: int, axis: int) -> Array:
    # Sums of 1, 2, 4, ... neighbours, put together by the binary digits of the window: a window of 7 takes four
    # additions instead of six, and there is no long running sum to lose digits in.
    length = values.shape[axis]
    padding = [(window // 2, window // 2) if a == axis else (0, 0) for a in range(3)]
    power = lax.optimization_barrier(jnp.pad(values, padding))
    total = jnp.zeros((), power.dtype)
    start, width = 0, 1
    while width <= window:
        if window & width:
            total = total + lax.slice_in_dim(power, start, start + length, axis=axis)
            start += width
        if 2 * width <= window:
            here = power.shape[axis] - width
            power = lax.slice_in_dim(power, 0, here, axis=axis) + lax.slice_in_dim(power, width, None, axis=axis)
        width *= 2
    return total
