"""A slab of a 3D convolution as 2D convolutions of its slices, which are their batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Real

from sirtjax.networks._rows import Rows
from sirtjax.networks._slabs import in_line
from sirtjax.typing import Array

Flat = Callable[
    [Float[Array, "n slices j k channels"], Float[Array, "b c channels features"]],
    Float[jax.Array, "n slices j_out k_out features"],
]

# F(4, 3) at the points 0, 1, -1, 2, -2 and infinity.
TILE, TAPS = 4, 3
OF_IMAGE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
OF_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
TO_IMAGE = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

# Input channels up to which the slices that a kernel spans are stacked as channels of one 2D convolution.
FEW_CHANNELS = 4


def flat(
    images: Float[Array, "n slices j k channels"],
    kernels: Float[Array, "b c channels features"],
    *,
    stride: tuple[int, int],
    padding: object,
) -> Float[jax.Array, "n slices j_out k_out features"]:
    """Convolves each slice in its plane."""
    batch = images.reshape(-1, *images.shape[2:])
    found = lax.conv_general_dilated(batch, kernels, stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))  # type: ignore[arg-type]
    return found.reshape(*images.shape[:2], *found.shape[1:])


def every(
    slab: Float[Array, " n slices *plane"], first: int, step: int, count: int
) -> Float[jax.Array, " n taken *plane"]:
    return lax.slice_in_dim(slab, first, first + (count - 1) * step + 1, step, axis=1)


def summed(
    x: Float[Array, "n slices j k channels"],
    *,
    w: Float[Array, "a b c channels features"],
    step: int,
    slab: int,
    flat: Flat,
) -> Float[jax.Array, "n slab j_out k_out features"]:
    """Computes one 2D convolution per tap along the first axis."""
    return sum((flat(every(x, a, step, slab), w[a]) for a in range(1, w.shape[0])), flat(every(x, 0, step, slab), w[0]))


def stacked(
    x: Float[Array, "n slices j k channels"],
    *,
    w: Float[Array, "a b c channels features"],
    step: int,
    slab: int,
    flat: Flat,
) -> Float[jax.Array, "n slab j_out k_out features"]:
    """Computes one 2D convolution with stacked channels."""
    channels = jnp.concatenate([every(x, a, step, slab) for a in range(w.shape[0])], axis=-1)
    return flat(channels, jnp.concatenate(list(w), axis=2))


def stacked_in_rows(
    x: Float[Array, "n slices j k channels"],
    *,
    w: Float[Array, "a b c channels features"],
    step: int,
    slab: int,
    flat: Flat,
    rows: Rows,
) -> Float[jax.Array, "n slab j_out k_out features"]:
    """Computes `stacked` after rows were cut into blocks, so that slices are stacked by blocks."""
    return rows.voxels(stacked(rows.blocks(x), w=rows.bands(w), step=step, slab=slab, flat=flat))


def winograd_conv(
    x: Float[Array, "n slices j k channels"],
    *,
    w: Float[Array, "a b c channels features"],
    step: int,
    slab: int,
    flat: Flat,
) -> Float[jax.Array, "n slab j_out k_out features"]:
    """Computes four slices with six 2D convolutions; `step` is one."""
    tiles = slab // TILE
    n, _, *plane = x.shape
    slices = in_line(x)
    read = [every(slices, offset, TILE * step, tiles) for offset in range(TILE + TAPS - 1)]
    mixed = (mix(image, read).reshape(n, tiles, *plane) for image in OF_IMAGE)
    found = [flat(image, mix(kernel, w)) for image, kernel in zip(mixed, OF_KERNEL, strict=True)]
    lines = [in_line(one) for one in found]
    slices = jnp.stack([mix(row, lines) for row in TO_IMAGE], axis=2)
    return slices.reshape(n, slab, *found[0].shape[2:])


def mix(factors: Real[np.ndarray, " n"], arrays: Iterable[Float[Array, "*shape"]]) -> Float[jax.Array, "*shape"]:
    """Computes the sum of arrays times their factors."""
    terms = [jnp.asarray(a) if f == 1 else float(f) * jnp.asarray(a) for f, a in zip(factors, arrays, strict=True) if f]
    return sum(terms[1:], terms[0])
