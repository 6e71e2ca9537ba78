from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from numpy.typing import NDArray

from sirtjax.preprocess._config import NnunetPreprocessing, Resampling
from sirtjax.preprocess._nnunet import NnunetCase, network_axes
from sirtjax.preprocess._resample import coarse_axis, resample_image

FloatArray = NDArray[np.float32]
# Rows of the result that are processed together, so that intermediate arrays fit into the processor's caches.
ROWS = 4


def restore_labels(
    logits: Float[np.ndarray, "i j k classes"],
    case: NnunetCase,
    how: NnunetPreprocessing,
    *,
    regions: Sequence[int] = (),
) -> UInt8[np.ndarray, "x y z"] | UInt16[np.ndarray, "x y z"]:
    """Returns labels on the voxel array from logits on the network's grid, as nnU-Net v2 does.

    Logits are resampled, then each voxel gets the class of the largest (the lower class of equals). This is done in
    slabs, so that full-size logits are never in memory. Voxels outside the cropped image are background.

    Args:
      logits: (i, j, k, classes) logits on the grid of `case.image`.
      case: result of `prepare_nnunet`.
      how: preprocessing of the plans.
      regions: label of each class, for a model of overlapping regions: written in this order if the class has a
        probability above one half.
    """
    classes = logits.shape[-1]
    kind: Any = np.uint8 if max([classes - 1, *regions]) < 256 else np.uint16
    labels = np.zeros([case.shape[axis] for axis in network_axes(how)], kind)
    inside = labels[tuple(slice(s, s + n) for s, n in zip(case.start, case.cropped_shape, strict=True))]
    for rows, slab in _slabs(np.moveaxis(logits, -1, 0), case, how):
        if regions:
            for one, value in zip(slab, regions, strict=True):
                inside[rows][one > 0] = value
            continue
        best = slab[0].copy()
        for number, one in enumerate(slab[1:], start=1):
            inside[rows][one > best] = number
            np.maximum(best, one, out=best)
    return labels.transpose(_back(how))


def restore_maps(
    maps: Float[np.ndarray, "i j k maps"], case: NnunetCase, how: NnunetPreprocessing, *, outside: Sequence[float]
) -> Float[np.ndarray, "x y z maps"]:
    """Returns maps such as probabilities on the grid of the voxel array, resampled like logits.

    Args:
      maps: (i, j, k, maps) values on the grid of `case.image`.
      case: result of `prepare_nnunet`.
      how: preprocessing of the plans.
      outside: value of each map in the cropped-away part of the image.
    """
    found = np.empty((maps.shape[-1], *(case.shape[axis] for axis in network_axes(how))), np.float32)
    found[...] = np.asarray(outside, np.float32)[:, None, None, None]
    inside = found[(slice(None), *(slice(s, s + n) for s, n in zip(case.start, case.cropped_shape, strict=True)))]
    for rows, slab in _slabs(np.moveaxis(maps, -1, 0), case, how):
        inside[:, rows] = slab
    return found.transpose([*(1 + axis for axis in _back(how)), 0])


def _back(how: NnunetPreprocessing) -> list[int]:
    axes = network_axes(how)
    return [axes.index(axis) for axis in range(3)]


def _slabs(maps: FloatArray, case: NnunetCase, how: NnunetPreprocessing) -> Iterator[tuple[slice, FloatArray]]:
    """Some rows of the cropped image at a time, and the (map, i, j, k) resampled there."""
    if how.logit_resampling.order == 1:
        yield from _linear_slabs(maps, case, how.logit_resampling, how.spacing_mm)
        return
    options: Any = {"spacing_mm": how.spacing_mm, "new_spacing_mm": case.spacing_mm, "how": how.logit_resampling}
    whole = np.stack([resample_image(one, case.cropped_shape, **options) for one in maps])
    yield slice(None), whole


def _linear_slabs(
    maps: FloatArray, case: NnunetCase, how: Resampling, spacing_mm: Sequence[float]
) -> Iterator[tuple[slice, FloatArray]]:
    """Linear interpolation one axis after the other: equal to a spline of order 1 up to float32's rounding."""
    coarse = coarse_axis(spacing_mm, case.spacing_mm, separate=how.separate_z, threshold=how.threshold)
    nearest = [axis == coarse and how.order_z == 0 for axis in range(3)]
    sizes = list(zip(maps.shape[1:], case.cropped_shape, strict=True))
    lower, upper, share = _between(*sizes[0], nearest=nearest[0])
    down, across = (_matrix(_between(*sizes[axis], nearest=nearest[axis]), sizes[axis][0]) for axis in (1, 2))
    for first in range(0, case.cropped_shape[0], ROWS):
        rows = slice(first, first + ROWS)
        slab = maps[:, lower[rows]]
        if share[rows].any():
            slab = slab + (maps[:, upper[rows]] - slab) * share[rows, None, None]
        yield rows, np.matmul(np.matmul(down, slab), across.T)


Between = tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]


def _between(old: int, new: int, *, nearest: bool) -> Between:
    """The two old voxels around each new one, and the fraction of the second."""
    centres = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    if nearest:
        chosen = np.floor(centres + 0.5).astype(np.intp)
        return chosen, chosen, np.zeros(new, np.float32)
    lower = np.minimum(np.floor(centres).astype(np.intp), max(old - 2, 0))
    return lower, np.minimum(lower + 1, old - 1), (centres - lower).astype(np.float32)


def _matrix(between: Between, old: int) -> FloatArray:
    """(new, old) weights: products with them are faster than gathering along the last axes."""
    lower, upper, share = between
    matrix = np.zeros((len(share), old), np.float32)
    matrix[np.arange(len(share)), lower] = 1 - share
    matrix[np.arange(len(share)), upper] += share
    return matrix
