"""The lungs on a grid of their own: their dose is a compartment value, so the dose grid need not contain them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import dosimetry, pipeline, spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows._dose_grid import dose_grid

Array = NDArray[np.float32]

LUNG_SPACING_MM = 3.0


@dataclass(frozen=True, kw_only=True)
class LungRegion:
    """Both lungs, as far as the activity image shows them.

    Attributes:
      geometry: grid of the lungs.
      weight: (i, j, k) fraction of each voxel in the lungs.
      warped_ml: volume on this grid, whether or not the activity image shows all of it.
      ct_mass_g: mass by the CT numbers; None without a CT.
      activity_fraction: fraction of the activity image's total in the lungs.
    """

    geometry: Geometry
    weight: Float32[np.ndarray, "i j k"]
    warped_ml: float
    ct_mass_g: float | None
    activity_fraction: float

    @property
    def volume_ml(self) -> float:
        """Volume that the activity image shows."""
        return float(self.weight.sum(dtype=np.float64)) * self.geometry.voxel_volume_ml


def lung_region(
    labels: LabelMap, name: str, activity: Volume, ct_hu: Volume | None, *, transform: spatial.Transform | None
) -> LungRegion:
    """Returns the lungs on a grid of 3 mm along the axes of the activity image.

    Args:
      labels: mask of the lungs.
      name: label of the lungs in it.
      activity: activity image.
      ct_hu: CT in the frame of the activity image, or None.
      transform: pull, from the frame of the activity image to that of the mask; None if they are the same.

    Raises:
      GeometryError: the lungs are empty, or outside the activity image.
    """
    grid = dose_grid(activity.geometry, [(name, labels, transform)], spacing_mm=LUNG_SPACING_MM)
    whole = spatial.occupancy(labels, name, grid, transform=transform)
    seen = pipeline.field_of_view(activity.geometry.shape, activity.geometry.affine, grid.affine, grid.shape)
    weight: Array = np.asarray(whole * np.asarray(seen), np.float32)
    mass_g = None
    if ct_hu is not None:
        hu = np.asarray(spatial.resample(ct_hu, grid, order="linear", fill=-1000.0, antialias=True).array, np.float32)
        mass_g = float(_lung_mass_g(hu, weight, np.float32(grid.voxel_volume_ml)))
    image = np.asarray(activity.array, np.float32)
    inside = float(np.vdot(image, spatial.occupancy(labels, name, activity.geometry, transform=transform)))
    return LungRegion(
        geometry=grid,
        weight=weight,
        warped_ml=float(whole.sum(dtype=np.float64)) * grid.voxel_volume_ml,
        ct_mass_g=mass_g,
        activity_fraction=inside / max(float(image.sum(dtype=np.float64)), 1e-30),
    )


@cached_jit
def _lung_mass_g(hu: jax.Array, weight: jax.Array, voxel_volume_ml: jax.Array) -> jax.Array:
    mass: jax.Array = dosimetry.lung_mass_g(hu, weight, voxel_volume_ml=voxel_volume_ml)
    return mass
