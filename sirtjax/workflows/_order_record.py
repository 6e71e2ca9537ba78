"""The order of vials in a result, as records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sirtjax.dosimetry import SharedVials, VialCombination


@dataclass(frozen=True)
class TerritoryOrder:
    """The whole vials for one territory.

    Attributes:
      territory: name of the territory.
      activity_mbq: prescribed activity, which enters the patient at injection.
      residual_fraction: fraction of the dispensed activity that remains in vial and catheter.
      volume_ml: volume of the territory.
      mean_dose_gy: mean dose of the territory at `activity_mbq`; None if it receives no dose.
      found: number of combinations within the tolerance.
      options: the first of them, sorted; the closest combination if none is within the tolerance. Empty for vials that
        are divided.
    """

    territory: str
    activity_mbq: float
    residual_fraction: float
    volume_ml: float
    mean_dose_gy: float | None
    found: int
    options: tuple[VialCombination, ...]


@dataclass(frozen=True)
class OrderRecord:
    """The vials to order for a plan.

    Attributes:
      product: name of the product.
      dispensing: "whole" vials are injected, "divided" ones are drawn up in part, "custom" ones are made to order.
      half_life_h: half-life of the nuclide.
      loss_per_hour_fraction: fraction of activity and dose that is lost per hour of delay.
      tolerance_fraction: largest relative difference from the prescribed activity.
      injection_times: possible injection times of territories without a time of their own.
      calibrations: calibration times of the search.
      shelf_life_h: hours after calibration until which a vial can be used.
      before_calibration_h: hours before calibration from which a vial can be used.
      max_vials: largest number of vials of a combination.
      sort: order of the options.
      territories: one per territory with an activity.
      shared: vials that are divided over the territories; empty for whole vials.
      sources: source of each number about the vials.
      notes: further statements about the vials.
    """

    product: str
    dispensing: Literal["whole", "divided", "custom"]
    half_life_h: float
    loss_per_hour_fraction: float
    tolerance_fraction: float
    injection_times: tuple[datetime, ...]
    calibrations: tuple[datetime, ...]
    shelf_life_h: float
    before_calibration_h: float
    max_vials: int
    sort: str
    territories: tuple[TerritoryOrder, ...]
    shared: tuple[SharedVials, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]
