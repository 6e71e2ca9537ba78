"""Slabs of slices along the first axis of (n, i, j, k, c) images."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Integer

from sirtjax.typing import Array

Three = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def single(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return x.astype(jnp.float32)


def slabs(depth: int, unit: int, filled: float) -> tuple[int, int]:
    """Returns the slices per slab, a multiple of `unit`, and the number of slabs that cover the depth."""
    units = -(-depth // unit)
    steps = min(units, math.ceil(units * filled))
    # A slab that overhangs the image could not be moved back onto it.
    most = max(1, depth // unit)
    if steps <= 1 or most == 1:
        return units * unit, 1
    slab = min(most, -(-units // steps)) * unit
    return slab, -(-depth // slab)


def in_line(x: Float[Array, " n slices *plane"]) -> Float[Array, "n slices size"]:
    """Flattens each slice to one axis, so that loops over it fill the vector registers."""
    return x.reshape(*x.shape[:2], -1)


def window(
    x: Float[Array, " n slices *plane"],
    start: Integer[jax.Array, ""] | int,
    length: int,
    *,
    reach: tuple[int, int] | None = None,
) -> Float[Array, " n length *plane"]:
    """Slices from `start` on, zeros where there are none; a traced start lies within `reach`."""
    size, plane = x.shape[1], x.shape[2:]
    if reach is None or isinstance(start, int):
        first = int(start)
        return pad(x, 1, -first, first + length - size)
    slices = in_line(x)
    lowest, highest = reach
    before, after = max(0, -lowest), max(0, highest + length - size)
    inside = min(size, length)

    def within() -> jax.Array:
        return lax.dynamic_slice_in_dim(slices, start, length, 1)

    def across() -> jax.Array:
        begin = jnp.clip(start, 0, size - inside)
        held = lax.dynamic_slice_in_dim(slices, begin, inside, 1)
        padded = pad(held, 1, before, max(after, length - inside - before))
        return lax.dynamic_slice_in_dim(padded, before + start - begin, length, 1)

    found: jax.Array
    # The result of a condition is stored. Fused into the operation that reads it, the positions of the slices would be
    # computed again for every number, which takes half the time of minimal filtering.
    if before == after == 0:
        found = lax.cond(start == lowest, lambda: slices[:, lowest : lowest + length], within)
    elif inside < length:
        found = across()
    else:
        found = lax.cond((start < 0) | (start + length > size), across, within)
    return found.reshape(*found.shape[:2], *plane)


def pad(x: Float[Array, "..."], axis: int, low: int, high: int) -> Float[Array, "..."]:
    """Pads an axis with zeros; a negative number removes voxels."""
    if low == high == 0:
        return x
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (low, high, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), widths)
