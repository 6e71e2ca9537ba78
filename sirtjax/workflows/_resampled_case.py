"""A case on its dose grid: activity, VOIs and CT, as a record."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax import pipeline
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows._lung_region import LungRegion

Array = NDArray[np.float32]

# What the one territory of a case without territories is called.
WHOLE_LIVER = pipeline.WHOLE_LIVER


@dataclass(frozen=True)
class ResampledCase:
    """The input of the dose calculation, on one working grid.

    Attributes:
      geometry: the working grid, in the frame of the activity image.
      activity: (i, j, k) activity in the unit of the activity image, its total conserved.
      occupancy: (i, j, k) fraction of each voxel inside each VOI, in [0, 1], by name.
      mask_ml: volume of each VOI as drawn, by name.
      ct_hu: (i, j, k) the CT, or None.
      activity_in_grid: fraction of the activity image's total inside the grid.
      lungs: the lungs on a grid of their own; None without a mask. `occupancy` has their part in the working grid.
        Voxels in the masks of lungs and liver are liver.
      seen_fraction: fraction of each VOI that the activity image shows, by name.
      sampling: averaging or copying of the voxels of the activity image.
      notes: sentences about resampled or truncated images.
      warped_ml: volume of each warped VOI that was drawn on the diagnostic image, by name, whether or not the activity
        image covers it.
    """

    geometry: Geometry
    activity: Volume
    occupancy: dict[str, Float32[np.ndarray, "i j k"]]
    mask_ml: dict[str, float]
    ct_hu: Volume | None
    activity_in_grid: float
    notes: tuple[str, ...]
    warped_ml: dict[str, float] = field(default_factory=dict)
    lungs: LungRegion | None = None
    seen_fraction: dict[str, float] = field(default_factory=dict)
    sampling: pipeline.Sampling = field(default_factory=pipeline.Sampling)
