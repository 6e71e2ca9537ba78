from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real
from numpy.typing import NDArray

from sirtjax.ops import namespace
from sirtjax.typing import Array

Floats = NDArray[np.float64]
Box = tuple[slice, slice, slice]

# A smaller fraction of a voxel is what rounding and interpolation leave at the edge of a VOI.
SLIVER = 1e-4
# A VOI with at least this many samples has a DVH whose steps are below 0.05 % of the volume.
ENOUGH_SAMPLES = 4096
MAXIMUM_SUBSAMPLES = 12
# Leaves 1e-4 of a voxel, which the last scaling removes.
BISECTIONS = 14


def subsamples_for(voxels: int) -> int:
    """Returns the sub-samples per axis that a VOI of so many voxels needs for a DVH without steps."""
    return int(np.clip(np.ceil((ENOUGH_SAMPLES / voxels) ** (1 / 3) - 1e-9), 1, MAXIMUM_SUBSAMPLES))


def histogram_size(voxels: int) -> tuple[int, int]:
    """Returns the samples per axis of a VOI, and a capacity with a margin for `voi_samples`.

    The capacity is a power of two, so that VOIs of similar size share a compiled program.
    """
    count = subsamples_for(voxels)
    return count, 1 << max(4, int(np.ceil(np.log2(1.25 * voxels))))


