from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy.typing import NDArray

from sirtjax import ops
from sirtjax.errors import ModelError
from sirtjax.preprocess._config import NnunetPreprocessing
from sirtjax.preprocess._normalize import normalise_channel
from sirtjax.preprocess._resample import resample_image, resample_stage_labels, resampled_shape

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
Three = tuple[int, int, int]
# Value outside the non-zero region in the labels of a first stage.
OUTSIDE = -1


@dataclass(frozen=True, kw_only=True)
class NnunetCase:
    """The input of an nnU-Net, and the data for the resampling of its output to the image.

    Attributes:
      image: (i, j, k, channel) image in the network's axes and spacing.
      shape: shape of the original voxel array.
      start: first voxel of the cropped part, in the network's axes before resampling.
      cropped_shape: voxels of that part.
      spacing_mm: voxel spacing of that part.
    """

    image: Float[np.ndarray, "i j k channels"]
    shape: Three
    start: Three
    cropped_shape: Three
    spacing_mm: tuple[float, float, float]


def prepare_nnunet(
    channels: Sequence[Shaped[np.ndarray, "i j k"]],
    *,
    spacing_mm: Sequence[float],
    how: NnunetPreprocessing,
    previous_labels: Integer[np.ndarray, "i j k"] | None = None,
    previous_values: Sequence[int] = (),
) -> NnunetCase:
    """Transposes, crops, normalises and resamples as nnU-Net v2 does, up to the last float32 bit.

    Args:
      channels: (i, j, k) voxels of each channel, all on one grid, oriented as the model's reader orients them.
      spacing_mm: voxel spacing along i, j, k.
      how: preprocessing of the plans.
      previous_labels: (i, j, k) result of the first stage of a cascade.
      previous_values: labels of that result, each of which becomes a channel.

    Raises:
      ModelError: number of channels differs from the model's, channels on several grids, or an image of zeros.
    """
    if len(channels) != len(how.channels):
        raise ModelError(f"the model takes {len(how.channels)} images (channels), got {len(channels)}")
    shapes = {np.shape(channel) for channel in channels}
    if len(shapes) > 1:
        raise ModelError(f"the channels must share one grid, got arrays of {', '.join(map(str, sorted(shapes)))}")
    axes = network_axes(how)
    images = [_transposed(channel, axes, np.float32) for channel in channels]
    present = np.logical_or.reduce([image != 0 for image in images])
    if not present.any():
        raise ModelError("the image is zero everywhere: there is nothing to segment")
    box = _box(present)
    spacing = [float(np.float32(spacing_mm[axis])) for axis in axes]  # the precision image headers have
    needs_region = previous_labels is not None or any(one.mask for one in how.channels)
    region = ops.binary_fill_holes(present)[box] if needs_region else present[box]
    labels = None
    if previous_labels is not None:
        labels = np.array(_transposed(previous_labels, axes, np.int16)[box])
        labels[(labels == 0) & ~region] = OUTSIDE
    inside = region if labels is None else labels >= 0
    normalised = [
        normalise_channel(image[box], one, inside=inside if one.mask else None)
        for image, one in zip(images, how.channels, strict=True)
    ]
    cropped: Three = normalised[0].shape
    shape = resampled_shape(cropped, spacing, how.spacing_mm)
    if min(shape) < 1:
        raise ModelError(f"the image shrinks to {shape} voxels of {how.spacing_mm} mm: it is too thin for the model")
    grids: Any = {"spacing_mm": spacing, "new_spacing_mm": how.spacing_mm}
    resampled = [resample_image(image, shape, how=how.image_resampling, **grids) for image in normalised]
    if labels is not None:
        coarse = resample_stage_labels(labels, shape, how=how.label_resampling, **grids)
        resampled += [np.asarray(coarse == value, np.float32) for value in previous_values]
    i, j, k = (part.start for part in box)
    return NnunetCase(
        image=np.stack(resampled, axis=-1),
        shape=np.asarray(channels[0]).shape,
        start=(i, j, k),
        cropped_shape=cropped,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
    )


def network_axes(how: NnunetPreprocessing) -> Three:
    """Returns the voxel axis (0, 1, 2 for i, j, k) of each axis of the network.

    nnU-Net's readers give arrays with the axes reversed; the plans transpose those.
    """
    a, b, c = (2 - axis for axis in how.transpose_forward)
    return a, b, c


def _transposed(array: NDArray[Any], axes: Three, kind: Any) -> NDArray[Any]:
    """A view in the network's axes of an array laid out as nnU-Net's readers do: the reversed axes contiguous."""
    reversed_axes = np.ascontiguousarray(np.asarray(array).transpose(2, 1, 0), dtype=kind)
    return reversed_axes.transpose([2 - axis for axis in axes])


def _box(mask: Mask) -> tuple[slice, slice, slice]:
    found = []
    for axis in range(3):
        at = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append(slice(int(at[0]), int(at[-1]) + 1))
    return found[0], found[1], found[2]
