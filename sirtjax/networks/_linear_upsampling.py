"""Linear interpolation to twice the size."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.networks._convolution import Three
from sirtjax.typing import Array


def upsample_linear(
    x: Float[Array, "n i j k channels"], rate: Three
) -> Float[jax.Array, "n i_out j_out k_out channels"]:
    """Interpolates to `rate` times the size, 1 or 2 along each axis.

    The outer faces of both grids are aligned: the new voxels are a quarter of a voxel from the centre of an old one.
    Beyond the outermost centres the outermost value continues.
    """
    found = jnp.asarray(x)
    for axis, step in enumerate(rate, start=1):
        if step == 2:
            found = _double(found, axis)
    return found


def _double(x: jax.Array, axis: int) -> jax.Array:
    size = x.shape[axis]
    first, last = (lax.slice_in_dim(x, at, at + 1, axis=axis) for at in (0, size - 1))
    before = jnp.concatenate([first, lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis=axis)
    after = jnp.concatenate([lax.slice_in_dim(x, 1, size, axis=axis), last], axis=axis)
    pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