def subvoxel_samples(
    dose_gy: Real[np.ndarray, "i j k"],
    weight: Real[np.ndarray, "i j k"],
    box: Box,
    inside: Bool[np.ndarray, "a b c"],
    *,
    subsamples: int,
    fine: Real[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
    """Returns doses, widths and weights of `subsamples`^3 parts per voxel, conserving both per voxel.

    The dose within a voxel is linear, its slopes limited so that no sample leaves the range of the 26
    neighbours; the mean of the samples of a voxel is the voxel's dose. The occupied part of an edge voxel is
    where the linearly interpolated occupancy is highest, filled up to the voxel's own occupancy, so that the
    volume is that of the voxel weights while the surface runs through the voxel where its neighbours say.

    Args:
      dose_gy: (i, j, k) dose per voxel.
      weight: (i, j, k) occupancy in [0, 1].
      box: the bounding box of the VOI in the grid.
      inside: the voxels of the box to sample.
      subsamples: points per axis and voxel.
      fine: occupancy of each sub-point, if known, on a grid `subsamples` times as fine.

    Returns:
      Doses in Gy at the middle of the parts, the width of the dose interval of each part in Gy, and weights (each
      voxel's sum to its occupancy), (voxels * subsamples^3,) each.

    Reference:
      Slope limiting after Barth & Jespersen, AIAA paper 89-0366, 1989, doi:10.2514/6.1989-366; filling along
      the occupancy after the volume-of-fluid method, Hirt & Nichols, J Comput Phys 39:201, 1981,
      doi:10.1016/0021-9991(81)90145-5.
    """
    voxels = np.argwhere(inside)
    dose = _patches(_with_margin(dose_gy, box), voxels)
    offsets = (np.arange(subsamples) + 0.5) / subsamples - 0.5
    samples, slopes = linear_dose(dose, offsets)
    occupied = _patches(_with_margin(weight, box), voxels)
    weights = _filled(occupied, offsets) if fine is None else _blocks(fine, subsamples)[box][inside].astype(np.float64)
    spread = (np.abs(slopes).max(axis=1) / subsamples)[:, None, None, None]
    # The occupied part of an edge point is on its inner side: if the dose changes across the edge, that part has a
    # narrower range of doses, and those of that side.
    empty = (1 - np.minimum(weights, 1)) * inward(slopes, occupied)[:, None, None, None]
    samples = samples + empty * spread / 2
    spread = spread * (1 - np.abs(empty))
    return samples.ravel(), spread.ravel(), weights.ravel() / subsamples**3


def voxel_spreads_gy(
    dose_gy: Real[np.ndarray, "i j k"], box: Box, inside: Bool[np.ndarray, "a b c"]
) -> Float[np.ndarray, " voxels"]:
    """Computes the width over which the dose of each whole voxel of a VOI is spread.

    That is the difference between the faces of the voxel across which the dose changes most. Neighbours along
    that axis then join without a gap or an overlap.

    Args:
      dose_gy: (i, j, k) dose per voxel.
      box: the bounding box of the VOI in the grid.
      inside: the voxels of the box.

    Returns:
      (voxels,) Gy.
    """
    dose = _with_margin(dose_gy, box, np.float32)
    at = np.flatnonzero(np.pad(inside, 1))
    strides = (dose.shape[1] * dose.shape[2], dose.shape[2], 1)
    flat = dose.ravel()
    centre = flat[at]
    width = np.zeros(len(at), np.float32)
    for stride in strides:
        # A dose next to the VOI that is not finite has no slope.
        slope = limited_slopes(flat[at + stride] - centre, centre - flat[at - stride])
        np.maximum(width, np.abs(slope), out=width)
    return width


def coarse_fraction(fine: Real[np.ndarray, "i j k"], factor: int) -> Float[np.ndarray, "a b c"]:
    """Computes the occupancy of whole voxels from a grid `factor` times as fine."""
    return np.asarray(_blocks(fine, factor).mean(axis=(3, 4, 5), dtype=np.float32))


def _blocks(fine: NDArray[Any], factor: int) -> NDArray[Any]:
    """(n i, n j, n k) as (i, j, k, n, n, n)."""
    i, j, k = (size // factor for size in fine.shape)
    return fine.reshape(i, factor, j, factor, k, factor).transpose(0, 2, 4, 1, 3, 5)


def _with_margin(array: NDArray[Any], box: Box, dtype: type[np.floating[Any]] = np.float64) -> NDArray[Any]:
    """The box and one voxel around it; beyond the grid the edge repeats, so that the slope is 0."""
    spans = list(zip(box, array.shape, strict=True))
    wide = tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in spans)
    missing = [(int(s.start == 0), int(s.stop == n)) for s, n in spans]
    return np.pad(np.asarray(array[wide], dtype), missing, mode="edge")


def _patches(array: Floats, inside: NDArray[np.intp]) -> Floats:
    """The 3x3x3 neighbourhood of each listed voxel, (voxels, 3, 3, 3); `array` carries a margin of one."""
    windows = np.lib.stride_tricks.sliding_window_view(array, (3, 3, 3))
    return np.ascontiguousarray(windows[tuple(inside.T)])


def limited_slopes(ahead: Float[Array, "..."], behind: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns central differences, at most twice the smaller side, 0 at an extremum."""
    xp = namespace(ahead)
    size = xp.minimum(xp.abs(ahead + behind) / 2, 2 * xp.minimum(xp.abs(ahead), xp.abs(behind)))
    result: Float[Array, "..."] = xp.where(ahead * behind > 0, size * xp.sign(ahead), 0)
    return result


def linear_dose(
    patches: Float[Array, "voxels 3 3 3"], offsets: Float[np.ndarray, " n"]
) -> tuple[Float[Array, "voxels n n n"], Float[Array, "voxels 3"]]:
    """Returns limited linear doses (voxels, n, n, n) and slopes (voxels, 3)."""
    xp = namespace(patches)
    centre = patches[:, 1, 1, 1]
    ahead = xp.stack([patches[:, 2, 1, 1], patches[:, 1, 2, 1], patches[:, 1, 1, 2]], axis=1) - centre[:, None]
    behind = centre[:, None] - xp.stack([patches[:, 0, 1, 1], patches[:, 1, 0, 1], patches[:, 1, 1, 0]], axis=1)
    slopes = limited_slopes(ahead, behind)
    reach = xp.abs(slopes).sum(axis=1) / 2
    flat = patches.reshape(len(patches), 27)
    room = xp.minimum(flat.max(axis=1) - centre, centre - flat.min(axis=1))
    slopes = slopes * (xp.minimum(reach, room) / xp.where(reach > 0, reach, 1.0))[:, None]
    along = slopes[:, :, None] * offsets[None, None]
    samples = (
        centre[:, None, None, None]
        + along[:, 0, :, None, None]
        + along[:, 1, None, :, None]
        + along[:, 2, None, None, :]
    )
    return samples, slopes


def inward(slopes: Float[Array, "voxels 3"], occupied: Float[Array, "voxels 3 3 3"]) -> Float[Array, " voxels"]:
    """Returns the cosine between the gradients of dose and occupancy per voxel, (voxels,)."""
    xp = namespace(slopes, occupied)
    inner = xp.stack(
        [
            occupied[:, 2, 1, 1] - occupied[:, 0, 1, 1],
            occupied[:, 1, 2, 1] - occupied[:, 1, 0, 1],
            occupied[:, 1, 1, 2] - occupied[:, 1, 1, 0],
        ],
        axis=1,
    )
    size = _length(xp, slopes) * _length(xp, inner)
    result: Float[Array, " voxels"] = (slopes * inner).sum(axis=1) / xp.where(size > 0, size, 1.0)
    return result


def _length(xp: Any, vectors: Any) -> Any:
    # The square root of 0 has no derivative.
    squared = (vectors * vectors).sum(axis=1)
    return xp.where(squared > 0, xp.sqrt(xp.where(squared > 0, squared, 1.0)), 0.0)


def hat_weights(offsets: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    """Returns the weights of the neighbours and the voxel at each offset, (n, 3)."""
    return np.stack([np.maximum(0, -offsets), 1 - np.abs(offsets), np.maximum(0, offsets)], axis=1)


def _filled(patches: Floats, offsets: Floats) -> Floats:
    """Occupancy of each sub-point, (voxels, n, n, n), with the voxel's own occupancy as its mean."""
    hat = hat_weights(offsets)
    own = patches[:, 1, 1, 1]
    count = len(offsets)
    filled = np.broadcast_to(own[:, None, None, None], (len(patches), count, count, count)).copy()
    score = np.einsum("vabc,ia,jb,kc->vijk", patches, hat, hat, hat, optimize=True)
    low, high = score.min(axis=(1, 2, 3)), score.max(axis=(1, 2, 3))
    edge = (own < 1) & (high - low > 1e-6)
    if edge.any():
        filled[edge] = _above_level(score[edge], own[edge], low[edge], high[edge])
    return filled


def _above_level(score: Floats, share: Floats, low: Floats, high: Floats) -> Floats:
    """Ramps of `score` around the level that leaves a fraction `share` of each voxel above it."""
    # The ramp is one sub-point wide, so that points on one layer share the remaining volume.
    ramp = (high - low) / score.shape[1]
    below, above = low - ramp, high + ramp

    def at(level: Floats) -> Floats:
        height = (score - level[:, None, None, None]) / ramp[:, None, None, None]
        return np.asarray(np.minimum(np.maximum(height + 0.5, 0.0), 1.0))

    for _ in range(BISECTIONS):
        level = (below + above) / 2
        too_full = at(level).mean(axis=(1, 2, 3)) > share
        below, above = np.where(too_full, level, below), np.where(too_full, above, level)
    filled = at((below + above) / 2)
    scale = share / np.maximum(filled.mean(axis=(1, 2, 3)), np.finfo(float).tiny)
    return np.asarray(filled * scale[:, None, None, None])
