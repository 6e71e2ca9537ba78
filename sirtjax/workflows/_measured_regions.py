"""The regions of the activity image on its own grid, and the noise of their activity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from sirtjax import ops, spatial
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.workflows._case import Case
from sirtjax.workflows._lung_extension import whole_lung_counts
from sirtjax.workflows._products import AllStepResults
from sirtjax.workflows._vois import chosen_masks

RESERVED = ("liver", "lungs", "lesions", "background")


@dataclass(frozen=True)
class ActivityScale:
    """The conversion of a sum over voxels of the activity image to MBq at the injection."""

    mbq_per_sum: float

    def mbq(self, total: float) -> float:
        """Returns the activity of a sum over voxels."""
        return self.mbq_per_sum * total


@dataclass(frozen=True, eq=False)
class LungWeights:
    """The lungs on the grid of the activity image.

    Attributes:
      weight: (i, j, k) fraction of each voxel in the lungs and outside the liver.
      whole_ml: volume of the lungs, whether or not the activity image shows all of it.
    """

    weight: Float32[np.ndarray, "i j k"]
    whole_ml: float


@dataclass(frozen=True, eq=False)
class MeasuredRegions:
    """The activity image and its regions, which do not overlap.

    Attributes:
      image: (i, j, k) activity image, in Bq/mL or counts, after all corrections.
      spacing_mm: voxel spacing.
      voxel_ml: volume of a voxel.
      liver: (i, j, k) fraction of each voxel in the liver.
      lesions: (i, j, k) fraction of each voxel in each lesion, by name; most of it is also in the liver.
      lungs: lungs; None without a mask.
      extrahepatic: (i, j, k) fraction of each voxel in each extrahepatic VOI and in none of the regions before it.
      background_error: standard error of the subtracted background, per voxel; 0 without one.
    """

    image: Float32[np.ndarray, "i j k"]
    spacing_mm: tuple[float, float, float]
    voxel_ml: float
    liver: Float32[np.ndarray, "i j k"]
    lesions: dict[str, Float32[np.ndarray, "i j k"]]
    lungs: LungWeights | None
    extrahepatic: dict[str, Float32[np.ndarray, "i j k"]]
    background_error: float

    def total(self, weight: Float32[np.ndarray, "i j k"]) -> float:
        """Returns the sum of the image over a region."""
        return float(np.sum(self.image * weight, dtype=np.float64))

    def volume_ml(self, weight: Float32[np.ndarray, "i j k"]) -> float:
        """Returns the volume of a region."""
        return float(weight.sum(dtype=np.float64)) * self.voxel_ml

    def whole_lungs_total(self, lungs: LungWeights) -> float:
        """Returns the sum of the image over the whole lungs, of which it shows a part."""
        seen_fraction = min(self.volume_ml(lungs.weight) / lungs.whole_ml, 1.0)
        return whole_lung_counts(
            self.image * lungs.weight, lungs.weight, self.liver, self.spacing_mm, seen_fraction=seen_fraction
        )

    def noise_of_mean(self, weight: Float32[np.ndarray, "i j k"]) -> float | None:
        """Returns the standard error of the mean of a region by its own voxels; None if it has too few."""
        try:
            return ops.region_noise(self.image, weight >= 0.5).standard_error
        except InputError:
            return None

    def error_of_total(self, weight: Float32[np.ndarray, "i j k"], noise_of_mean: float) -> float:
        """Returns the standard error of the sum over a region, from its noise and the subtracted background."""
        return math.hypot(noise_of_mean, self.background_error) * float(weight.sum(dtype=np.float64))


def measured_regions(case: Case, products: AllStepResults) -> MeasuredRegions:
    """Returns liver, lesions, lungs and extrahepatic VOIs on the grid of the activity image.

    Raises:
      GeometryError: an extrahepatic VOI is outside the image, or inside liver and lungs.
      ConfigError: an extrahepatic VOI has the name of another VOI.
    """
    images, forward = products.images, products.registration.transform
    grid = images.activity.volume.geometry
    placed = {}
    for voi in (products.liver, *products.lesions, *([] if products.lungs is None else [products.lungs])):
        pull = forward if voi.frame == "diagnostic" else None
        placed[voi.name] = np.asarray(spatial.occupancy(voi.labels, voi.name, grid, transform=pull), np.float32)
    liver, lungs = placed.pop("liver"), None
    if products.lungs is not None:
        weight = np.minimum(placed.pop("lungs"), 1 - liver)
        own = products.resampling.lungs
        shown_ml = float(weight.sum(dtype=np.float64)) * grid.voxel_volume_ml
        lungs = LungWeights(weight, shown_ml if own is None or own.seen_fraction == 1 else own.warped_ml)
    taken = liver if lungs is None else liver + lungs.weight
    extrahepatic = {}
    table = case.masks.extrahepatic
    for name, labels in ({} if table is None else chosen_masks(table, images)).items():
        if name.strip().casefold() in {*RESERVED, *(other.casefold() for other in placed)}:
            raise ConfigError(f"masks.extrahepatic: a VOI cannot be named {name!r}; rename it with `labels`")
        (value,) = [value for value, found in labels.names if found == name]
        outside = np.minimum(np.asarray(spatial.occupancy(labels, name, grid), np.float32), 1 - taken)
        if float(outside.sum(dtype=np.float64)) * grid.voxel_volume_ml < 0.5 * labels.volume_ml(name):
            path = "" if table is None else f"{table.path}: "
            raise GeometryError(
                f"{path}less than half of the extrahepatic VOI {name!r} (label {value}) is in the activity image and "
                "outside liver, lungs and the VOIs before it; check the mask"
            )
        extrahepatic[name] = outside
        taken = taken + outside
    background = images.background
    return MeasuredRegions(
        image=np.asarray(images.activity.volume.array, np.float32),
        spacing_mm=grid.spacing_mm,
        voxel_ml=grid.voxel_volume_ml,
        liver=liver,
        lesions=placed,
        lungs=lungs,
        extrahepatic=extrahepatic,
        background_error=0.0 if background is None else background.noise.standard_error,
    )
