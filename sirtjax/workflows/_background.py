"""The background of the activity image, measured in a VOI of the case and subtracted everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sirtjax import io, ops, spatial
from sirtjax.errors import GeometryError, ImageFormatError, InputError
from sirtjax.volume import Volume
from sirtjax.workflows._case import MaskTable
from sirtjax.workflows._case_images import CaseImages, MeasuredBackground
from sirtjax.workflows._vois import joined_mask

# A voxel counts if at least this fraction of it is in the VOI; the image must show at least this fraction of the VOI.
INSIDE, SEEN = 0.5, 0.5


def without_background(images: CaseImages, table: MaskTable) -> CaseImages:
    """Returns the images with the mean of the VOI subtracted from every voxel of the activity image.

    Voxels below the mean become negative and stay so: setting them to 0 would leave the positive half of the noise, and
    all means would be too large.

    Args:
      images: images of the case; the activity image in its final unit.
      table: [masks.background] of the case.

    Raises:
      GeometryError: the VOI is outside the activity image.
      ImageFormatError: the VOI has only zeros, or nothing remains of the activity.
      InputError: the VOI is too small.
    """
    image = images.activity.volume
    labels = joined_mask("background", table, images)
    weight = spatial.occupancy(labels, "background", image.geometry)
    volume_ml = labels.volume_ml("background")
    seen = float(weight.sum(dtype=np.float64)) * image.geometry.voxel_volume_ml / max(volume_ml, 1e-9)
    if seen < SEEN:
        raise GeometryError(
            f"{table.path}: {100 * max(seen, 0.0):.0f} % of the background VOI is in the activity image, at least "
            f"{100 * SEEN:.0f} % is needed; contour it inside the field of view"
        )
    array = np.asarray(image.array, np.float32)
    inside = np.asarray(weight >= INSIDE)
    try:
        noise = ops.region_noise(array, inside)
    except InputError as error:
        raise type(error)(f"{table.path}: background VOI: {error}") from error
    if not array[inside].any():
        raise ImageFormatError(
            f"{table.path}: every voxel of the background VOI is 0, as outside the scanned field; contour it inside"
        )
    rest = array - np.float32(noise.mean)
    if rest.sum(dtype=np.float64) <= 0:
        raise ImageFormatError(
            f"{table.path}: the mean of the background VOI ({noise.mean:g} {image.unit}) is more than the mean of the "
            "whole image, so that no activity remains; contour it in a region without activity"
        )
    corrected = io.Image(volume=Volume(rest, image.geometry, unit=image.unit), source=images.activity.source)
    found = MeasuredBackground(noise=noise, inside=inside, volume_ml=volume_ml, seen_fraction=seen)
    return replace(images, activity=corrected, background=found)
