"""The gradient of a 3D convolution to its kernels, as matrix products over slabs.

Between many channels, kernels of three run by the transpose of minimal filtering (`_planes.py`) along the first axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.networks._planes import OF_IMAGE, OF_KERNEL, TAPS, TILE, TO_IMAGE, every, mix
from sirtjax.networks._slabs import Padding, Three, pad, single, slabs, window
from sirtjax.typing import Array

# About what a product reads: the fastest of several on a processor with 2 MB for each core.
PRODUCT_BYTES = 8e5
# About what tiles of minimal filtering hold, and from how many channels times features on it pays: products of fewer
# are bound by what they read, of which there is half as much again.
TILE_BYTES = 4e6
MINIMAL_FROM = 1024


def weight_gradient(
    x: Float[Array, "n i j k channels"],
    dy: Float[Array, "n i_out j_out k_out features"],
    *,
    kernel: Three,
    stride: Three,
    padding: Padding,
) -> Float[jax.Array, "a b c channels features"]:
    """Computes the gradient of `correlate` with respect to its kernels, as matrix products over slabs.

    A tap is a shift between the two images. Along each axis either `x` is copied once for each tap, shifted, or `dy`
    is; whatever copies least.
    """
    if x.dtype.itemsize < 4:
        return weight_gradient(single(x), single(dy), kernel=kernel, stride=stride, padding=padding).astype(x.dtype)
    channels, features = x.shape[4], dy.shape[4]
    tiles = -(-dy.shape[1] // TILE)
    tiled = kernel[0] == TAPS and stride[0] == 1 and 6 * tiles < 3 * dy.shape[1]
    if tiled and channels * features >= MINIMAL_FROM:
        return _minimal(x, dy, kernel=kernel, stride=stride, padding=padding)
    sides = _sides(channels, features, kernel, stride)
    # Positions that are summed over: the output's where x is shifted, otherwise the input's.
    positions = [a if on_x else b for on_x, a, b in zip(sides, dy.shape[1:4], x.shape[1:4], strict=True)]
    copies_x = math.prod(k for k, on_x in zip(kernel, sides, strict=True) if on_x)
    copies_dy = math.prod(kernel) // copies_x
    held = (copies_x * channels + copies_dy * features) * x.shape[0] * positions[1] * positions[2] * x.dtype.itemsize
    slab, steps = slabs(positions[0], 1, held / PRODUCT_BYTES)
    # A slice that is too large is processed in groups of rows; the last group is padded with zeros.
    parts = math.ceil(held / PRODUCT_BYTES) if slab == 1 else 1
    rows = -(-positions[1] // parts)
    parts = -(-positions[1] // rows)
    positions[1] = rows * parts
    low, step = padding[0][0], stride[0]
    # Slices of each array that are read along the first axis for the positions from `start` on.
    x_read = (slab - 1) * step + kernel[0] if sides[0] else slab
    dy_read = slab if sides[0] else slab + kernel[0] - 1
    last = (steps - 1) * slab

    def product(start: jax.Array | int) -> jax.Array:
        x_start, x_last = (start * step - low, last * step - low) if sides[0] else (start, last)
        dy_shift = 0 if sides[0] else low - kernel[0] + 1
        images = window(x, x_start, x_read, reach=(-low if sides[0] else 0, x_last))
        gradients = window(dy, start + dy_shift, dy_read, reach=(dy_shift, last + dy_shift))
        for axis in (2, 3):
            where = (kernel[axis - 1], stride[axis - 1], padding[axis - 1][0], positions[axis - 1])
            images, gradients = _aligned(images, gradients, axis, *where, on_x=sides[axis - 1])
        counts = (slab, rows, positions[2])
        x_rows, dy_rows = ((rows - 1) * stride[1] + kernel[1], rows) if sides[1] else (rows, rows + kernel[1] - 1)

        def part(index: jax.Array | int) -> jax.Array:
            first = index * rows
            some = lax.dynamic_slice_in_dim(images, first * stride[1] if sides[1] else first, x_rows, 2)
            theirs = lax.dynamic_slice_in_dim(gradients, first, dy_rows, 2)
            copies = _shifted_images(some, kernel, stride, sides, counts)
            return copies.T @ _shifted_gradients(theirs, kernel, sides, counts)

        return _total(part, parts)

    return _unfold(_total(lambda index: product(index * slab), steps), kernel, sides, channels, features)


def _minimal(
    x: Float[Array, "n i j k channels"],
    dy: Float[Array, "n i_out j_out k_out features"],
    *,
    kernel: Three,
    stride: Three,
    padding: Padding,
) -> jax.Array:
    """Six gradients to 2D kernels for four slices instead of twelve: the transpose of `_planes.winograd_conv`."""
    low, tiles = padding[0][0], -(-dy.shape[1] // TILE)
    voxels = x.shape[0] * (math.prod(x.shape[2:]) + math.prod(dy.shape[2:]))
    slab, steps = slabs(tiles, 1, 6 * voxels * x.dtype.itemsize / TILE_BYTES)
    plane: Three = (1, *kernel[1:])
    last = (steps - 1) * slab * TILE

    def products(index: jax.Array | int) -> jax.Array:
        start = index * slab * TILE
        images = window(x, start - low, slab * TILE + TAPS - 1, reach=(-low, last - low))
        gradients = window(dy, start, slab * TILE, reach=(0, last))
        read = [every(images, offset, TILE, slab) for offset in range(TILE + TAPS - 1)]
        given = [every(gradients, offset, TILE, slab) for offset in range(TILE)]
        flat = partial(weight_gradient, kernel=plane, stride=(1, *stride[1:]), padding=((0, 0), *padding[1:]))
        pairs = zip(OF_IMAGE, TO_IMAGE.T, strict=True)
        return jnp.concatenate([flat(mix(image, read), mix(back, given)) for image, back in pairs])

    found = _total(products, steps)
    return jnp.stack([mix(factors, list(found)) for factors in OF_KERNEL.T])


def _total(part: Callable[[jax.Array | int], jax.Array], count: int) -> jax.Array:
    """The sum of parts 0 to count - 1, one after another."""
    if count == 1:
        return part(0)
    shape = jax.eval_shape(lambda: part(0))
    total: jax.Array = lax.fori_loop(0, count, lambda i, sum_: sum_ + part(i), jnp.zeros(shape.shape, shape.dtype))
    return total


def _aligned(
    x: Float[Array, "n i j k channels"],
    dy: Float[Array, "n i_out j_out k_out features"],
    axis: int,
    kernel: int,
    step: int,
    low: int,
    positions: int,
    *,
    on_x: bool,
) -> tuple[Float[Array, "n _ _ _ channels"], Float[Array, "n _ _ _ features"]]:
    """Zeros around both, so that along an axis the shifts of one meet all positions of the other."""
    size, found = x.shape[axis], dy.shape[axis]
    if on_x:
        reach = (positions - 1) * step + kernel
        return pad(x, axis, low, reach - low - size), pad(dy, axis, 0, positions - found)
    return pad(x, axis, 0, positions - size), pad(dy, axis, kernel - 1 - low, positions + low - found)


def _sides(channels: int, features: int, kernel: Three, stride: Three) -> tuple[bool, bool, bool]:
    """Whether x is the one shifted along each axis; steps of more than one leave no choice."""
    # Of equals, shifts of x along the last axis and of dy along the others were the fastest.
    choices = [[True] if s > 1 else [False, True] for s in stride]

    def copied(sides: tuple[bool, ...]) -> int:
        on_x = math.prod(k for k, side in zip(kernel, sides, strict=True) if side)
        return on_x * channels + math.prod(kernel) // on_x * features

    return min(itertools.product(*choices), key=copied)  # type: ignore[return-value]


def _shifted_images(x: jax.Array, kernel: Three, stride: Three, sides: tuple[bool, ...], positions: Three) -> jax.Array:
    """Rows: positions; columns: taps along the axes in which x is shifted, then channels."""
    taps = [range(k) if side else range(1) for k, side in zip(kernel, sides, strict=True)]
    steps = [s if side else 1 for s, side in zip(stride, sides, strict=True)]
    copies = [_strided(x, offsets, steps, positions) for offsets in itertools.product(*taps)]
    return jnp.concatenate(copies, axis=-1).reshape(-1, len(copies) * x.shape[4])


def _shifted_gradients(dy: jax.Array, kernel: Three, sides: tuple[bool, ...], positions: Three) -> jax.Array:
    """Rows: positions; columns: taps along the axes in which dy is shifted, against their order, then features."""
    taps = [range(1) if side else range(k - 1, -1, -1) for k, side in zip(kernel, sides, strict=True)]
    copies = [_strided(dy, offsets, [1, 1, 1], positions) for offsets in itertools.product(*taps)]
    return jnp.concatenate(copies, axis=-1).reshape(-1, len(copies) * dy.shape[4])


def _strided(x: jax.Array, offsets: Iterable[int], steps: list[int], counts: Three) -> jax.Array:
    starts = list(offsets)
    ends = [o + (c - 1) * s + 1 for o, c, s in zip(starts, counts, steps, strict=True)]
    return lax.slice(x, [0, *starts, 0], [x.shape[0], *ends, x.shape[4]], [1, *steps, 1])


def _unfold(total: jax.Array, kernel: Three, sides: tuple[bool, ...], channels: int, features: int) -> jax.Array:
    """Taps back into their order: (taps of x, in) by (taps of dy, out) to (a, b, c, in, out)."""
    on_x = [axis for axis in range(3) if sides[axis]]
    on_dy = [axis for axis in range(3) if not sides[axis]]
    parts = total.reshape(*(kernel[a] for a in on_x), channels, *(kernel[a] for a in on_dy), features)
    order = {axis: place for place, axis in enumerate([*on_x, 3, *on_dy, 4])}
    return parts.transpose([order[axis] for axis in range(5)])
