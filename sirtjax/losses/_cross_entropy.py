from __future__ import annotations

import jax
from jaxtyping import Float, Real

from sirtjax.losses._channels import check_channels, log_probabilities, over_voxels
from sirtjax.typing import Array


def cross_entropy_loss(
    logits: Float[Array, "n *voxels classes"],
    onehot: Real[Array, "n *voxels classes"],
    *,
    regions: bool = False,
    class_weights: Real[Array, " classes"] | None = None,
) -> Float[jax.Array, ""]:
    """Computes the cross entropy of predicted probabilities, mean over voxels and samples.

    Args:
      logits: (n, ..., classes) logits before softmax.
      onehot: labels of the same shape, from 0 to 1.
      regions: whether channels may overlap, as always with one channel: binary cross entropy of each after a sigmoid,
        summed over the channels.
      class_weights: weight of each class. Default: 1.

    Returns:
      Scalar, at least 0.

    Raises:
      ValueError: shapes that differ, or not one weight a class.
    """
    check_channels("cross_entropy_loss", logits, onehot)
    inside, outside = log_probabilities(logits, regions=regions)
    terms = -onehot * inside
    if outside is not None:
        terms = terms - (1 - onehot) * outside
    return over_voxels(terms, class_weights)
