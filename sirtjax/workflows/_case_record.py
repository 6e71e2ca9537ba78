"""The tables of a case about its treatment record: vials, liver function, persons and dates."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax.dosimetry import child_pugh_class
from sirtjax.workflows._case_moment import Moment
from sirtjax.workflows._case_table import Table

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# The report prints these in one cell.
Text = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
# The name `date` is a key of a table.
Day = dt.date
ResidualMethod = Literal["dose calibrator", "survey meter"]


class LiverFunctionTable(Table):
    """Laboratory values and scores of liver function, as provided.

    `albi` and `albi_grade` are compared with the score computed from bilirubin and albumin.
    """

    date: Day | None = None
    bilirubin: Positive | None = None
    bilirubin_unit: Literal["umol/L", "mg/dL"] | None = None
    albumin: Positive | None = None
    albumin_unit: Literal["g/L", "g/dL"] | None = None
    albi: Annotated[float, Field(allow_inf_nan=False)] | None = None
    albi_grade: Literal[1, 2, 3] | None = None
    child_pugh_class: Literal["A", "B", "C"] | None = None
    child_pugh_points: Annotated[int, Field(ge=5, le=15)] | None = None

    @model_validator(mode="after")
    def _units_and_classes(self) -> LiverFunctionTable:
        for name in ("bilirubin", "albumin"):
            if (getattr(self, name) is None) != (getattr(self, f"{name}_unit") is None):
                raise ValueError(f"`{name}` requires `{name}_unit`, and the reverse")
        if self.child_pugh_points is not None and self.child_pugh_class is not None:
            expected = child_pugh_class(self.child_pugh_points)
            if self.child_pugh_class != expected:
                raise ValueError(
                    f'{self.child_pugh_points} Child-Pugh points are class "{expected}", not "{self.child_pugh_class}"'
                )
        return self


class RecordedVialTable(Table):
    """One vial or syringe: lot, calibration, and the activity before and after the injection.

    The residual is an activity ("dose calibrator") or the ratio of two rates at the same distance ("survey meter").
    """

    territory: str
    lot: Text | None = None
    calibrated_mbq: Positive | None = None
    calibration_time: Moment | None = None
    vial_mbq: Positive | None = None
    vial_time: Moment | None = None
    residual_method: ResidualMethod | None = None
    residual_mbq: NotNegative | None = None
    residual_time: Moment | None = None
    rate_before: Positive | None = None
    rate_after: NotNegative | None = None
    rate_background: NotNegative | None = None
    rate_unit: Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> RecordedVialTable:
        for first, second in (("calibrated_mbq", "calibration_time"), ("vial_mbq", "vial_time")):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(f"`{first}` requires `{second}`, and the reverse")
        needed: dict[ResidualMethod, tuple[str, ...]] = {
            "dose calibrator": ("residual_mbq", "residual_time"),
            "survey meter": ("rate_before", "rate_after", "rate_background", "rate_unit"),
        }
        for method, keys in needed.items():
            stated = [key for key in keys if getattr(self, key) is not None]
            expected = list(keys) if self.residual_method == method else []
            if stated != expected:
                named = ", ".join(f"`{key}`" for key in keys)
                raise ValueError(f'residual_method = "{method}" requires {named}, and they require it')
        self._check_rates()
        self._check_times()
        return self

    def _check_rates(self) -> None:
        if self.rate_before is None or self.rate_after is None or self.rate_background is None:
            return
        if not self.rate_background <= self.rate_after <= self.rate_before or self.rate_before == self.rate_background:
            raise ValueError(
                f"expected rate_background <= rate_after <= rate_before, got {self.rate_background:g}, "
                f"{self.rate_after:g} and {self.rate_before:g}"
            )

    def _check_times(self) -> None:
        times = [time for time in (self.calibration_time, self.vial_time, self.residual_time) if time is not None]
        if len({time.tzinfo is None for time in times}) > 1:
            raise ValueError("state all times of a vial with a time zone, or all without")
        if self.residual_time is not None and self.vial_time is not None and self.residual_time < self.vial_time:
            raise ValueError("`residual_time` is before `vial_time`; the residual is measured after the injection")


class ImagingDatesTable(Table):
    """The days on which the images were acquired."""

    activity: Day | None = None
    ct: Day | None = None
    diagnostic: Day | None = None
    planar: Day | None = None


class RecordTable(Table):
    """The treatment record: it is printed, checked for contradictions, and does not change the dose.

    A missing value is an empty line of the report, to be filled in manually. Names of staff are allowed; the name of
    the patient is not.
    """

    prescriber: Text | None = None
    physicist: Text | None = None
    treatment_date: Day | None = None
    max_interval_days: Annotated[int, Field(gt=0)] | None = None
    paper: Literal["A4", "Letter"] = "A4"
    activity_tolerance: Annotated[float, Field(gt=0, lt=1)] | None = None
    liver_function: LiverFunctionTable = LiverFunctionTable()
    imaging_dates: ImagingDatesTable = ImagingDatesTable()
    vials: tuple[RecordedVialTable, ...] = ()
