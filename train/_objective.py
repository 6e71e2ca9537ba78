from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real, Shaped

from sirtjax import losses
from sirtjax.errors import ConfigError
from sirtjax.train._config import LossConfig, LossTerm
from sirtjax.typing import Array


def objective(
    outputs: Sequence[Float[Array, "n _ _ _ classes"]], onehot: Real[Array, "n i j k classes"], *, config: LossConfig
) -> Float[jax.Array, ""]:
    """Computes the loss of a network's outputs and labels.

    Outputs smaller than the labels because of valid convolutions are compared with the middle of them; the coarser
    ones of deep supervision with the mean of the labels over each of their voxels.

    Args:
      outputs: logits (n, i, j, k, classes), finest first.
      onehot: (n, i, j, k, classes) labels.
      config: losses and their weights.

    Raises:
      ConfigError: the numbers of outputs and weights differ.
      ValueError: an output that is not a whole fraction of the finest one.
    """
    weights = config.deep_supervision
    if len(outputs) != len(weights):
        raise ConfigError(
            f"the network gives {len(outputs)} outputs but loss.deep_supervision has {len(weights)} weights; "
            "give one for each, finest first"
        )
    target = centre(onehot, outputs[0].shape[1:4])
    total = sum(weights)
    parts = []
    for weight, logits in zip(weights, outputs, strict=True):
        labels = pooled(target, logits.shape[1:4])
        values = [term.weight * _value(term, logits, labels, config.regions) for term in config.terms]
        parts.append(weight / total * jnp.sum(jnp.stack(values)))
    return jnp.sum(jnp.stack(parts))


def centre(array: Shaped[Array, "n i j k channels"], shape: Sequence[int]) -> Shaped[Array, "n a b c channels"]:
    """Returns the centre of (n, i, j, k, c) with this extent; an odd voxel remains at the end."""
    starts = [(size - wanted) // 2 for size, wanted in zip(array.shape[1:4], shape, strict=True)]
    if min(starts) < 0:
        raise ValueError(f"the output {tuple(shape)} is larger than the labels {tuple(array.shape[1:4])}")
    return array[(slice(None), *(slice(a, a + n) for a, n in zip(starts, shape, strict=True)))]


def pooled(array: Real[Array, "n i j k channels"], shape: Sequence[int]) -> Float[Array, "n a b c channels"]:
    """Means over blocks of (n, i, j, k, c), so many that the given extent is left."""
    if tuple(array.shape[1:4]) == tuple(shape):
        return array
    blocks = [size // wanted for size, wanted in zip(array.shape[1:4], shape, strict=True)]
    if any(wanted * block != size for size, wanted, block in zip(array.shape[1:4], shape, blocks, strict=True)):
        raise ValueError(
            f"an output of {tuple(shape)} is not a whole fraction of the finest, {tuple(array.shape[1:4])}"
        )
    (i, j, k), (a, b, c) = shape, blocks
    return jnp.mean(jnp.reshape(array, (array.shape[0], i, a, j, b, k, c, array.shape[-1])), axis=(2, 4, 6))


def _value(term: LossTerm, logits: Array, onehot: Array, regions: bool) -> Array:
    weights = None if term.class_weights is None else jnp.asarray(term.class_weights)
    match term.kind:
        case "soft-dice":
            return losses.soft_dice_loss(
                logits,
                onehot,
                background=term.background,
                regions=regions,
                whole_batch=term.whole_batch,
                smooth=term.smooth,
                class_weights=weights,
            )
        case "focal":
            return losses.focal_loss(logits, onehot, gamma=term.gamma, regions=regions, class_weights=weights)
        case "cross-entropy":
            return losses.cross_entropy_loss(logits, onehot, regions=regions, class_weights=weights)
