from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real, Shaped

from sirtjax.typing import Array

# Keeps 0 / 0 at zero where every weight is zero. Far below any sum in use, but its square, by which a derivative
# divides, is still a float32.
TINY = 1e-15


def weighted_mean(values: Float[Array, "*shape"], weights: Real[Array, "*shape"] | None) -> Float[jax.Array, ""]:
    """Computes the mean with non-negative weights of the same shape; zero if all weights are zero."""
    if weights is None:
        return jnp.mean(values)
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), TINY)


def same_shape(what: str, first: Shaped[Array, "..."], second: Shaped[Array, "..."]) -> None:
    """Raises a ValueError if two arrays that belong together differ in shape."""
    if first.shape != second.shape:
        raise ValueError(f"{what} must have the same shape, got {first.shape} and {second.shape}")


def over_channels(weights: Real[Array, "..."] | None, values: Float[Array, "..."]) -> Real[Array, "..."] | None:
    """Returns per-point weights spread over the channels; weights with channels are unchanged."""
    if weights is None or weights.shape == values.shape:
        return weights
    if weights.shape != values.shape[:-1]:
        raise ValueError(f"weights must have shape {values.shape} or {values.shape[:-1]}, got {weights.shape}")
    return jnp.broadcast_to(weights[..., None], values.shape)
