"""The tables of a case about the image after treatment: a PET with another nuclide's label, the balance of activity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.workflows._case_moment import Moment
from sirtjax.workflows._case_table import Table

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AcquiredAsTable(Table):
    """The nuclide under whose label a 90Y PET was acquired, as the scanner used it.

    `half_life_s`, `positron_fraction` and `decay_correction` are those of the scanner. They must agree with the DICOM
    header. `in_frame_corrected` states whether the scanner corrected the decay during the frame.
    `acquisition_start` and `frame_duration_s` are required unless the header states them.
    """

    nuclide: Annotated[str, Field(pattern=r"^[A-Z][a-z]?-\d{1,3}m?$")]
    half_life_s: Positive
    positron_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    decay_correction: Literal["NONE", "START", "ADMIN"]
    in_frame_corrected: bool | None = None
    acquisition_start: Moment | None = None
    frame_duration_s: Positive | None = None

    @model_validator(mode="after")
    def _decay_stated(self) -> AcquiredAsTable:
        if (self.decay_correction == "NONE") != (self.in_frame_corrected is None):
            raise ValueError(
                '`in_frame_corrected` (decay during the frame) is required unless decay_correction = "NONE", '
                "and not allowed then"
            )
        return self


class AfterTreatmentTable(Table):
    """The evaluation of the activity that the image after treatment shows outside the liver.

    `lung_margin_mm` excludes the lungs up to this distance from the liver, into which its activity is blurred.
    `balance_limits` replaces the lowest and highest plausible fraction of the injected activity in the image.
    """

    lung_margin_mm: Annotated[float, Field(gt=0, le=100)] | None = None
    balance_limits: tuple[Positive, Positive] | None = None
    balance_source: Annotated[str, Field(min_length=3)] | None = None

    @model_validator(mode="after")
    def _sourced(self) -> AfterTreatmentTable:
        if (self.balance_limits is None) != (self.balance_source is None):
            raise ValueError("`balance_limits` requires `balance_source`, and the reverse")
        if self.balance_limits is not None and self.balance_limits[0] >= self.balance_limits[1]:
            raise ValueError(f"`balance_limits` must be [lowest, highest], got {list(self.balance_limits)}")
        return self
