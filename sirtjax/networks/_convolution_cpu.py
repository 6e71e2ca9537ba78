"""3D convolution and the gradient to its input as 2D convolutions, a slab of slices at a time.

Slices become the batch of 2D convolutions. Along the first axis, kernels of three run by Winograd's minimal filtering
F(4, 3): six 2D convolutions for four output slices instead of twelve (Lavin and Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016, arXiv 1509.09308). Processing in slabs keeps temporary arrays small enough
for the processor's caches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.networks._planes import (
    FEW_CHANNELS,
    TAPS,
    TILE,
    flat,
    stacked,
    stacked_in_rows,
    summed,
    winograd_conv,
)
from sirtjax.networks._rows import rows_of
from sirtjax.networks._slabs import Padding, Three, in_line, pad, single, slabs, window
from sirtjax.typing import Array

# Approximate size of a slab's temporary arrays. It was the fastest of several on a processor with 2 MB per core.
SLAB_BYTES = 6e6


def correlate(
    x: Float[Array, "n i j k channels"],
    w: Float[Array, "a b c channels features"],
    *,
    stride: Three,
    padding: Padding,
) -> Float[jax.Array, "n i_out j_out k_out features"]:
    """Computes `lax.conv_general_dilated` of x (n, i, j, k, in) with w (a, b, c, in, out)."""
    if x.dtype.itemsize < 4:
        # Half precision is emulated on CPUs, and minimal filtering would lose what little it has.
        return correlate(single(x), single(w), stride=stride, padding=padding).astype(x.dtype)
    taps, channels, features = w.shape[0], w.shape[3], w.shape[4]
    out = [(n + sum(p) - k) // s + 1 for n, p, k, s in zip(x.shape[1:4], padding, w.shape[:3], stride, strict=True)]
    depth, step, low = out[0], stride[0], padding[0][0]
    tiled = taps == TAPS and step == 1 and channels > FEW_CHANNELS and 6 * -(-depth // TILE) < 3 * depth
    voxels = x.shape[0] * (x.shape[2] * x.shape[3] * channels + out[1] * out[2] * features)
    unit, held = (TILE, 6 * voxels) if tiled else (1, taps * voxels)
    slab, steps = slabs(depth, unit, held * x.dtype.itemsize / SLAB_BYTES)
    read = (slab - 1) * step + taps
    few = channels <= FEW_CHANNELS
    rows = rows_of(w, step=stride[2], low=padding[2][0], columns=out[2]) if few else None
    if rows is None:
        plane = partial(flat, stride=stride[1:], padding=padding[1:])
        body = partial(winograd_conv if tiled else stacked if few else summed, w=w, step=step, slab=slab, flat=plane)
    else:
        plane = partial(flat, stride=(stride[1], 1), padding=(padding[1], (0, 0)))
        body = partial(stacked_in_rows, w=w, step=step, slab=slab, flat=plane, rows=rows)
    if steps == 1:
        return body(window(x, -low, read))[:, :depth]

    def write(index: jax.Array, y: jax.Array) -> jax.Array:
        # The last slab begins where it ends with the image.
        start = jnp.minimum(index * slab, depth - slab)
        found = body(window(x, start * step - low, read, reach=(-low, (depth - slab) * step - low)))
        return lax.dynamic_update_slice_in_dim(y, in_line(found), start, 1)

    size = out[1] * out[2] * features
    y: jax.Array = lax.fori_loop(0, steps, write, jnp.zeros((x.shape[0], depth, size), x.dtype))
    return y.reshape(x.shape[0], *out, features)


def input_gradient(
    dy: Float[Array, "n i_out j_out k_out features"],
    w: Float[Array, "a b c channels features"],
    *,
    shape: Three,
    stride: Three,
    padding: Padding,
) -> Float[jax.Array, "n i j k channels"]:
    """Computes the gradient of `correlate` with respect to its input from the gradient `dy`."""
    if stride == (1, 1, 1):
        back = tuple((k - 1 - low, k - 1 - high) for k, (low, high) in zip(w.shape[:3], padding, strict=True))
        return correlate(dy, w[::-1, ::-1, ::-1].swapaxes(3, 4), stride=stride, padding=back)  # type: ignore[arg-type]
    counts = [-(-n // s) for n, s in zip(shape, stride, strict=True)]
    if w.shape[3] <= FEW_CHANNELS:
        dx = _phases_together(dy, w, counts, stride=stride, padding=padding)
        return dx[:, : shape[0], : shape[1], : shape[2]]

    def phase(offsets: Three) -> jax.Array:
        """The voxels s * v + offset: each kernel tap reaches those of one offset."""
        part, shifts = _taps_of_phase(w, offsets, stride=stride, padding=padding)
        if 0 in part.shape:
            return jnp.zeros((dy.shape[0], *counts, w.shape[3]), dy.dtype)
        back = tuple(
            (k - 1 - shift, count - 1 + shift - (n - 1))
            for k, shift, count, n in zip(part.shape[:3], shifts, counts, dy.shape[1:4], strict=True)
        )
        return correlate(dy, part[::-1, ::-1, ::-1].swapaxes(3, 4), stride=(1, 1, 1), padding=back)  # type: ignore[arg-type]

    dx = _interleave([phase(offsets) for offsets in itertools.product(*map(range, stride))], stride)  # type: ignore[arg-type]
    return dx[:, : shape[0], : shape[1], : shape[2]]


def _taps_of_phase(
    w: Float[Array, "a b c channels features"], offsets: Iterable[int], *, stride: Three, padding: Padding
) -> tuple[Float[Array, "p q r channels features"], list[int]]:
    """The kernel taps that reach the voxels s * v + offset, and by how many output voxels the first is ahead of v."""
    reached = [divmod(o + low, s) for o, (low, _), s in zip(offsets, padding, stride, strict=True)]
    i, j, k = (first for _, first in reached)
    return w[i :: stride[0], j :: stride[1], k :: stride[2]], [shift for shift, _ in reached]


def _phases_together(
    dy: Float[Array, "n i_out j_out k_out features"],
    w: Float[Array, "a b c channels features"],
    counts: list[int],
    *,
    stride: Three,
    padding: Padding,
) -> jax.Array:
    """All phases of a strided input gradient as the features of one convolution.

    The kernels of each are zero where its taps do not reach, so that there is more to multiply, but few features
    on their own would leave most of each vector register empty.
    """
    parts, reaches = [], []
    for offsets in itertools.product(*map(range, stride)):
        part, shifts = _taps_of_phase(w, offsets, stride=stride, padding=padding)
        parts.append(part[::-1, ::-1, ::-1].swapaxes(3, 4))
        # Steps from a voxel of the input to those of the output that it reaches.
        reaches.append([(shift - taps + 1, shift) for shift, taps in zip(shifts, part.shape[:3], strict=True)])
    ends = [(min(r[axis][0] for r in reaches), max(r[axis][1] for r in reaches)) for axis in range(3)]
    for index, reach in enumerate(reaches):
        for axis, ((first, last), (low, high)) in enumerate(zip(reach, ends, strict=True)):
            parts[index] = pad(parts[index], axis, first - low, high - last)
    back = tuple((-low, count + high - n) for (low, high), count, n in zip(ends, counts, dy.shape[1:4], strict=True))
    found = correlate(dy, jnp.concatenate(parts, axis=-1), stride=(1, 1, 1), padding=back)  # type: ignore[arg-type]
    return _interleave(jnp.split(found, len(parts), axis=-1), stride)


def _interleave(phases: list[jax.Array], stride: Three) -> jax.Array:
    """Put the voxels of each phase between those of the others."""
    n, *counts, features = phases[0].shape
    y = jnp.stack(phases).reshape(*stride, n, *counts, features).transpose(3, 4, 0, 5, 1, 6, 2, 7)
    return y.reshape(n, *(count * s for count, s in zip(counts, stride, strict=True)), features)
