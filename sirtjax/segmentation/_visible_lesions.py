from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer, UInt
from numpy.typing import NDArray

from sirtjax import ops
from sirtjax.preprocess import to_grid, working_grid
from sirtjax.segmentation._lesion_detectability import RADIUS_MM, LesionDetectability, detectability_flags
from sirtjax.segmentation._liver_noise import LiverNoise, liver_noise, threshold_z
from sirtjax.segmentation._result import Flag
from sirtjax.volume import Geometry, LabelMap, Volume, bounding_box, crop_geometry

# Fine enough for lesions of 0.1 mL, coarse enough for a fast convolution; lesions lie up to 6 mm outside the liver.
SPACING_MM, MARGIN_VOXELS = (2.5, 2.5, 2.5), 4
# A component is compared with balls up to this many times the radius of its volume: a network often finds a part.
LARGER = 1.3
# In an image that can show lesions, larger components are retained: a lost lesion is worse than a false one, and the
# false ones are small (at most 0.6 mL on five digital phantoms).
SMALL_ML = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class VisibleLesions:
    """The lesions of an image that exceed its noise.

    Attributes:
      labels: (i, j, k) labels of the lesions that are retained.
      removed: number of components removed as noise.
      flags: `lesions_not_detectable`, if typical lesions are not detectable.
    """

    labels: UInt[np.ndarray, "i j k"]
    removed: int
    flags: tuple[Flag, ...]


def visible_lesions(
    volume: Volume,
    labels: UInt[np.ndarray, "i j k"],
    liver: LabelMap,
    *,
    modality: str,
    limits: LesionDetectability | None,
) -> VisibleLesions:
    """Removes components that do not exceed the noise of the liver, and flags images that show no lesions.

    A component is retained if the mean of a ball around one of its voxels differs from the liver around it more than
    pure noise does anywhere in the liver, with an expected number of false alarms per liver. This accounts for the size
    of the component and for the number of places. If typical lesions are detectable, all components from 1 mL are
    retained.

    Args:
      volume: image.
      labels: (i, j, k) labels of the components on the grid of the image, 0 elsewhere.
      liver: liver mask, lesions included.
      modality: "CT" or "MR".
      limits: limits of the model. None removes nothing and flags only the noise of the image.
    """
    parts = ops.components(labels > 0, connectivity=26)
    grid, inside = _liver_on_grid(volume.geometry, liver)
    if grid is None:
        return VisibleLesions(labels=labels, removed=0, flags=())
    places = _places(parts, volume.geometry, grid)
    suspected = np.zeros(grid.shape, bool)
    for place in places:
        suspected[place] = True
    array = np.asarray(volume.array)
    image = to_grid(volume, grid, fill=float(array.min()))
    noise = liver_noise(image, inside, suspected, spacing_mm=grid.spacing_mm)
    flags = detectability_flags(noise.median, noise.noise_at(RADIUS_MM), modality=modality, limits=limits)
    kept = labels
    removed: list[int] = []
    if limits is not None and noise.scales:
        sizes_ml = np.bincount(parts.ravel(), minlength=len(places) + 1)[1:] * volume.geometry.voxel_volume_ml
        removed = [
            number
            for number, (place, size_ml) in enumerate(zip(places, sizes_ml.tolist(), strict=True), start=1)
            if (flags or size_ml < SMALL_ML) and _significance(noise, place, size_ml, limits) <= 1
        ]
        kept = np.where(np.isin(parts, removed), labels.dtype.type(0), labels) if removed else labels
    return VisibleLesions(labels=kept, removed=len(removed), flags=flags)


def _significance(
    noise: LiverNoise, place: tuple[NDArray[np.intp], ...], volume_ml: float, limits: LesionDetectability
) -> float:
    """Largest contrast of a component relative to the threshold of its scale."""
    largest_mm = LARGER * (3 * 1000 * volume_ml / (4 * math.pi)) ** (1 / 3)
    share = limits.false_alarms / len(noise.scales)
    found = 0.0
    for number, scale in enumerate(noise.scales):
        if number == 0 or scale.radius_mm <= largest_mm:
            found = max(
                found, float(np.abs(noise.contrast[number][place]).max()) / threshold_z(scale, false_alarms=share)
            )
    return found


def _liver_on_grid(geometry: Geometry, liver: LabelMap) -> tuple[Geometry | None, Bool[np.ndarray, "i j k"]]:
    """Returns a grid around the liver, and the liver on it; None if no voxel of it is in the image."""
    whole = working_grid(geometry, spacing_mm=SPACING_MM, axes="LPS")
    mask = liver.mask(liver.names[0][1]).astype(np.float32)
    inside = to_grid(Volume(mask, liver.geometry, unit="1"), whole, fill=0.0) > 0.5
    if not inside.any():
        return None, inside
    start, stop = bounding_box(inside, margin=MARGIN_VOXELS)
    i, j, k = (slice(a, b) for a, b in zip(start, stop, strict=True))
    return crop_geometry(whole, start, stop), inside[i, j, k]


def _places(
    parts: Integer[np.ndarray, "i j k"], geometry: Geometry, grid: Geometry
) -> list[tuple[NDArray[np.intp], ...]]:
    """Returns the voxels of the grid nearest to those of each component."""
    voxels = np.argwhere(parts > 0)
    numbers = parts[tuple(voxels.T)]
    near = np.rint(grid.to_voxel(geometry.to_world(voxels))).astype(np.intp)
    near = np.clip(near, 0, np.asarray(grid.shape) - 1)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=1)[1:])
    groups = np.split(near[order], ends[:-1]) if ends.size else []
    return [tuple(np.unique(group, axis=0).T) for group in groups]
