"""3D convolution and its gradients as 2D convolutions and matrix products, a slab of slices at a time.

Slices become the batch of 2D convolutions. Along the first axis, kernels of three run by Winograd's minimal filtering
F(4, 3): six 2D convolutions for four output slices instead of twelve (Lavin and Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016, arXiv 1509.09308). Slabs keep what is transient small, and near the processor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Three = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# F(4, 3) at the points 0, 1, -1, 2, -2 and infinity.
_TILE, _TAPS = 4, 3
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
_FEW_CHANNELS = 4
# About what a slab holds beside input and output: the fastest of several on a processor with 2 MB for each core.
_SLAB_BYTES = 6e6
_PRODUCT_BYTES = 8e5


def correlate(x: jax.Array, w: jax.Array, *, stride: Three, padding: Padding) -> jax.Array:
    """`lax.conv_general_dilated` of x (n, i, j, k, in) with w (a, b, c, in, out)."""
    if x.dtype.itemsize < 4:
        # Half precision is emulated on CPUs, and minimal filtering would lose what little it has.
        return correlate(_single(x), _single(w), stride=stride, padding=padding).astype(x.dtype)
    taps, channels, features = w.shape[0], w.shape[3], w.shape[4]
    out = [(n + sum(p) - k) // s + 1 for n, p, k, s in zip(x.shape[1:4], padding, w.shape[:3], stride, strict=True)]
    depth, step, low = out[0], stride[0], padding[0][0]
    flat = partial(_flat, stride=stride[1:], padding=padding[1:])
    minimal = taps == _TAPS and step == 1 and channels > _FEW_CHANNELS and 6 * -(-depth // _TILE) < 3 * depth
    voxels = x.shape[0] * (x.shape[2] * x.shape[3] * channels + out[1] * out[2] * features)
    unit, held = (_TILE, 6 * voxels) if minimal else (1, taps * voxels)
    slab, steps = _slabs(depth, unit, held * x.dtype.itemsize / _SLAB_BYTES)
    read = (slab - 1) * step + taps
    whole = _minimal if minimal else _stacked if channels <= _FEW_CHANNELS else _summed
    body = partial(whole, w=w, step=step, slab=slab, flat=flat)
    if steps == 1:
        return body(_window(x, -low, read))[:, :depth]

    def write(index: jax.Array, y: jax.Array) -> jax.Array:
        # The last slab begins where it ends with the image.
        start = jnp.minimum(index * slab, depth - slab)
        found = body(_window(x, start * step - low, read, reach=(-low, (depth - slab) * step - low)))
        return lax.dynamic_update_slice_in_dim(y, found, start, 1)

    y: jax.Array = lax.fori_loop(0, steps, write, jnp.zeros((x.shape[0], *out, features), x.dtype))
    return y


def input_gradient(dy: jax.Array, w: jax.Array, *, shape: Three, stride: Three, padding: Padding) -> jax.Array:
    """What the gradient `dy` of `correlate` is to its input of a given shape."""
    if stride == (1, 1, 1):
        back = tuple((k - 1 - low, k - 1 - high) for k, (low, high) in zip(w.shape[:3], padding, strict=True))
        return correlate(dy, w[::-1, ::-1, ::-1].swapaxes(3, 4), stride=stride, padding=back)  # type: ignore[arg-type]
    counts = [-(-n // s) for n, s in zip(shape, stride, strict=True)]

    def phase(offsets: Three) -> jax.Array:
        """The voxels s * v + offset: each kernel tap reaches those of one offset."""
        firsts = [(o + low) % s for o, (low, _), s in zip(offsets, padding, stride, strict=True)]
        shifts = [(o + low) // s for o, (low, _), s in zip(offsets, padding, stride, strict=True)]
        part = w[firsts[0] :: stride[0], firsts[1] :: stride[1], firsts[2] :: stride[2]]
        if 0 in part.shape:
            return jnp.zeros((dy.shape[0], *counts, w.shape[3]), dy.dtype)
        back = tuple(
            (k - 1 - shift, count - 1 + shift - (n - 1))
            for k, shift, count, n in zip(part.shape[:3], shifts, counts, dy.shape[1:4], strict=True)
        )
        return correlate(dy, part[::-1, ::-1, ::-1].swapaxes(3, 4), stride=(1, 1, 1), padding=back)  # type: ignore[arg-type]

    dx = _interleave([phase(offsets) for offsets in itertools.product(*map(range, stride))], stride)  # type: ignore[arg-type]
    return dx[:, : shape[0], : shape[1], : shape[2]]


def weight_gradient(x: jax.Array, dy: jax.Array, *, kernel: Three, stride: Three, padding: Padding) -> jax.Array:
    """What the gradient `dy` of `correlate` is to its kernels, as matrix products over slabs.

    A tap is a shift between the two images. Along each axis either `x` is copied once for each tap, shifted, or `dy`
    is; whatever copies least.
    """
    if x.dtype.itemsize < 4:
        return weight_gradient(_single(x), _single(dy), kernel=kernel, stride=stride, padding=padding).astype(x.dtype)
    channels, features = x.shape[4], dy.shape[4]
    sides = _sides(channels, features, kernel, stride)
    # Positions that are summed over: the output's where x is shifted, else the input's.
    positions = [a if on_x else b for on_x, a, b in zip(sides, dy.shape[1:4], x.shape[1:4], strict=True)]
    copies_x = math.prod(k for k, on_x in zip(kernel, sides, strict=True) if on_x)
    copies_dy = math.prod(kernel) // copies_x
    held = (copies_x * channels + copies_dy * features) * x.shape[0] * positions[1] * positions[2] * x.dtype.itemsize
    slab, steps = _slabs(positions[0], 1, held / _PRODUCT_BYTES)
    # A slice that is too much itself is taken some rows at a time; rows of zeros fill the last part.
    parts = math.ceil(held / _PRODUCT_BYTES) if slab == 1 else 1
    rows = -(-positions[1] // parts)
    parts = -(-positions[1] // rows)
    positions[1] = rows * parts
    low, step = padding[0][0], stride[0]
    # What is read of each along the first axis for the positions from `start` on.
    x_read = (slab - 1) * step + kernel[0] if sides[0] else slab
    dy_read = slab if sides[0] else slab + kernel[0] - 1
    last = (steps - 1) * slab

    def product(start: jax.Array | int) -> jax.Array:
        x_start, x_last = (start * step - low, last * step - low) if sides[0] else (start, last)
        dy_shift = 0 if sides[0] else low - kernel[0] + 1
        images = _window(x, x_start, x_read, reach=(-low if sides[0] else 0, x_last))
        gradients = _window(dy, start + dy_shift, dy_read, reach=(dy_shift, last + dy_shift))
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


def _total(part: Callable[[jax.Array | int], jax.Array], count: int) -> jax.Array:
    """The sum of parts 0 to count - 1, one after another."""
    if count == 1:
        return part(0)
    shape = jax.eval_shape(lambda: part(0))
    total: jax.Array = lax.fori_loop(0, count, lambda i, sum_: sum_ + part(i), jnp.zeros(shape.shape, shape.dtype))
    return total


def _aligned(
    x: jax.Array, dy: jax.Array, axis: int, kernel: int, step: int, low: int, positions: int, *, on_x: bool
) -> tuple[jax.Array, jax.Array]:
    """Zeros around both, so that along an axis the shifts of one meet all positions of the other."""
    size, found = x.shape[axis], dy.shape[axis]
    if on_x:
        reach = (positions - 1) * step + kernel
        return _pad(x, axis, low, reach - low - size), _pad(dy, axis, 0, positions - found)
    return _pad(x, axis, 0, positions - size), _pad(dy, axis, kernel - 1 - low, positions + low - found)


def _single(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32)


def _slabs(depth: int, unit: int, filled: float) -> tuple[int, int]:
    """Slices in a slab, a multiple of `unit`, and how many slabs cover the depth; a unit fills so much of a slab."""
    units = -(-depth // unit)
    # A slab that overhangs the image could not be moved back onto it.
    most = max(1, depth // unit)
    steps = min(most, math.ceil(units * filled))
    if steps <= 1:
        return units * unit, 1
    slab = min(most, -(-units // steps)) * unit
    return slab, -(-depth // slab)


def _window(x: jax.Array, start: jax.Array | int, length: int, *, reach: tuple[int, int] | None = None) -> jax.Array:
    """Slices from `start` on, zeros where there are none; a traced start lies within `reach`."""
    size = x.shape[1]
    if reach is None or isinstance(start, int):
        first = int(start)
        return _pad(x, 1, -first, first + length - size)
    before, after = max(0, -reach[0]), max(0, reach[1] + length - size)
    inside = min(size, length)
    begin = jnp.clip(start, 0, size - inside)
    found = lax.dynamic_slice_in_dim(x, begin, inside, 1)
    if before == after == 0:
        return found
    found = _pad(found, 1, before, max(after, length - inside - before))
    return lax.dynamic_slice_in_dim(found, before + start - begin, length, 1)


def _pad(x: jax.Array, axis: int, low: int, high: int) -> jax.Array:
    """Zeros added to an axis, or voxels cut off it where negative."""
    if low == high == 0:
        return x
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (low, high, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), widths)


def _flat(images: jax.Array, kernels: jax.Array, *, stride: tuple[int, int], padding: object) -> jax.Array:
    """Each slice convolved in its plane."""
    batch = images.reshape(-1, *images.shape[2:])
    found = lax.conv_general_dilated(batch, kernels, stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))  # type: ignore[arg-type]
    return found.reshape(*images.shape[:2], *found.shape[1:])


Flat = Callable[[jax.Array, jax.Array], jax.Array]


def _every(slab: jax.Array, first: int, step: int, count: int) -> jax.Array:
    return lax.slice_in_dim(slab, first, first + (count - 1) * step + 1, step, axis=1)


def _summed(x: jax.Array, *, w: jax.Array, step: int, slab: int, flat: Flat) -> jax.Array:
    """One 2D convolution for each tap along the first axis."""
    return sum(
        (flat(_every(x, a, step, slab), w[a]) for a in range(1, w.shape[0])), flat(_every(x, 0, step, slab), w[0])
    )


def _stacked(x: jax.Array, *, w: jax.Array, step: int, slab: int, flat: Flat) -> jax.Array:
    """One 2D convolution of more channels."""
    channels = jnp.concatenate([_every(x, a, step, slab) for a in range(w.shape[0])], axis=-1)
    return flat(channels, jnp.concatenate(list(w), axis=2))


def _minimal(x: jax.Array, *, w: jax.Array, step: int, slab: int, flat: Flat) -> jax.Array:
    """Six 2D convolutions for four slices; `step` is one."""
    tiles = slab // _TILE
    read = [_every(x, offset, _TILE * step, tiles) for offset in range(_TILE + _TAPS - 1)]
    found = [flat(_mix(image, read), _mix(kernel, w)) for image, kernel in zip(_OF_IMAGE, _OF_KERNEL, strict=True)]
    slices = jnp.stack([_mix(row, found) for row in _TO_IMAGE], axis=2)
    return slices.reshape(slices.shape[0], slab, *slices.shape[3:])


def _mix(factors: np.ndarray, arrays: Iterable[jax.Array]) -> jax.Array:
    """The sum of arrays times their factors."""
    terms = [a if f == 1 else float(f) * a for f, a in zip(factors, arrays, strict=True) if f]
    return sum(terms[1:], terms[0])


def _interleave(phases: list[jax.Array], stride: Three) -> jax.Array:
    """Put the voxels of each phase between those of the others."""
    n, *counts, features = phases[0].shape
    y = jnp.stack(phases).reshape(*stride, n, *counts, features).transpose(3, 4, 0, 5, 1, 6, 2, 7)
    return y.reshape(n, *(count * s for count, s in zip(counts, stride, strict=True)), features)


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
