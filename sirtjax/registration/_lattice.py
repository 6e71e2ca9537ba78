from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer, Real, Shaped

from sirtjax.ops import FlatGrid, full_precision, sample_flat_linear
from sirtjax.typing import Array

Triple = tuple[Real[Array, "..."], ...]


def phases(array: Shaped[Array, "i j k *channels"], stride: int) -> Shaped[Array, "phases a b c *channels"]:
    """Returns the stride^3 interleaved sub-lattices of a lattice.

    (i, j, k, ...) becomes (stride^3, i/s, j/s, k/s, ...).
    """
    i, j, k, *rest = array.shape
    split = array.reshape(i // stride, stride, j // stride, stride, k // stride, stride, *rest)
    return jnp.moveaxis(split, (1, 3, 5), (0, 1, 2)).reshape(stride**3, i // stride, j // stride, k // stride, *rest)


def phase_offset(phase: Integer[Array, ""], stride: int) -> Real[Array, "3"]:
    """Returns the first node (3,) of a sub-lattice, in steps of the whole lattice."""
    return jnp.stack([phase // stride**2, phase // stride % stride, phase % stride])


def node_positions_mm(
    origin_mm: Float[Array, "3"],
    pitch_mm: Float[Array, "3"],
    shape: tuple[int, ...],
    stride: int,
    offset: Real[Array, "3"],
) -> Triple:
    """Returns world coordinates of a sub-lattice's nodes.

    Three arrays (i/s, 1, 1), (1, j/s, 1), (1, 1, k/s).
    """
    x, y, z = (
        origin_mm[axis] + pitch_mm[axis] * (offset[axis] + stride * jnp.arange(n // stride, dtype=jnp.float32))
        for axis, n in enumerate(shape)
    )
    return x[:, None, None], y[None, :, None], z[None, None, :]


@full_precision
def blur(array: Float[Array, "i j k *channels"], sigma_nodes: Float[Array, "3"]) -> Float[Array, "i j k *channels"]:
    """Applies a Gaussian to (i, j, k) or (i, j, k, c), with a traced width per axis.

    The result is renormalised at the faces.

    As products with three dense matrices: on a lattice of about a hundred nodes a side that costs less than a
    long kernel, for any width, and no size is left to compile for.
    """
    for axis in range(3):
        n = array.shape[axis]
        steps = (jnp.arange(n)[:, None] - jnp.arange(n)[None, :]) / jnp.maximum(sigma_nodes[axis], 1e-3)
        weights = jnp.exp(-0.5 * steps * steps)
        weights = weights / weights.sum(axis=1, keepdims=True)
        array = jnp.moveaxis(jnp.tensordot(weights, array, axes=(1, axis)), 0, axis)
    return array


def sample(array: Float[Array, "i j k channels"], index: Triple) -> Float[Array, "*points channels"]:
    """Returns trilinear samples of (i, j, k, c) at three arrays of fractional indices; zero outside."""
    shape = array.shape[:3]
    grid = FlatGrid(array.reshape(-1, *array.shape[3:]), shape, (-0.5,) * 3, tuple(n - 0.5 for n in shape))
    i, j, k = index
    return sample_flat_linear(grid, (i, j, k), fill=0.0)


@full_precision
def sample_smooth(array: Float[Array, "i j k channels"], index: Triple) -> Float[Array, "*points channels"]:
    """Samples of (i, j, k, c) as `sample`, but twice differentiable at the indices (n,).

    The values are taken as cubic B-spline coefficients, which blurs by 0.58 nodes more. Linear samples have a slope
    that jumps at every node and no second derivative in between, so derivatives of their slopes would be wrong.
    """
    shape, channels = array.shape[:3], array.shape[3]
    inside = jnp.ones(index[0].shape, bool)
    taps, weights = [], []
    for x, n in zip(index, shape, strict=True):
        inside = inside & (x >= -0.5) & (x < n - 0.5)
        base = jnp.floor(jax.lax.stop_gradient(x))
        t = x - base
        taps.append(jnp.clip(base.astype(jnp.int32)[:, None] + jnp.arange(-1, 3)[None], 0, n - 1))
        cubes = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        weights.append(jnp.stack(cubes, axis=-1) / 6)
    i, j, k = taps
    rows = (i[:, :, None, None] * shape[1] + j[:, None, :, None]) * shape[2] + k[:, None, None, :]
    values = jnp.einsum("na,nb,nk,nabkc->nc", *weights, array.reshape(-1, channels)[rows])
    return jnp.where(inside[:, None], values, 0.0)
