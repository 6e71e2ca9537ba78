from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.preprocess._config import Resampling

Shape = tuple[int, int, int]
Resize = Callable[[NDArray[Any], Sequence[int]], NDArray[Any]]
# Spacings from an affine contain its rounding errors; smaller differences count as equal.
EQUAL = 1e-6


def resampled_shape(shape: Sequence[int], spacing_mm: Sequence[float], new_spacing_mm: Sequence[float]) -> Shape:
    """Returns the shape after resampling, rounded as nnU-Net does (halves to the even number)."""
    i, j, k = (round(old / new * n) for old, new, n in zip(spacing_mm, new_spacing_mm, shape, strict=True))
    return int(i), int(j), int(k)


def coarse_axis(
    spacing_mm: Sequence[float], new_spacing_mm: Sequence[float], *, separate: bool | None, threshold: float
) -> int | None:
    """Returns the axis along which nnU-Net resamples slice by slice, or None.

    Args:
      spacing_mm: voxel spacing of the array, along its axes.
      new_spacing_mm: voxel spacing of the result.
      separate: whether to force it (True), forbid it (False) or decide by the spacings (None).
      threshold: coarsest over finest spacing above which slices are separate.
    """
    if separate is False:
        return None
    for spacing in [spacing_mm] if separate else [spacing_mm, new_spacing_mm]:
        if separate or max(spacing) / min(spacing) > threshold:
            coarsest = [axis for axis in range(3) if spacing[axis] >= max(spacing) * (1 - EQUAL)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def resample_image(
    image: Real[np.ndarray, "i j k"],
    shape: Shape,
    *,
    spacing_mm: Sequence[float],
    new_spacing_mm: Sequence[float],
    how: Resampling,
) -> Float[np.ndarray, "a b c"]:
    """Resamples a channel over the same field of view as nnU-Net v2 does, up to the last float32 bit.

    Args:
      image: (i, j, k) values in the network's axes.
      shape: voxels of the result.
      spacing_mm: voxel spacing of the image, along its axes.
      new_spacing_mm: voxel spacing of the result.
      how: orders of interpolation, and the rule for separate resampling of slices.
    """
    return np.asarray(
        _resample(
            image,
            shape,
            axis=coarse_axis(spacing_mm, new_spacing_mm, separate=how.separate_z, threshold=how.threshold),
            resize=lambda values, size: resize(values, size, order=how.order),
            order_z=how.order_z,
        ),
        np.float32,
    )


def resample_stage_labels(
    labels: Integer[np.ndarray, "i j k"],
    shape: Shape,
    *,
    spacing_mm: Sequence[float],
    new_spacing_mm: Sequence[float],
    how: Resampling,
) -> Integer[np.ndarray, "a b c"]:
    """Resamples a label map as nnU-Net v2 resamples the labels of a first stage.

    Every label is interpolated separately, and the largest wins; equals go to the nearest voxel's label, if it is
    among them, otherwise to the lower one.

    Args:
      labels: whole numbers in the network's axes.
      shape: voxels of the result.
      spacing_mm: voxel spacing of the labels, along their axes.
      new_spacing_mm: voxel spacing of the result.
      how: orders of interpolation, and the rule for separate resampling of slices.
    """
    axis = coarse_axis(spacing_mm, new_spacing_mm, separate=how.separate_z, threshold=how.threshold)
    found = _resample(
        labels,
        shape,
        axis=axis,
        resize=lambda values, size: _resize_labels(values, size, order=how.order),
        order_z=0,
    )
    return np.asarray(found).astype(labels.dtype)


def _resample(
    image: NDArray[Any], shape: Sequence[int], *, axis: int | None, resize: Resize, order_z: int
) -> NDArray[Any]:
    if tuple(shape) == image.shape:
        return image
    if axis is None:
        return resize(image, shape)
    plane = [n for a, n in enumerate(shape) if a != axis]
    slices = np.stack([resize(one, plane) for one in np.moveaxis(image, axis, 0)], axis=axis)
    if slices.shape[axis] == shape[axis]:
        return slices
    if order_z == 0:
        # Between two slices the upper one counts, as ITK and SciPy round.
        centres = (np.arange(shape[axis]) + 0.5) * (slices.shape[axis] / shape[axis]) - 0.5
        nearest = np.clip(np.floor(centres + 0.5).astype(int), 0, slices.shape[axis] - 1)
        return np.asarray(np.take(slices, nearest, axis=axis))
    scales = [old / new for old, new in zip(slices.shape, shape, strict=True)]
    points = np.meshgrid(*((np.arange(n) + 0.5) * s - 0.5 for n, s in zip(shape, scales, strict=True)), indexing="ij")
    return np.asarray(ndimage.map_coordinates(slices, points, order=order_z, mode="nearest"))


def resize(image: Real[np.ndarray, "..."], shape: Sequence[int], *, order: int) -> Float[np.ndarray, "..."]:
    """Resizes an array of two or three axes, with replicated borders, clipped to the input's range.

    What `scipy.ndimage.zoom` does tap by tap, as products with a matrix for each axis: several times faster, and equal
    up to the rounding of float64.
    """
    values = np.asarray(image)
    matrices = [_stretching(old, new, order) for old, new in zip(values.shape, shape, strict=True)]
    if values.ndim == 2:
        found = matrices[0] @ np.asarray(values, np.float64) @ matrices[1].T
    else:
        planes = np.empty((values.shape[0], *shape[1:]))
        for number, plane in enumerate(values):
            np.matmul(matrices[1] @ np.asarray(plane, np.float64), matrices[2].T, out=planes[number])
        found = (matrices[0] @ planes.reshape(len(planes), -1)).reshape(tuple(shape))
    return np.asarray(np.clip(found, float(values.min()), float(values.max()), out=found))


@lru_cache(maxsize=64)
def _stretching(old: int, new: int, order: int) -> NDArray[np.float64]:
    """(new, old): what each voxel of a row adds to each voxel of the stretched row; found by stretching unit rows."""
    if old == new:
        return np.eye(old)
    return np.stack([_zoom(row, (new,), order=order) for row in np.eye(old)], axis=1)


def _zoom(image: NDArray[Any], shape: Sequence[int], *, order: int) -> NDArray[np.float64]:
    values = np.asarray(image, np.float64)
    factors = [1 / (old / new) for old, new in zip(values.shape, shape, strict=True)]
    return np.asarray(ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True), np.float64)


def _resize_labels(labels: NDArray[Any], shape: Sequence[int], *, order: int) -> NDArray[Any]:
    # Ties are decided by equal scores: SciPy's own sums keep those that nnU-Net finds.
    nearest = _zoom(labels, shape, order=0)
    if order == 0:
        return nearest
    best = np.full(tuple(shape), -1.0)
    winner = np.zeros(tuple(shape))
    for value in np.unique(labels):
        score = _zoom(labels == value, shape, order=order).clip(0, 1)
        better = (score > best) | ((score == best) & (nearest == value))
        best[better], winner[better] = score[better], value
    return winner
