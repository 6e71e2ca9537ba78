"""Smooth random fields and the change between grids, as products with small matrices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax.typing import Array


@lru_cache(maxsize=64)
def spline_matrix(count: int, knots: int) -> Float[np.ndarray, "count knots"]:
    """Returns cubic B-spline values (count, knots) that spread `knots` coefficients over `count` points."""
    at = np.linspace(1.0, knots - 2.0, count)[:, None] if knots > 3 else np.linspace(0.0, knots - 1.0, count)[:, None]
    t = np.abs(at - np.arange(knots))
    near, far = 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0.0) ** 3 / 6
    weights = np.where(t < 1, near, far)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def random_field(
    key: PRNGKeyArray, shape: Sequence[int], knots: Sequence[int], *, channels: int
) -> Float[jax.Array, "channels i j k"]:
    """Returns smooth Gaussian noise of mean variance 1.

    (channels, *shape) from (channels, *knots) white numbers.

    Args:
      key: random key.
      shape: (3,) points along each axis.
      knots: (3,) coefficients along each axis, at most as many as points; equal numbers leave the axis white.
      channels: number of independent fields.
    """
    field = jax.random.normal(key, (channels, *knots))
    gain = 1.0
    for axis, (count, knot) in enumerate(zip(shape, knots, strict=True)):
        if count != knot:
            matrix = spline_matrix(count, knot)
            gain /= float(np.sqrt(np.mean(np.sum(matrix**2, axis=1))))
            field = along(field, matrix, axis + 1)
    return field * gain


def along(array: Float[jax.Array, "..."], matrix: Float[Array, "m n"], axis: int) -> Float[jax.Array, "..."]:
    """Returns the matrix (m, n) applied to one axis of length n."""
    moved = jnp.tensordot(array, jnp.asarray(matrix), axes=((axis,), (1,)))
    return jnp.moveaxis(moved, -1, axis)


def doubled(fields: Float[jax.Array, "f a b c"]) -> Float[jax.Array, "f 2*a-1 2*b-1 2*c-1"]:
    """Fields (f, a, b, c) at half the spacing by linear interpolation: (f, 2a - 1, 2b - 1, 2c - 1)."""
    for axis in (1, 2, 3):
        low = jax.lax.slice_in_dim(fields, 0, -1, axis=axis)
        high = jax.lax.slice_in_dim(fields, 1, None, axis=axis)
        pairs = jnp.stack([low, 0.5 * (low + high)], axis=axis + 1)
        shape = (*low.shape[:axis], 2 * low.shape[axis], *low.shape[axis + 1 :])
        last = jax.lax.slice_in_dim(fields, fields.shape[axis] - 1, None, axis=axis)
        fields = jnp.concatenate([pairs.reshape(shape), last], axis=axis)
    return fields


def blur_matrix(count: int, sigma: Float[jax.Array, ""]) -> Float[jax.Array, "count count"]:
    """Returns Gaussian weights (count, count) of a traced standard deviation in voxels.

    Each row has sum 1.
    """
    at = jnp.arange(count, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * ((at[:, None] - at[None, :]) / jnp.maximum(sigma, 0.05)) ** 2)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def slice_matrices(
    count: int, thickness: Float[jax.Array, ""], offset: Float[jax.Array, ""]
) -> tuple[Float[jax.Array, "slices count"], Float[jax.Array, "count slices"]]:
    """Returns thick slices along an axis as two matrices.

    (slices, count) averages into them, (count, slices) interpolates back.

    Args:
      count: number of points of the axis, and largest possible number of slices.
      thickness: thickness of a slice in voxels, at least 1; slices touch each other.
      offset: position of the first slice in slices, from -1 to 0.
    """
    at = jnp.arange(count, dtype=jnp.float32)
    middle = (jnp.arange(count, dtype=jnp.float32) + offset) * thickness
    # A box as wide as the slice with edges of one voxel, as real profiles have.
    box = jnp.clip(0.5 * thickness + 0.5 - jnp.abs(middle[:, None] - at[None, :]), 0.0, 1.0)
    # Slices beyond the end repeat the last voxel, so that nothing fades towards the edge of the grid.
    edge = jnp.where(at[None, :] == jnp.clip(jnp.round(middle), 0, count - 1)[:, None], 1e-6, 0.0)
    box = box + edge
    hat = jnp.maximum(1.0 - jnp.abs(at[:, None] - middle[None, :]) / thickness, 0.0) + 1e-9
    return box / jnp.sum(box, axis=1, keepdims=True), hat / jnp.sum(hat, axis=1, keepdims=True)
