"""The agreement of two registered images, compared with deliberately wrong alignments of the same pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.losses import mind_ssc
from sirtjax.registration._affine import through
from sirtjax.registration._lattice import Triple, blur, sample
from sirtjax.registration._pair import ImagePair
from sirtjax.registration._view import floating_index
from sirtjax.typing import Array, Scalar

# Nodes of the grid over the compared region, and the least distance between them.
SHAPE, FINEST_MM = (40, 32, 32), 6.0
# Wrong alignments: shifts of up to this many nodes along each axis, without and with a reflection along an axis.
REACH, REFLECTED_REACH = 3, 1
# Blocks of this many nodes along each axis are also shifted one at a time; a block counts if this fraction of its
# nodes is compared, and it stays in place if its best shift is at most this many nodes long.
BLOCK, MIN_FILLED, IN_PLACE = 4, 0.5, 1.01
# A wrong alignment counts from this many nodes on.
WRONG = 2.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Fit:
    """The agreement of two registered images, and of wrong alignments of the same two.

    Attributes:
      distance: mean squared difference of descriptors at the transform, between 0 and 1.
      shifted: (n,) mean squared difference of descriptors at wrong shifts; infinite if too little overlaps.
      reflected: (3,) least of those after a reflection along each axis of the reference's lattice.
      blocks: number of blocks compared.
      blocks_in_place: fraction of them whose best shift is none, or one to the next node.
    """

    distance: Scalar
    shifted: Float[Array, "*batch n"]
    reflected: Float[Array, "*batch 3"]
    blocks: Scalar
    blocks_in_place: Scalar


def measure_fit(pair: ImagePair, affine: Float[Array, "4 4"], displacement_mm: Float[Array, "i j k 3"]) -> Fit:
    """Compares the agreement at x to affine (x + u(x)) with that at wrong alignments, as NumPy arrays.

    Descriptors of local structure are compared over the nodes that the registration compared. A transform that is
    right agrees best unshifted, overall and block by block; two images of different content agree nowhere.

    Args:
      pair: both images on their lattices.
      affine: (4, 4) floating_from_reference.
      displacement_mm: (i, j, k, 3) u on the reference's lattice.
    """
    low, pitch = _grid(np.asarray(pair.reference_weight), pair)
    found = _measure(pair, np.asarray(affine, np.float32), np.asarray(displacement_mm, np.float32), low, pitch)
    fit: Fit = jax.tree.map(np.asarray, found)
    return fit


def _grid(weight: NDArray[Any], pair: ImagePair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """First node and spacing, in mm, of the grid over the compared region."""
    low, high = np.zeros(3), np.asarray(weight.shape) - 1.0
    for axis in range(3):
        seen = np.flatnonzero(weight.any(axis=tuple(other for other in range(3) if other != axis)))
        if seen.size:
            low[axis], high[axis] = seen[0], seen[-1]
    pitch_mm = np.asarray(pair.reference_pitch_mm, np.float64)
    steps = np.asarray(SHAPE) - 1
    pitch = np.maximum((high - low) * pitch_mm / steps, FINEST_MM)
    middle = np.asarray(pair.reference_origin_mm, np.float64) + (low + high) / 2 * pitch_mm
    return (middle - pitch * steps / 2).astype(np.float32), pitch.astype(np.float32)


@cached_jit
def _measure(pair: ImagePair, affine: Array, displacement_mm: Array, low: Array, pitch: Array) -> Fit:
    axes = [low[axis] + pitch[axis] * jnp.arange(n, dtype=jnp.float32) for axis, n in enumerate(SHAPE)]
    x, y, z = (axis.ravel() for axis in jnp.meshgrid(*axes, indexing="ij"))
    own = tuple(
        (at - origin) / step
        for at, origin, step in zip((x, y, z), pair.reference_origin_mm, pair.reference_pitch_mm, strict=True)
    )
    index: Triple = (own[0], own[1], own[2])
    stack = jnp.stack([blur(pair.reference, 0.5 * pitch / pair.reference_pitch_mm), pair.reference_weight], axis=-1)
    reference, weight = (values.reshape(SHAPE) for values in sample(stack, index).T)
    u = sample(displacement_mm, index)
    moved = floating_index(through(affine, (x + u[:, 0], y + u[:, 1], z + u[:, 2])), pair)
    stack = jnp.stack([blur(pair.floating, 0.5 * pitch / pair.floating_pitch_mm), pair.floating_inside], axis=-1)
    warped, inside = (values.reshape(SHAPE) for values in sample(stack, moved).T)
    counted = (weight > 0.5).astype(jnp.float32)
    measured = (inside > 0.99).astype(jnp.float32)
    first = mind_ssc(reference, dilation=1)

    shifts = np.array(list(product(range(-REACH, REACH + 1), repeat=3)), np.int32)
    lengths = np.linalg.norm(shifts, axis=1)
    whole, blocks, filled = _at_shifts(first, counted, mind_ssc(warped, dilation=1), measured, shifts, REACH)
    here = int(np.argmin(lengths))
    compared = filled[here] >= MIN_FILLED * BLOCK**3
    best = jnp.argmin(blocks, axis=0)
    still = compared & (jnp.asarray(lengths)[best] <= IN_PLACE)

    def reflected(axis: int) -> Array:
        image, known = jnp.flip(warped, axis), jnp.flip(measured, axis)
        # Reflected about the middle of what both show, to the nearest node.
        both = jnp.sum(counted * measured, axis=tuple(other for other in range(3) if other != axis))
        n = SHAPE[axis]
        middle = jnp.sum(both * jnp.arange(n)) / jnp.maximum(jnp.sum(both), 1.0)
        by = jnp.round(2 * middle - (n - 1)).astype(jnp.int32)
        image, known = (jnp.roll(one, by, axis) for one in (image, known))
        near = np.array(list(product(range(-REFLECTED_REACH, REFLECTED_REACH + 1), repeat=3)), np.int32)
        return jnp.min(_at_shifts(first, counted, mind_ssc(image, dilation=1), known, near, REFLECTED_REACH)[0])

    return Fit(
        distance=whole[here],
        shifted=whole[np.flatnonzero(lengths >= WRONG)],
        reflected=jnp.stack([reflected(axis) for axis in range(3)]),
        blocks=jnp.sum(compared),
        blocks_in_place=jnp.sum(still) / jnp.maximum(jnp.sum(compared), 1),
    )


def _at_shifts(
    first: Array, counted: Array, second: Array, measured: Array, shifts: NDArray[np.int32], reach: int
) -> tuple[Array, Array, Array]:
    """Mean squared difference at each shift (n,), that of each block (n, blocks), and the nodes compared there."""
    around = [(reach, reach)] * 3
    second, measured = jnp.pad(second, [*around, (0, 0)]), jnp.pad(measured, around)
    total = jnp.sum(counted)

    def at(shift: Array) -> tuple[Array, Array, Array]:
        start = shift + reach
        there = jax.lax.dynamic_slice(second, (*start, 0), first.shape)
        weight = counted * jax.lax.dynamic_slice(measured, tuple(start), counted.shape)
        apart = weight * jnp.mean(jnp.square(first - there), axis=-1)
        sums, nodes = _block_sums(apart), _block_sums(weight)
        seen = jnp.sum(weight)
        mean = jnp.where(seen >= 0.3 * total, jnp.sum(apart) / jnp.maximum(seen, 1.0), jnp.inf)
        return mean, jnp.where(nodes >= MIN_FILLED / 2 * BLOCK**3, sums / jnp.maximum(nodes, 1.0), jnp.inf), nodes

    whole, blocks, filled = jax.lax.map(at, jnp.asarray(shifts))
    return whole, blocks, filled


def _block_sums(values: Array) -> Array:
    i, j, k = (n // BLOCK for n in SHAPE)
    return values.reshape(i, BLOCK, j, BLOCK, k, BLOCK).sum(axis=(1, 3, 5)).ravel()
