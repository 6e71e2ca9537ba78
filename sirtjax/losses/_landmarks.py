from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.losses._weighting import same_shape, weighted_mean
from sirtjax.typing import Array


def landmark_loss(
    moved_mm: Float[Array, "n 3"], target_mm: Float[Array, "n 3"], *, weights: Real[Array, " n"] | None = None
) -> Float[jax.Array, ""]:
    """Computes the weighted mean of the squared distances between corresponding points.

    Transforms pull: move the reference's landmarks, and compare them with the floating image's.

    Args:
      moved_mm: (n, 3) landmarks of the reference image, moved by the transform.
      target_mm: (n, 3) the same landmarks in the floating image.
      weights: (n,) weight of each landmark, non-negative; zero for rows of padding. Default: 1 for each.

    Returns:
      Scalar in mm^2, at least 0.

    Raises:
      ValueError: the shapes do not match.

    Examples:
      >>> import jax.numpy as jnp
      >>> from sirtjax import losses
      >>> moved = jnp.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
      >>> target = jnp.array([[0.0, 3.0, 4.0], [10.0, 0.0, 0.0]])
      >>> round(float(losses.landmark_loss(moved, target)), 4)  # (5^2 + 0) / 2 mm^2
      12.5
    """
    if moved_mm.ndim != 2 or moved_mm.shape[-1] != 3:
        raise ValueError(f"moved_mm must have shape (n, 3), got {moved_mm.shape}")
    same_shape("moved_mm and target_mm", moved_mm, target_mm)
    squared = jnp.sum(jnp.square(moved_mm - target_mm), axis=-1)
    if weights is not None:
        same_shape("weights and the landmarks", weights, squared)
    return weighted_mean(squared, weights)
