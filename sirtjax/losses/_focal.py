from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from sirtjax.losses._channels import check_channels, log_probabilities, over_voxels
from sirtjax.typing import Array

_TINY = float(np.finfo(np.float32).tiny)


def focal_loss(
    logits: Float[Array, "n *voxels classes"],
    onehot: Real[Array, "n *voxels classes"],
    *,
    gamma: float = 2.0,
    regions: bool = False,
    class_weights: Real[Array, " classes"] | None = None,
) -> Float[jax.Array, ""]:
    """Computes the focal loss: cross entropy with each term weighted by (1 - p)^gamma.

    Args:
      logits: (n, ..., classes) logits before softmax.
      onehot: labels of the same shape, from 0 to 1.
      gamma: focusing exponent; 0 gives the cross entropy.
      regions: whether channels may overlap, as always with one channel: a sigmoid each, voxels inside and outside
        counted.
      class_weights: weight of each class. Default: 1.

    Returns:
      Scalar, at least 0: mean over voxels and samples.

    Raises:
      ValueError: shapes that differ, or not one weight a class.

    Reference:
      Lin et al., Focal loss for dense object detection, ICCV 2017, doi:10.1109/ICCV.2017.324, equation 4.
    """
    check_channels("focal_loss", logits, onehot)
    inside, outside = log_probabilities(logits, regions=regions)
    # 1 - p from its logarithm keeps its digits where p is nearly 1.
    terms = -onehot * _rest(inside, gamma) * inside
    if outside is not None:
        terms = terms - (1 - onehot) * _rest(outside, gamma) * outside
    return over_voxels(terms, class_weights)


def _rest(log_probability: Array, gamma: float) -> Array:
    """(1 - p)^gamma, with a slope of zero rather than NaN at p = 1."""
    rest = -jnp.expm1(log_probability)
    return jnp.power(jnp.maximum(rest, _TINY), gamma)
