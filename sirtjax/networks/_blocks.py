"""Blocks of voxels: as channels of a network, and cubic splines between their centres."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.networks._cascade_config import AXES
from sirtjax.typing import Array


def voxels_to_channels(images: Float[Array, "i j k channels"], block: int) -> Float[jax.Array, "a b c values"]:
    """Returns the voxels of each block as channels.

    Args:
      images: (i, j, k, channels); each side is a multiple of `block`.
      block: voxels of a block along each axis.

    Returns:
      (i / block, j / block, k / block, block^3 channels); the image's own channels change fastest.
    """
    i, j, k, channels = images.shape
    a, b, c = i // block, j // block, k // block
    split = jnp.asarray(images).reshape(a, block, b, block, c, block, channels)
    return split.transpose(0, 2, 4, 1, 3, 5, 6).reshape(a, b, c, block**AXES * channels)


def channels_to_voxels(values: Float[Array, "a b c values"], block: int) -> Float[jax.Array, "i j k channels"]:
    """Returns the channels of each block as voxels; the inverse of `voxels_to_channels`."""
    a, b, c, channels = values.shape
    split = jnp.asarray(values).reshape(a, b, c, block, block, block, channels // block**AXES)
    return split.transpose(0, 3, 1, 4, 2, 5, 6).reshape(a * block, b * block, c * block, channels // block**AXES)


@lru_cache(maxsize=32)
def block_spline_matrix(voxels: int, block: int) -> Float[np.ndarray, "voxels blocks"]:
    """Returns the weights of a cubic interpolation (Catmull-Rom) from the centres of blocks to voxels.

    Rows sum to one. Values beyond the ends repeat the last one.

    Args:
      voxels: voxels along the axis, a multiple of `block`.
      block: voxels of a block.

    Raises:
      ValueError: `voxels` is not a multiple of `block`.
    """
    if voxels % block:
        raise ValueError(f"{voxels} voxels are not a multiple of the block of {block}")
    blocks = voxels // block
    at = (np.arange(voxels) - (block - 1) / 2) / block
    weights = np.zeros((voxels, blocks))
    for knot in range(-2, blocks + 2):
        t = np.abs(at - knot)
        near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        weights[:, min(max(knot, 0), blocks - 1)] += np.where(t < 1, near, np.where(t < 2, far, 0.0))
    rounded: NDArray[np.float32] = weights.astype(np.float32)
    return rounded
