from __future__ import annotations

from typing import Any

from sirtjax.losses._channels import check_channels, log_probabilities, over_voxels

Array = Any


def cross_entropy_loss(
    logits: Array, onehot: Array, *, regions: bool = False, class_weights: Array | None = None
) -> Array:
    """Computes the cross entropy of predicted probabilities, mean over voxels and samples.

    Args:
      logits: (n, ..., classes) before softmax.
      onehot: labels of the same shape, from 0 to 1.
      regions: channels may overlap: binary cross entropy of each after a sigmoid, summed over the channels. So it
        is with one channel anyway.
      class_weights: one per class; all one by default.

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
