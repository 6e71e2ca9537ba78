"""The histogram of one mask in the dose of a plan, as the report has it: for the page on which masks are corrected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sirtjax import dosimetry, spatial
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows._evaluation import curve_points
from sirtjax.workflows._resampling import field_of_view


@dataclass(frozen=True, kw_only=True)
class VoiHistogram:
    """Volume, dose and curve of one VOI, as in its row of the report.

    Attributes:
      volume_ml: volume on the dose grid, partial voxels by their occupancy.
      mean_gy: mean dose.
      d70_gy: dose that the hottest 70 % of the volume receives at least.
      dvh_dose_gy: doses of the curve, rising, Gy.
      dvh_volume_percent: volume that receives at least each of those doses, %.
    """

    volume_ml: float
    mean_gy: float
    d70_gy: float
    dvh_dose_gy: tuple[float, ...]
    dvh_volume_percent: tuple[float, ...]


def voi_histogram(
    labels: LabelMap, name: str, dose_gy: Volume, activity: Geometry, *, transform: spatial.Transform | None
) -> VoiHistogram | None:
    """Computes the histogram of one label with the report's functions, on the dose grid of the plan.

    Args:
      labels: the masks, on their own grid.
      name: name of the label.
      dose_gy: dose of the plan on its working grid, Gy.
      activity: grid of the activity image; the dose beyond it is not known.
      transform: pull, from the frame of the dose to the frame of the mask; None if they are the same.

    Returns:
      The histogram; None if no voxel of the label is in the dose grid.
    """
    grid = dose_gy.geometry
    weight = spatial.occupancy(labels, name, grid, transform=transform) * field_of_view(activity, grid)
    if float(weight.sum(dtype=np.float64)) <= 1e-3:
        return None
    # Signed as in the report: the subtraction of a background leaves voxels below zero.
    dvh = dosimetry.dvh_from_arrays(dose_gy.array, weight, grid.voxel_volume_ml, name=name, signed=True)
    dose, percent = curve_points(dvh)
    return VoiHistogram(
        volume_ml=dvh.volume_ml,
        mean_gy=dvh.mean_gy,
        d70_gy=dvh.dose_at_percent_gy(70),
        dvh_dose_gy=dose,
        dvh_volume_percent=percent,
    )
