"""Counts of liver and lungs, with those that the blur of the image put into the other organ moved back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dosimetry, partial_volume, pipeline, spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows._dose_grid import dose_grid
from sirtjax.workflows._lung_extension import whole_lung_counts
from sirtjax.workflows._partial_volume_regions import (
    block_means,
    coarsening,
    region_means,
    transfer_matrix,
    width_on_grid_mm,
)

Array = NDArray[np.float32]

SPACING_MM = 3.0
# A mask on the activity image, or with the pull transform to its frame: name, labels, transform.
Placed = tuple[str, LabelMap, spatial.Transform | None]


@dataclass(frozen=True, eq=False)
class OrganImage:
    """The activity image around liver and lungs on a grid of 3 mm, with its regions.

    Attributes:
      geometry: grid, which contains liver and lungs.
      counts: (i, j, k) activity image, interpolated.
      image: geometry of the activity image.
      liver, lungs: (i, j, k) fraction of each voxel in the organ; of the lungs, what the image shows.
      territories: (i, j, k) fraction of each voxel in each territory, by name.
      regions: (n, i, j, k) regions of even uptake: first those of the liver, then the lungs, then everything else.
    """

    geometry: Geometry
    counts: Float32[np.ndarray, "i j k"]
    image: Geometry
    liver: Float32[np.ndarray, "i j k"]
    lungs: Float32[np.ndarray, "i j k"]
    territories: dict[str, Float32[np.ndarray, "i j k"]]
    regions: Float32[np.ndarray, "n i j k"]

    @property
    def measured(self) -> tuple[Float32[np.ndarray, "i j k"], Float32[np.ndarray, "i j k"]]:
        """(i, j, k) counts in the liver and in the lungs, as the image shows them."""
        return self.counts * self.liver, self.counts * self.lungs


def organ_image(
    activity: Volume, liver: Placed, lungs: Placed, lesions: Sequence[Placed], territories: Sequence[Placed]
) -> OrganImage:
    """Returns the activity image and its regions on a grid of 3 mm that contains liver and lungs.

    Args:
      activity: activity image.
      liver: the liver.
      lungs: both lungs.
      lesions: lesions of the liver.
      territories: parts of the liver with an uptake of their own.

    Raises:
      GeometryError: an organ is empty or outside the activity image.
    """
    grid = dose_grid(activity.geometry, [liver, lungs], spacing_mm=SPACING_MM)
    counts = np.asarray(spatial.resample(activity, grid, order="linear").array, np.float32)

    def weight(placed: Placed) -> Array:
        name, labels, pull = placed
        return np.asarray(spatial.occupancy(labels, name, grid, transform=pull), np.float32)

    whole, air = weight(liver), weight(lungs)
    # Masks may overlap by a voxel at the diaphragm: it is liver. Tissue outside the image has no counts to show.
    seen = np.asarray(
        pipeline.field_of_view(activity.geometry.shape, activity.geometry.affine, grid.affine, grid.shape), np.float32
    )
    air = np.minimum(air, 1 - whole) * seen
    room, regions = whole.copy(), []
    divided = {placed[0]: weight(placed) for placed in territories}
    for inside in (*(weight(placed) for placed in lesions), *divided.values()):
        part = np.minimum(inside, room)
        room = room - part
        if float(part.sum(dtype=np.float64)) > 1.0:
            regions.append(part)
    if float(room.sum(dtype=np.float64)) > 1.0 or not regions:
        regions.append(room)
    rest = np.maximum(seen - whole - air, 0)
    return OrganImage(
        grid, np.maximum(counts, 0), activity.geometry, whole, air, divided, np.stack([*regions, air, rest])
    )


def whole_voxels(
    counts: Float32[np.ndarray, "i j k"], organ: Float32[np.ndarray, "i j k"]
) -> Float32[np.ndarray, "i j k"]:
    """Returns the counts of an organ in the voxels of which it fills at least half, with the same total.

    A voxel with both organs would give the dose of neither: the lung weighs a quarter of the liver.

    Args:
      counts: counts of the organ.
      organ: fraction of each voxel in the organ.
    """
    inside = organ >= 0.5
    full = np.divide(counts, organ, out=np.zeros_like(counts), where=inside)
    total = max(float(full.sum(dtype=np.float64)), 1e-30)
    scaled: Array = full * np.float32(float(counts.sum(dtype=np.float64)) / total)
    return scaled


def effective_fwhm_mm(fwhm_mm: float, breathing_mm: float | None) -> Float32[np.ndarray, "3"]:
    """Returns the resolution of an image that breathing blurs from head to feet, FWHM along x, y, z.

    A sinusoid of peak-to-peak p has the variance p^2 / 8, which adds to that of the scanner.

    Args:
      fwhm_mm: resolution of the scanner.
      breathing_mm: peak-to-peak motion; None counts as 0.

    Examples:
      >>> effective_fwhm_mm(12.0, 10.0).round(1).tolist()
      [12.0, 12.0, 14.600000381469727]
    """
    moved = 8 * math.log(2) * (breathing_mm or 0.0) ** 2 / 8
    return np.array([fwhm_mm, fwhm_mm, math.sqrt(fwhm_mm**2 + moved)], np.float32)


def reassigned_counts(
    organs: OrganImage, fwhm_mm: Float32[np.ndarray, "3"]
) -> tuple[Float32[np.ndarray, "i j k"], Float32[np.ndarray, "i j k"]]:
    """Returns the (i, j, k) counts of liver and lungs, blurred counts moved back.

    Regions have their means by the transfer matrix; see `partial_volume.reassign_spill`.

    Args:
      organs: image and regions.
      fwhm_mm: resolution along x, y, z.
    """
    spacing = np.asarray(organs.geometry.spacing_mm)
    # The grid interpolates the image, which widens each axis in the same way.
    widened = [
        width_on_grid_mm(float(mm), organs.image, organs.geometry, copied=False)[axis]
        for axis, mm in enumerate(fwhm_mm)
    ]
    width_mm = np.asarray(widened, np.float32)
    factors = coarsening(organs.geometry.shape, spacing, float(min(width_mm)))
    coarse = np.stack([block_means(region, factors) for region in organs.regions])
    matrix = transfer_matrix(coarse, (spacing * factors).astype(np.float32), width_mm)
    measured = region_means(coarse, block_means(organs.counts, factors))
    means = np.maximum(np.linalg.solve(matrix, measured), 0).astype(np.float32)
    models = [mean * region for mean, region in zip(means, organs.regions, strict=True)]
    expected = np.stack([np.sum(models[:-2], axis=0), models[-2], models[-1]])
    masks = np.stack([organs.liver, organs.lungs, organs.regions[-1]])
    found = np.asarray(_reassign(organs.counts, expected, masks, spacing.astype(np.float32), width_mm))
    return found[0], found[1]


def shunt_fraction(
    organs: OrganImage,
    liver: Float32[np.ndarray, "i j k"],
    lungs: Float32[np.ndarray, "i j k"],
    *,
    seen_fraction: float = 1.0,
) -> float:
    """Returns the lung shunt fraction of the counts of both organs.

    Args:
      organs: image and regions.
      liver: counts of the liver.
      lungs: counts of the lungs.
      seen_fraction: fraction of the lungs that the image shows; their counts are extended to the rest.
    """
    in_lungs = whole_lung_counts(
        lungs, organs.lungs, organs.liver, organs.geometry.spacing_mm, seen_fraction=seen_fraction
    )
    return dosimetry.spect_lung_shunt_fraction(in_lungs, float(liver.sum(dtype=np.float64)))


@cached_jit
def _reassign(
    counts: jax.Array, models: jax.Array, masks: jax.Array, spacing_mm: jax.Array, fwhm_mm: jax.Array
) -> jax.Array:
    return partial_volume.reassign_spill(counts, models, masks, spacing_mm, fwhm_mm)
