"""The tables of a case about its dose: method and grid, partial-volume correction, remnant, calibration."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.workflows._case_moment import Moment
from sirtjax.workflows._case_pet import AcquiredAsTable
from sirtjax.workflows._case_table import Table
from sirtjax.workflows._lung_reassignment_record import LungReassignmentChoice
from sirtjax.workflows._partial_volume_record import PartialVolumeMethod

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DoseTable(Table):
    """The dose calculation.

    `method` "protocol" is the method that the protocol states for its limits; with "kernel", "local" or "cone" the
    limits are evaluated with that method, and the report has a check if the protocol states the other one.
    `spacing_mm` is the voxel size of the working grid, "activity" for that of the activity image, or "auto" for whole
    fractions of it, none larger than a fifth of the radius of the smallest lesion. `density` is
    "protocol" for the protocol's liver density everywhere, or names a curve in configs/dosimetry/density to take
    it from the CT.
    `constant` names another nuclide record than the protocol's; the report then says so.
    """

    method: Literal["protocol", "kernel", "local", "cone"] = "protocol"
    spacing_mm: Annotated[float, Field(gt=0, le=10)] | Literal["activity", "auto"] = "auto"
    density: str = "protocol"
    constant: str | None = None
    lung_mass_g: Positive | None = None
    previous_lung_gy: Annotated[float, Field(ge=0)] = 0.0


class RecoveryCurveTable(Table):
    """Recovery coefficients that were measured with spheres of a phantom, for the correction "recovery"."""

    volume_ml: tuple[Positive, ...]
    recovery: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    source: Annotated[str, Field(min_length=3)]

    @model_validator(mode="after")
    def _curve(self) -> RecoveryCurveTable:
        if len(self.volume_ml) != len(self.recovery) or len(self.volume_ml) < 2:
            raise ValueError(
                f"`volume_ml` and `recovery` need the same number of values, at least 2; got {len(self.volume_ml)} "
                f"and {len(self.recovery)}"
            )
        if any(b <= a for a, b in zip(self.volume_ml, self.volume_ml[1:], strict=False)):
            raise ValueError(f"`volume_ml` must increase, got {list(self.volume_ml)}")
        return self


class PartialVolumeTable(Table):
    """The partial-volume corrections whose doses are shown next to the uncorrected ones.

    Prescription, limits and checks do not use them. `propose_shift` fits a translation of the
    activity image to the masks and shows it; `images.activity.shift_mm` applies it. `lungs` moves counts that
    the blur exchanged between liver and lungs back: "show" prints the lung shunt fraction with and without it, "apply"
    also plans with it. `breathing_mm` is the peak-to-peak motion of the dome from head to feet, which widens the
    blur. All need `images.activity.resolution_fwhm_mm`. `recovery_curve` has measured recovery coefficients for
    lesions.
    """

    methods: tuple[PartialVolumeMethod, ...] = ()
    propose_shift: bool = False
    recovery_curve: RecoveryCurveTable | None = None
    lungs: LungReassignmentChoice = "off"
    breathing_mm: Annotated[float, Field(ge=0, le=40)] | None = None

    @model_validator(mode="after")
    def _breathing_of_lungs(self) -> PartialVolumeTable:
        if self.breathing_mm is not None and self.lungs == "off":
            raise ValueError('`breathing_mm` is only used with `lungs = "show"` or "apply"')
        return self

    @model_validator(mode="after")
    def _once(self) -> PartialVolumeTable:
        if len(set(self.methods)) != len(self.methods):
            raise ValueError(f"each method can be named once, got {list(self.methods)}")
        if self.recovery_curve is not None and "recovery" not in self.methods:
            raise ValueError('`recovery_curve` requires methods = ["recovery"]: no other correction uses it')
        return self


class RemnantTable(Table):
    """The limit on the mean dose of the normal liver outside the injected territories, with its source."""

    limit_gy: Positive
    source: Annotated[str, Field(min_length=3)]


class CalibrationTable(Table):
    """The calibration of the activity image.

    "relative" scales its counts to the injected activity (EANM); "absolute" believes its Bq/mL and corrects
    for decay between `reference_time` and the injection. `factor` multiplies its Bq/mL. It was measured on
    `factor_date` with the relative uncertainty `factor_uncertainty`, by `factor_source`; all four are stated together.
    `acquired_as` states that a 90Y PET was acquired under the label of another nuclide.
    """

    method: Literal["relative", "absolute"] = "relative"
    reference_time: Moment | None = None
    factor: Positive | None = None
    factor_uncertainty: Annotated[float, Field(gt=0, lt=1)] | None = None
    factor_date: date | None = None
    factor_source: Annotated[str, Field(min_length=3)] | None = None
    acquired_as: AcquiredAsTable | None = None

    @model_validator(mode="after")
    def _whole_factor(self) -> CalibrationTable:
        stated = [
            value is not None for value in (self.factor, self.factor_uncertainty, self.factor_date, self.factor_source)
        ]
        if any(stated) and not all(stated):
            raise ValueError(
                "`factor` requires `factor_uncertainty`, `factor_date` and `factor_source`, and they require it"
            )
        if any(stated) and self.method != "absolute":
            raise ValueError('`factor` requires method = "absolute": a relative calibration does not depend on it')
        label = self.acquired_as
        if label is not None and label.positron_fraction is None and self.factor is None:
            raise ValueError(
                "`acquired_as` requires `positron_fraction`, or a calibration `factor` that contains the ratio of the "
                "positron fractions"
            )
        return self
