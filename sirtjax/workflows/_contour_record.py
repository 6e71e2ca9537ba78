"""Which contours the doses of lesions depend on, as results.json shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ContourMetricName = Literal["mean", "D70"]
# The map in the folder of a plan, in Gy per mm.
CONTOUR_FILE = "contour_sensitivity.nii.gz"


@dataclass(frozen=True)
class RegionDependence:
    """Change of a dose if the contours within one region move relative to the activity image.

    Attributes:
      region: name of the region.
      left_gy_per_mm, back_gy_per_mm, head_gy_per_mm: change if they move by 1 mm to the patient's left, to the back, to
        the head.
      spread_gy: standard deviation of the dose from the stated uncertainty of the registration, if only this region had
        it; None if the case states no such uncertainty.
    """

    region: str
    left_gy_per_mm: float
    back_gy_per_mm: float
    head_gy_per_mm: float
    spread_gy: float | None


@dataclass(frozen=True)
class ContourDependence:
    """How one dose of a lesion depends on contours.

    Attributes:
      voi: name of the lesion.
      metric: "mean" or "D70".
      value_gy: the dose, after partial-volume correction on the grid of the derivatives.
      own_gy_per_mm: change if the whole contour of the lesion moves outward by 1 mm.
      liver_gy_per_mm: change if the whole contour of the liver does.
      others_gy_per_mm: change if the contours of all other lesions do.
      territories_gy_per_mm: change if the territory of the lesion grows by 1 mm and the other injected ones shrink.
      largest_patch_gy_per_mm: change with the largest absolute value if a patch of the lesion's contour moves outward
        by 1 mm.
      half_area_fraction: smallest fraction of the lesion's surface that decides half of the dependence.
      half_gy_per_mm: absolute change for a patch from which the surface belongs to this fraction.
      translation: all contours together.
      regions: regions, the one with the largest effect first.
    """

    voi: str
    metric: ContourMetricName
    value_gy: float
    own_gy_per_mm: float
    liver_gy_per_mm: float
    others_gy_per_mm: float
    territories_gy_per_mm: float
    largest_patch_gy_per_mm: float
    half_area_fraction: float
    half_gy_per_mm: float
    translation: RegionDependence
    regions: tuple[RegionDependence, ...]


@dataclass(frozen=True)
class WhereToCheck:
    """Which contours to check first, because the doses depend on them.

    Attributes:
      shown_metric: metric of the pictures and of contour_sensitivity.nii.gz.
      patch_cm2: area of the patches.
      held_fixed: quantities that the derivatives hold fixed, in one sentence.
      rows: one row per lesion and metric.
    """

    shown_metric: ContourMetricName
    patch_cm2: float
    held_fixed: str
    rows: tuple[ContourDependence, ...]

    def row(self, voi: str, metric: ContourMetricName) -> ContourDependence:
        """Returns the row of a lesion and metric.

        Args:
          voi: name of the lesion.
          metric: "mean" or "D70".

        Raises:
          KeyError: there is no such row.
        """
        for row in self.rows:
            if (row.voi, row.metric) == (voi, metric):
                return row
        raise KeyError((voi, metric))
