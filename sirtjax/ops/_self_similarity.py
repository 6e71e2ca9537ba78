"""Descriptors of an image by its similarity to itself, which are independent of its contrast."""

from __future__ import annotations

from itertools import combinations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.typing import Array

FACES = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
# Every two face neighbours that are not opposite one another: twelve pairs.
PAIRS = tuple((a, b) for a, b in combinations(FACES, 2) if sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) == 2)
# The local noise estimate stays within these multiples of its mean over the image.
VARIANCE_BOUNDS = (1e-3, 1e3)
# Keeps a division defined; its square is still a float32 above zero.
TINY = 1e-15


def mind_ssc(image: Float[Array, "i j k"], *, dilation: int = 2, radius: int = 1) -> Float[jax.Array, "i j k 12"]:
    """Computes the self-similarity context: twelve contrast-independent descriptors per voxel.

    For each of the 12 pairs (a, b) of neighbouring face directions, `D_c(x)` is the mean over a box of
    (2 radius + 1)^3 voxels of `(I(x + dilation a) - I(x + dilation b))^2`, edge values held beyond the image. With
    `m_c = D_c - min_c D_c` and `V = mean_c m_c`, clamped to [0.001, 1000] times its mean over the image, the
    descriptor is `exp(-m_c / V)`. Scaling or shifting the intensities, inversion included, changes nothing. The
    steps are in voxels: give both images on grids of one and the same spacing. A constant image gives ones.

    Args:
      image: (i, j, k) floating values.
      dilation: distance of the compared patches from the voxel, in voxels; static.
      radius: half-width of the patches in voxels; static.

    Returns:
      (i, j, k, 12) values in (0, 1].

    Raises:
      ValueError: an image that is not (i, j, k), a dilation below 1 or a negative radius.

    Reference:
      Heinrich et al., MICCAI 2013, LNCS 8149:187-194, doi:10.1007/978-3-642-40811-3_24.
    """
    if image.ndim != 3:
        raise ValueError(f"mind_ssc takes an (i, j, k) image, got shape {image.shape}")
    if dilation < 1 or radius < 0:
        raise ValueError(f"mind_ssc needs dilation >= 1 and radius >= 0, got {dilation} and {radius}")
    # One pair after the other in a loop, so that the body is compiled once and only one distance is in memory.
    padded = jnp.pad(image, dilation, mode="edge")
    corners = dilation * (1 + jnp.asarray(PAIRS, jnp.int32))

    def distance(corner: Array) -> Array:
        first, last = (lax.dynamic_slice(padded, corner[end], image.shape) for end in range(2))
        return _box_mean(jnp.square(first - last), radius)

    distances = lax.map(distance, corners)
    differences = distances - distances.min(axis=0, keepdims=True)
    variance = differences.mean(axis=0, keepdims=True)
    low, high = (bound * variance.mean() for bound in VARIANCE_BOUNDS)
    scale = -1.0 / jnp.maximum(jnp.clip(variance, low, high), TINY)
    return jnp.moveaxis(jnp.exp(differences * scale), 0, -1)


def _box_mean(values: Array, radius: int) -> Array:
    width = 2 * radius + 1
    for axis, length in enumerate(values.shape):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(values.ndim)]
        # The barrier keeps the three passes apart: fused, each voxel would be summed over the whole box.
        held = lax.optimization_barrier(jnp.pad(values, padding, mode="edge"))
        taps = [lax.slice_in_dim(held, tap, tap + length, axis=axis) for tap in range(width)]
        values = sum(taps[1:], taps[0]) / width
    return values
