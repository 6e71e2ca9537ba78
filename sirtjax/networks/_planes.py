"""A slab of a 3D convolution as 2D convolutions of its slices, which are their batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sirtjax.networks._slabs import pad

Padding2 = tuple[tuple[int, int], tuple[int, int]]
Flat = Callable[[jax.Array, jax.Array], jax.Array]

# F(4, 3) at the points 0, 1, -1, 2, -2 and infinity.
TILE, TAPS = 4, 3
_OF_IMAGE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OF_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_TO_IMAGE = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

# Input channels up to which the slices that a kernel spans are stacked as channels of one 2D convolution.
FEW_CHANNELS = 4
# Voxels in a row that become channels then: so many that as few features fill a vector register, or with more features
# and at most so many channels two.
_VECTOR, _PAIRED_CHANNELS = 16, 2


def row_width(channels: int, features: int) -> int:
    if features <= FEW_CHANNELS:
        return _VECTOR // channels
    return 2 if channels <= _PAIRED_CHANNELS else 1


def flat(images: jax.Array, kernels: jax.Array, *, stride: tuple[int, int], padding: object) -> jax.Array:
    """Each slice convolved in its plane."""
    batch = images.reshape(-1, *images.shape[2:])
    found = lax.conv_general_dilated(batch, kernels, stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))  # type: ignore[arg-type]
    return found.reshape(*images.shape[:2], *found.shape[1:])


def flat_in_rows(
    images: jax.Array, kernels: jax.Array, *, stride: tuple[int, int], padding: Padding2, columns: int, width: int
) -> jax.Array:
    """`flat` with `width` voxels of a result's row as features, what they read as channels, and kernels as bands.

    Three times the products or less, but few channels alone would leave most of each vector register empty.
    """
    n, slices, rows, size, channels = images.shape
    taps, reach, _, features = kernels.shape
    step = stride[1]
    beyond = max(0, reach - step)
    width = max(width, -(-beyond // step))
    span, count = width * step, -(-columns // width)
    # Blocks of a row, each with what its kernels reach in the next one.
    blocks = pad(images, 3, padding[1][0], (count + 1) * span - padding[1][0] - size)
    blocks = blocks.reshape(n, slices, rows, count + 1, span * channels)
    blocks = jnp.concatenate([blocks[..., :-1, :], blocks[..., 1:, : beyond * channels]], axis=-1)
    starts = range(0, span, step)
    bands = jnp.stack([pad(kernels, 1, start, span + beyond - reach - start) for start in starts], axis=3)
    bands = bands.reshape(taps, 1, blocks.shape[-1], width * features)
    found = flat(blocks, bands, stride=(stride[0], 1), padding=(padding[0], (0, 0)))
    return found.reshape(*found.shape[:3], count * width, features)[:, :, :, :columns]


def _every(slab: jax.Array, first: int, step: int, count: int) -> jax.Array:
    return lax.slice_in_dim(slab, first, first + (count - 1) * step + 1, step, axis=1)


def summed(x: jax.Array, *, w: jax.Array, step: int, slab: int, flat: Flat) -> jax.Array:
    """One 2D convolution for each tap along the first axis."""
    return sum(
        (flat(_every(x, a, step, slab), w[a]) for a in range(1, w.shape[0])), flat(_every(x, 0, step, slab), w[0])
    )


def stacked(x: jax.Array, *, w: jax.Array, step: int, slab: int, flat: Flat) -> jax.Array:
    """One 2D convolution of more channels."""
    channels = jnp.concatenate([_every(x, a, step, slab) for a in range(w.shape[0])], axis=-1)
    return flat(channels, jnp.concatenate(list(w), axis=2))


def minimal(x: jax.Array, *, w: jax.Array, step: int, slab: int, flat: Flat) -> jax.Array:
    """Six 2D convolutions for four slices; `step` is one."""
    tiles = slab // TILE
    read = [_every(x, offset, TILE * step, tiles) for offset in range(TILE + TAPS - 1)]
    found = [flat(_mix(image, read), _mix(kernel, w)) for image, kernel in zip(_OF_IMAGE, _OF_KERNEL, strict=True)]
    slices = jnp.stack([_mix(row, found) for row in _TO_IMAGE], axis=2)
    return slices.reshape(slices.shape[0], slab, *slices.shape[3:])


def _mix(factors: np.ndarray, arrays: Iterable[jax.Array]) -> jax.Array:
    """The sum of arrays times their factors."""
    terms = [a if f == 1 else float(f) * a for f, a in zip(factors, arrays, strict=True) if f]
    return sum(terms[1:], terms[0])
