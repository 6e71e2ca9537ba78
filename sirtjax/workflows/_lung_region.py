"""The lungs on a grid of their own: their dose is a compartment value, so the dose grid need not contain them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline, spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import GeometryError
from sirtjax.ops import weighted_sum
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows._dose_grid import dose_grid

Array = NDArray[np.float32]

LUNG_SPACING_MM = 3.0
# Lungs count as whole from here on, the limit of check SJ611.
WHOLE_FRACTION = 0.98


@dataclass(frozen=True, kw_only=True)
class LungRegion:
    """Both lungs without what is also liver, as far as the activity image shows them.

    Attributes:
      geometry: grid of the lungs.
      weight: (i, j, k) fraction of each voxel in the lungs.
      warped_ml: volume on this grid, whether or not the activity image shows all of it.
      image_ml: volume on the grid of the activity image.
      overlap_ml: volume that is in both masks, lungs and liver. It is liver.
      ct_mass_g: mass of the whole lungs by the CT numbers; None without a CT. Lung outside the CT has the mean density
        of that inside.
      ct_seen_fraction: fraction of the lungs that the CT shows; 1 without a CT.
      activity_fraction: fraction of the activity image's total in the lungs.
    """

    geometry: Geometry
    weight: Float32[np.ndarray, "i j k"]
    warped_ml: float
    image_ml: float
    overlap_ml: float
    ct_mass_g: float | None
    ct_seen_fraction: float
    activity_fraction: float

    @property
    def volume_ml(self) -> float:
        """Volume that the activity image shows."""
        return float(self.weight.sum(dtype=np.float64)) * self.geometry.voxel_volume_ml

    @property
    def seen_fraction(self) -> float:
        """Fraction of the lungs that the activity image shows; 1 where only voxels at its edge may be missing."""
        fraction = self.image_ml / self.warped_ml
        return fraction if fraction < WHOLE_FRACTION else 1.0


# A mask: its labels, its name in them, and the pull transform from the frame of the activity image, or None.
MaskInFrame = tuple[LabelMap, str, spatial.Transform | None]


def lung_region(
    labels: LabelMap,
    name: str,
    activity: Volume,
    ct_hu: Volume | None,
    *,
    transform: spatial.Transform | None,
    liver: MaskInFrame | None = None,
) -> LungRegion:
    """Returns the lungs on a grid of 3 mm along the axes of the activity image.

    Args:
      labels: mask of the lungs.
      name: label of the lungs in it.
      activity: activity image.
      ct_hu: CT in the frame of the activity image, or None.
      transform: pull, from the frame of the activity image to that of the mask; None if they are the same.
      liver: the liver, which takes the voxels of both masks; None to keep them.

    Raises:
      GeometryError: the lungs are empty, or outside the activity image.
    """
    grid = dose_grid(activity.geometry, [(name, labels, transform)], spacing_mm=LUNG_SPACING_MM)
    drawn = np.asarray(spatial.occupancy(labels, name, grid, transform=transform), np.float32)
    whole = _without(drawn, liver, grid)
    drawn_ml, warped_ml = (float(one.sum(dtype=np.float64)) * grid.voxel_volume_ml for one in (drawn, whole))
    if warped_ml <= 0:
        raise GeometryError(f"the {name} lie inside the liver; check both masks")
    seen = pipeline.field_of_view(activity.geometry.shape, activity.geometry.affine, grid.affine, grid.shape)
    weight: Array = np.asarray(whole * np.asarray(seen), np.float32)
    mass_g, ct_seen_fraction = None, 1.0
    if ct_hu is not None:
        hu = np.asarray(spatial.resample(ct_hu, grid, order="linear", fill=-1000.0, antialias=True).array, np.float32)
        shown = whole * np.asarray(
            pipeline.field_of_view(ct_hu.geometry.shape, ct_hu.geometry.affine, grid.affine, grid.shape)
        )
        shown_ml = float(shown.sum(dtype=np.float64)) * grid.voxel_volume_ml
        ct_seen_fraction = shown_ml / warped_ml if shown_ml < WHOLE_FRACTION * warped_ml else 1.0
        if shown_ml > 0:
            found_g = float(_lung_mass_g(hu, shown.astype(np.float32), np.float32(grid.voxel_volume_ml)))
            mass_g = found_g * warped_ml / shown_ml
    image = np.asarray(activity.array, np.float32)
    on_image = np.asarray(spatial.occupancy(labels, name, activity.geometry, transform=transform), np.float32)
    on_image = _without(on_image, liver, activity.geometry)
    return LungRegion(
        geometry=grid,
        weight=weight,
        warped_ml=warped_ml,
        image_ml=float(on_image.sum(dtype=np.float64)) * activity.geometry.voxel_volume_ml,
        overlap_ml=max(drawn_ml - warped_ml, 0.0),
        ct_mass_g=mass_g,
        ct_seen_fraction=ct_seen_fraction,
        activity_fraction=weighted_sum(image, on_image) / max(float(image.sum(dtype=np.float64)), 1e-30),
    )


def _without(lungs: Array, liver: MaskInFrame | None, grid: Geometry) -> Array:
    """The fraction of each voxel in the lungs and outside the liver."""
    if liver is None:
        return lungs
    labels, name, transform = liver
    inside = np.asarray(spatial.occupancy(labels, name, grid, transform=transform), np.float32)
    return np.minimum(lungs, 1 - inside)


@cached_jit
def _lung_mass_g(hu: jax.Array, weight: jax.Array, voxel_volume_ml: jax.Array) -> jax.Array:
    mass: jax.Array = dosimetry.lung_mass_g(hu, weight, voxel_volume_ml=voxel_volume_ml)
    return mass
