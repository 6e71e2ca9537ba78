"""The lung shunt and the dose next to the lung after reassignment of blurred counts, as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LungReassignmentChoice = Literal["off", "show", "apply"]

# A wrong resolution by this fraction gives the range of the corrected values.
RESOLUTION_ERROR = 0.2
# Lung within this distance of the liver.
BASAL_MM = 30.0


@dataclass(frozen=True)
class Reassigned:
    """A value with and without reassignment of blurred counts.

    Attributes:
      uncorrected: value of the image as it is.
      corrected: value after reassignment with the resolution of the case.
      narrow, wide: corrected value if the resolution is 20 % smaller or larger.
    """

    uncorrected: float
    corrected: float
    narrow: float
    wide: float

    @property
    def range_fraction(self) -> float:
        """Larger distance of `narrow` and `wide` from `corrected`, as a fraction of it."""
        return max(abs(self.narrow - self.corrected), abs(self.wide - self.corrected)) / max(self.corrected, 1e-9)


@dataclass(frozen=True)
class LungReassignment:
    """The lung shunt of the SPECT and the dose next to the lung, with and without blur.

    Attributes:
      applied: whether the plan uses the corrected lung shunt fraction.
      fwhm_mm: resolution of the activity image, as stated in the case.
      breathing_mm: peak-to-peak motion of the dome from head to feet, as stated in the case; None if it is not stated.
      shunt_fraction: lung shunt fraction of the activity image.
      basal_volume_ml: volume of lung within 30 mm of the liver.
      basal_gy: mean dose of this lung by the cone method; None with other dose methods.
    """

    applied: bool
    fwhm_mm: float
    breathing_mm: float | None
    shunt_fraction: Reassigned
    basal_volume_ml: float
    basal_gy: Reassigned | None = None
