from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.losses._weighting import over_channels, same_shape, weighted_mean
from sirtjax.typing import Array


def ssd_loss(
    warped: Float[Array, "*shape"], reference: Float[Array, "*shape"], *, weights: Real[Array, "..."] | None = None
) -> Float[jax.Array, ""]:
    """Computes the weighted mean of squared differences, summed over channels.

    `C sum_xc w (warped - reference)^2 / sum_xc w` for C channels: with equal weights the sum over channels of the
    mean over points. For images of one modality, and for masks, one channel a class; as weights may differ from
    channel to channel, a small class can be given more say.

    Args:
      warped: (n,) or (n, channels) values at points, or (i, j, k) or (i, j, k, channels) on a grid.
      reference: values of the same shape.
      weights: non-negative, of the values' shape, with or without the channel axis; all one by default.

    Returns:
      Scalar, at least 0.

    Raises:
      ValueError: shapes that do not belong together.

    Examples:
      >>> import jax.numpy as jnp
      >>> from sirtjax import losses
      >>> warped, reference = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 2.0, 6.0])
      >>> round(float(losses.ssd_loss(warped, reference)), 4)  # 3^2 / 3
      3.0
      >>> round(float(losses.ssd_loss(warped, reference, weights=jnp.array([1.0, 0.0, 1.0]))), 4)
      4.5
    """
    same_shape("warped and reference", warped, reference)
    if warped.ndim not in (1, 2, 3, 4):
        raise ValueError(f"ssd_loss takes (n,), (n, channels), (i, j, k) or (i, j, k, channels), got {warped.shape}")
    if warped.ndim % 2:
        warped, reference = warped[..., None], reference[..., None]
    squared = jnp.square(warped - reference)
    return squared.shape[-1] * weighted_mean(squared, over_channels(weights, squared))
