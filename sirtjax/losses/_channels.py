from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.typing import Array


def check_channels(
    name: str, logits: Float[Array, "n *voxels classes"], onehot: Real[Array, "n *voxels classes"]
) -> None:
    """Raises ValueError unless both are (n, ..., classes) with the same shape."""
    if logits.shape != onehot.shape or logits.ndim < 3:
        raise ValueError(
            f"{name} takes logits and onehot of one shape (n, ..., classes), got {logits.shape} and {onehot.shape}"
        )


def overlapping(logits: Float[Array, "n *voxels classes"], regions: bool) -> bool:
    """Returns whether channels are evaluated separately: on request, or if there is only one."""
    return regions or logits.shape[-1] == 1


def probabilities(logits: Float[Array, "*points classes"], *, regions: bool) -> Float[jax.Array, "*points classes"]:
    """Applies softmax over the channels, or a sigmoid to each channel."""
    return jax.nn.sigmoid(logits) if overlapping(logits, regions) else jax.nn.softmax(logits, axis=-1)


def log_probabilities(
    logits: Float[Array, "*points classes"], *, regions: bool
) -> tuple[Float[jax.Array, "*points classes"], Float[jax.Array, "*points classes"] | None]:
    """Returns log probabilities of each channel and, for independent channels, of its complement."""
    if overlapping(logits, regions):
        return jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return jax.nn.log_softmax(logits, axis=-1), None


def over_voxels(
    terms: Float[Array, "n *voxels classes"], class_weights: Real[Array, " classes"] | None
) -> Float[jax.Array, ""]:
    """Computes the weighted sum over channels and the mean over samples and voxels."""
    if class_weights is not None:
        weights = mean_weights(class_weights, terms.shape[-1], terms.dtype)
        terms = terms * jnp.reshape(weights, (1,) * (terms.ndim - 1) + (-1,))
    return jnp.mean(jnp.sum(terms, axis=-1))


def mean_weights(
    class_weights: Real[Array, " classes"] | None, count: int, dtype: jnp.dtype
) -> Float[jax.Array, " classes"]:
    """Returns the weight of each class, equal by default; raises ValueError if their number is another."""
    weights = jnp.ones(count, dtype) if class_weights is None else jnp.asarray(class_weights, dtype)
    if weights.shape != (count,):
        raise ValueError(f"class_weights must be {count} numbers, got shape {weights.shape}")
    return weights
