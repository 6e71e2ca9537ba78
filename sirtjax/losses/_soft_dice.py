from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.losses._channels import check_channels, mean_weights, overlapping, probabilities
from sirtjax.typing import Array


def soft_dice_loss(
    logits: Float[Array, "n *voxels classes"],
    onehot: Real[Array, "n *voxels classes"],
    *,
    background: bool = False,
    regions: bool = False,
    whole_batch: bool = False,
    smooth: float = 1.0,
    class_weights: Real[Array, " classes"] | None = None,
) -> Float[jax.Array, ""]:
    """Computes one minus the soft Dice of probabilities and labels, mean over classes and samples.

    `1 - (2 sum p t + smooth) / (sum p + sum t + smooth)` over the voxels. A class that is in neither costs nothing.

    Args:
      logits: (n, ..., classes) logits before softmax.
      onehot: labels of the same shape, from 0 to 1; fractional labels are allowed.
      background: count the first class as well.
      regions: whether channels may overlap, as always with one channel: a sigmoid each instead of a softmax, and none
        of them is background.
      whole_batch: take the sums over all samples together, which is more stable if a class is missing in some.
      smooth: smoothing term in voxels; use a value far below the size of a structure. With 0, a structure that is in
        neither array gives NaN.
      class_weights: weight of each class in the mean, background first; that of an omitted background has no effect.
        Default: equal.

    Returns:
      Scalar from 0 to 1.

    Raises:
      ValueError: shapes that differ or have no sample, voxel and class axis, or not one weight a class.

    Reference:
      Milletari et al., V-Net, 3DV 2016, doi:10.1109/3DV.2016.79, with plain sums instead of sums of squares.

    Examples:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from sirtjax import losses
      >>> one_hot = np.eye(2, dtype=np.float32)
      >>> logits, labels = 100 * one_hot[[0, 1, 1, 0]], one_hot[[0, 1, 0, 1]]
      >>> loss = losses.soft_dice_loss(jnp.asarray(logits[None]), jnp.asarray(labels[None]), smooth=1e-6)
      >>> round(float(loss), 4)  # 1 - 2 * 1 / (2 + 2)
      0.5
    """
    check_channels("soft_dice_loss", logits, onehot)
    predicted = probabilities(logits, regions=regions)
    weights = mean_weights(class_weights, logits.shape[-1], predicted.dtype)
    if not background and not overlapping(logits, regions):
        predicted, onehot, weights = predicted[..., 1:], onehot[..., 1:], weights[1:]
    axes = tuple(range(0 if whole_batch else 1, predicted.ndim - 1))
    common = jnp.sum(predicted * onehot, axis=axes)
    total = jnp.sum(predicted, axis=axes) + jnp.sum(onehot, axis=axes)
    overlap = jnp.mean(jnp.reshape((2 * common + smooth) / (total + smooth), (-1, weights.shape[0])), axis=0)
    return 1 - jnp.sum(weights * overlap) / jnp.sum(weights)


def probability_dice_loss(
    probabilities: Float[Array, " *voxels"],
    target: Float[Array, " *voxels"],
    *,
    weights: Float[Array, " *voxels"] | None = None,
    smooth: float = 1.0,
) -> Float[jax.Array, ""]:
    """Computes one minus the soft Dice of two arrays of probabilities, such as a warped mask and a mask.

    `1 - (2 sum w p t + smooth) / (sum w p + sum w t + smooth)`.

    Args:
      probabilities: values from 0 to 1, of any shape.
      target: values from 0 to 1 of the same shape.
      weights: fraction of each voxel that counts, of the same shape; all one by default.
      smooth: smoothing term in voxels; use a value far below the size of a structure. With 0, a structure that is in
        neither array gives NaN.

    Returns:
      Scalar from 0 to 1.

    Raises:
      ValueError: the shapes differ.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import losses
      >>> mask = np.array([0.0, 1.0, 1.0, 0.0])
      >>> round(float(losses.probability_dice_loss(np.array([0.0, 0.5, 1.0, 0.5]), mask, smooth=0.0)), 3)
      0.25
    """
    shapes = {tuple(one.shape) for one in (probabilities, target, weights) if one is not None}
    if len(shapes) > 1:
        raise ValueError(f"probability_dice_loss takes arrays of one shape, got {sorted(shapes)}")
    weight = jnp.ones_like(target) if weights is None else jnp.asarray(weights)
    common = jnp.sum(weight * probabilities * target)
    total = jnp.sum(weight * (probabilities + target))
    return 1 - (2 * common + smooth) / (total + smooth)
