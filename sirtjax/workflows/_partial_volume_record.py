"""The doses after partial-volume correction, as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PartialVolumeMethod = Literal["recovery", "gtm", "rbv", "richardson-lucy"]


@dataclass(frozen=True)
class CorrectedDose:
    """The dose of one VOI after one correction.

    Attributes:
      mean_gy: mean dose by local deposition.
      d70_gy: D70 by local deposition; None for a method that corrects only means.
      kernel_mean_gy, kernel_d70_gy: mean dose and D70 by the dose kernel; None for a method that corrects only means,
        and if the nuclide has no kernel.
    """

    mean_gy: float
    d70_gy: float | None = None
    kernel_mean_gy: float | None = None
    kernel_d70_gy: float | None = None


@dataclass(frozen=True)
class PartialVolumeRow:
    """The corrections of one VOI.

    Attributes:
      name, kind: name and type of the VOI, "lesion" or "normal territory".
      recovery_coefficient: fraction of its own activity that the blurred image shows inside it; with measured
        coefficients that of the lesion's volume, NaN outside the measured volumes.
      below_resolution: whether the radius of the VOI's sphere is below half the FWHM, so that noise decides.
      mean_gy: uncorrected mean dose, by the dose method of the result.
      corrected: dose by method.
    """

    name: str
    kind: Literal["lesion", "normal territory"]
    recovery_coefficient: float
    below_resolution: bool
    mean_gy: float
    corrected: dict[str, CorrectedDose]


@dataclass(frozen=True)
class ActivityAlignment:
    """A proposed translation of the activity image, which fits it to the masks.

    Attributes:
      shift_mm: (x, y, z) translation of the activity image, LPS, in addition to `applied_mm`.
      standard_error_mm: standard error of `shift_mm` along each axis.
      determined: whether the image determines the translation along every axis.
      residual_ratio: standard deviation of image minus model after the translation, divided by that before.
      applied_mm: translation that the case applies, `images.activity.shift_mm`; None if it states none.
    """

    shift_mm: tuple[float, float, float]
    standard_error_mm: tuple[float, float, float]
    determined: bool
    residual_ratio: float
    applied_mm: tuple[float, float, float] | None

    @property
    def significant(self) -> bool:
        """Whether the translation exceeds twice its standard error along an axis."""
        return self.determined and any(
            abs(mm) > 2 * error for mm, error in zip(self.shift_mm, self.standard_error_mm, strict=True)
        )


@dataclass(frozen=True)
class PartialVolumeResult:
    """Doses after partial-volume correction, next to the uncorrected ones; nothing else uses them.

    Attributes:
      fwhm_mm: resolution of the activity image, as stated in the case.
      methods: corrections, in the order of the case.
      iterations: iterations of Richardson-Lucy; None without it.
      rows: one row per lesion and normal tissue of each injected territory; empty without a correction.
      alignment: proposed translation of the activity image; None if the case does not ask for it.
      recovery_source: source of measured recovery coefficients; None if they are those of a Gaussian.
    """

    fwhm_mm: float
    methods: tuple[PartialVolumeMethod, ...]
    iterations: int | None
    rows: tuple[PartialVolumeRow, ...]
    alignment: ActivityAlignment | None = None
    recovery_source: str | None = None
