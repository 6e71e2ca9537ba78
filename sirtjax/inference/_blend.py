from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from sirtjax.inference._tiles import TileLayout

Blending = Literal["gaussian", "uniform", "nnunet"]
# Weights along each axis of a tile, and of the canvas that all tiles cover.
TileRows = tuple[Float32[np.ndarray, " i"], Float32[np.ndarray, " j"], Float32[np.ndarray, " k"]]
CanvasRows = tuple[Float32[np.ndarray, " a"], Float32[np.ndarray, " b"], Float32[np.ndarray, " c"]]
# Standard deviation of the weights in tiles, as in nnU-Net v2.
SIGMA_FRACTION = 1 / 8
# What nnU-Net v2 scales its weights to, before they are rounded to half precision.
NNUNET_PEAK = 10


def blend_weights(shape: Sequence[int], *, blending: Blending) -> TileRows:
    """Returns the blending weights of a tile along each axis; their product is the weight of a voxel.

    "gaussian" is a unit impulse in the middle (voxel n // 2 of n) blurred with a standard deviation of an eighth of
    the tile and scaled to 1, as in nnU-Net v2, whose weights are the same up to a factor, in half precision.
    "uniform" counts all voxels alike.

    Raises:
      ValueError: the blending is unknown.
    """
    if blending not in ("gaussian", "uniform"):
        raise ValueError(f"blending must be one of gaussian, uniform, got {blending!r}")
    i, j, k = (_gaussian(int(n)) if blending == "gaussian" else np.ones(int(n), np.float32) for n in shape)
    return i, j, k


def tile_weights(
    layout: TileLayout, *, blending: Blending
) -> tuple[Float32[np.ndarray, "i j k"], tuple[Float32[np.ndarray, "..."], ...]]:
    """Returns the weights of a tile's voxels, and factors whose product is the sum over all tiles.

    "nnunet" is "gaussian" in half precision, as nnU-Net v2 stores it. Weights too small for half precision, far from
    the middle along several axes, become the smallest positive weight, so they are not a product of rows.

    Raises:
      ValueError: the blending is unknown.
    """
    if blending not in get_args(Blending):
        raise ValueError(f"blending must be one of {', '.join(get_args(Blending))}, got {blending!r}")
    if blending == "nnunet":
        weight = _half_gaussian(layout.output_shape)
        total = np.zeros(layout.canvas_shape, np.float32)
        for tile in layout.tiles():
            total[tuple(slice(s, s + n) for s, n in zip(tile, weight.shape, strict=True))] += weight
        return weight, (total,)
    i, j, k = blend_weights(layout.output_shape, blending=blending)
    a, b, c = summed_weights(layout, (i, j, k))
    return i[:, None, None] * j[:, None] * k, (a[:, None, None], b[:, None], c)


def summed_weights(layout: TileLayout, weights: TileRows) -> CanvasRows:
    """Returns the summed weights of all tiles in the canvas, as one factor per axis."""
    sums = []
    for size, starts, row in zip(layout.canvas_shape, layout.starts, weights, strict=True):
        total = np.zeros(size, np.float32)
        for start in starts:
            total[start : start + len(row)] += row
        sums.append(total)
    return sums[0], sums[1], sums[2]


def _half_gaussian(shape: Sequence[int]) -> Float32[np.ndarray, "i j k"]:
    impulse = np.zeros(tuple(shape))
    impulse[tuple(n // 2 for n in shape)] = 1
    blurred = ndimage.gaussian_filter(impulse, [n * SIGMA_FRACTION for n in shape], mode="constant")
    half = (blurred / (blurred.max() / NNUNET_PEAK)).astype(np.float16)
    half[half == 0] = half[half > 0].min()
    return np.asarray(half, np.float32)


def _gaussian(size: int) -> Float32[np.ndarray, " size"]:
    impulse = np.zeros(size)
    impulse[size // 2] = 1
    blurred = ndimage.gaussian_filter1d(impulse, size * SIGMA_FRACTION, mode="constant")
    # The filter ends after four standard deviations, which is half a tile: no weight is zero.
    return np.asarray(blurred / blurred.max(), np.float32)
