from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.losses._weighting import over_channels, same_shape, weighted_mean
from sirtjax.typing import Array


def descriptor_loss(
    warped: Float[Array, "*points channels"],
    reference: Float[Array, "*points channels"],
    *,
    weights: Float[Array, "..."] | None = None,
) -> Float[jax.Array, ""]:
    """Computes the weighted mean squared difference of descriptors, over points and channels.

    Args:
      warped: (..., channels) descriptors of the floating image, sampled through the transform.
      reference: (..., channels) descriptors of the reference image at the same points.
      weights: non-negative, (...) or (..., channels); all one by default.

    Returns:
      Scalar, at least 0; at most 1 for descriptors of `mind_ssc`.

    Raises:
      ValueError: shapes that do not belong together.
    """
    same_shape("warped and reference", warped, reference)
    squared = jnp.square(warped - reference)
    return weighted_mean(squared, over_channels(weights, squared))
