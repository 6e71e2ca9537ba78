"""The table of a case about the order of vials."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sirtjax.workflows._case_moment import Moment
from sirtjax.workflows._case_table import Table


class OrderTable(Table):
    """The vials to order for a plan: possible injection times and the rules by which a vial is accepted.

    Times without an offset are in `time_zone`. The time of one of the [[injections]] replaces `injection_times` for its
    territory. Calibration and shelf life come from here or from a vial file with its source.
    """

    device: str | None = None
    injection_times: tuple[Moment, ...] = ()
    calibration_times: tuple[Moment, ...] = ()
    time_zone: str | None = None
    tolerance_fraction: Annotated[float, Field(gt=0, lt=1)]
    shelf_life_h: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    before_calibration_h: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    max_vials: Annotated[int, Field(ge=1, le=6)] = 1
    sort: Literal["closest", "fewest vials", "fewest spheres"] = "closest"
