"""From the activity at injection to the vial to order: decay from the calibration time, residual, delay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from sirtjax.dosimetry._activity import decay_factor, hours_between
from sirtjax.dosimetry._compartment import delivered_activity_mbq, dispensed_activity_mbq
from sirtjax.dosimetry._nuclides import Nuclide, get_nuclide
from sirtjax.dosimetry._vials import VialSupply, hours_after, weekly_calibrations
from sirtjax.errors import ConfigError

VialState = Literal["fits", "too little", "too much", "before calibration", "expired"]
# Relative rounding error of decay and its inverse; far below any tolerance of an activity.
_ROUNDING = 1e-9
# Between calibration and injection; no vial is used so much later or earlier, so one of the dates is wrong.
_MAX_HALF_LIVES = 100


@dataclass(frozen=True, kw_only=True)
class WantedActivity:
    """An activity that is to reach the patient.

    Attributes:
      name: name of the territory.
      activity_mbq: activity that enters the patient, at the time of injection.
      residual_fraction: fraction of the dispensed activity that remains in vial and catheter, 0 to below 1.
      mean_dose_gy: mean dose of the territory at `activity_mbq`; None if it is not known.
    """

    name: str
    activity_mbq: float
    residual_fraction: float
    mean_dose_gy: float | None


@dataclass(frozen=True, kw_only=True)
class OrderTerms:
    """The rules by which a vial is accepted.

    Attributes:
      tolerance_fraction: largest relative difference from the wanted activity, 0 to below 1.
      calibrations: calibration times with a time zone; empty for the week of the data file.
      shelf_life_h: hours after calibration until which a vial can be used; None for the value of the data file.
      before_calibration_h: hours before calibration from which a vial can be used; 0 for none.
    """

    tolerance_fraction: float
    calibrations: tuple[datetime, ...] = ()
    shelf_life_h: float | None = None
    before_calibration_h: float = 0.0


@dataclass(frozen=True, kw_only=True)
class VialOption:
    """One vial at one injection time.

    Attributes:
      vial_mbq: activity at the calibration time, which is the activity to order.
      calibration: calibration time.
      injection: injection time.
      in_vial_mbq: activity in the vial at the injection time.
      dispensed_mbq: activity taken from the vial; all of it unless the vial is divided.
      delivered_mbq: activity that enters the patient.
      difference_fraction: relative difference from the wanted activity.
      mean_dose_gy: mean dose at `delivered_mbq`; None if the wanted dose is not known.
      state: "fits", or the reason for which the vial cannot be used.
      usable_from: first time at which the vial delivers the wanted activity within the tolerance; None if never.
      exact_at: time at which it delivers the wanted activity exactly; None if never within its period of use.
      usable_until: last time at which it delivers the wanted activity within the tolerance; None if never.
    """

    vial_mbq: float
    calibration: datetime
    injection: datetime
    in_vial_mbq: float
    dispensed_mbq: float
    delivered_mbq: float
    difference_fraction: float
    mean_dose_gy: float | None
    state: VialState
    usable_from: datetime | None
    exact_at: datetime | None
    usable_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class VialOrder:
    """All vials for one wanted activity, and the values they were computed with.

    Attributes:
      wanted: the wanted activity.
      supply: vials of the device, with sources.
      terms: rules of acceptance, with the shelf life that was used.
      half_life_h: half-life of the nuclide.
      loss_per_hour_fraction: fraction of activity and dose that is lost per hour of delay.
      options: every vial, calibration and injection time.
    """

    wanted: WantedActivity
    supply: VialSupply
    terms: OrderTerms
    half_life_h: float
    loss_per_hour_fraction: float
    options: tuple[VialOption, ...]

    @property
    def fitting(self) -> tuple[VialOption, ...]:
        """The options that deliver the wanted activity, closest first."""
        found = [one for one in self.options if one.state == "fits"]
        return tuple(sorted(found, key=lambda one: abs(one.difference_fraction)))

    def to_json(self) -> dict[str, object]:
        """Returns the order as nested dictionaries; times as ISO 8601 texts with their offset."""
        return {key: _with_texts(one) for key, one in asdict(self).items()}


def vial_activity_mbq(calibrated_mbq: float, *, calibration: datetime, moment: datetime, half_life_h: float) -> float:
    """Computes the activity of a vial at a time; above the calibrated activity before the calibration.

    Args:
      calibrated_mbq: activity at the calibration time.
      calibration: calibration time.
      moment: time at which the activity is wanted; both times with a time zone, or both without.
      half_life_h: physical half-life.

    Returns:
      Activity in MBq.

    Examples:
      >>> from sirtjax import dosimetry
      >>> sunday = dosimetry.parse_time("2026-11-22T12:00-05:00")
      >>> wednesday = dosimetry.parse_time("2026-11-25T10:00+01:00")  # 64 h later
      >>> round(dosimetry.vial_activity_mbq(3000.0, calibration=sunday, moment=wednesday, half_life_h=64.0))
      1500
    """
    return calibrated_mbq * float(decay_factor(hours_between(calibration, moment), half_life_h=half_life_h))


def delay_loss_fraction(delay_h: float, *, half_life_h: float) -> float:
    """Computes the fraction of activity and dose that is lost if the injection is delayed."""
    return 1.0 - float(decay_factor(delay_h, half_life_h=half_life_h))


def time_of_activity(
    calibrated_mbq: float, wanted_mbq: float, *, calibration: datetime, half_life_h: float
) -> datetime:
    """Computes the time at which a vial has a certain activity.

    Args:
      calibrated_mbq: activity at the calibration time, above 0.
      wanted_mbq: activity in question, above 0.
      calibration: calibration time.
      half_life_h: physical half-life.

    Returns:
      Time in the zone of `calibration`; before it if the wanted activity is the larger one.
    """
    return hours_after(calibration, half_life_h * math.log2(calibrated_mbq / wanted_mbq))


def order_vials(
    wanted: WantedActivity,
    supply: VialSupply,
    injections: Sequence[datetime],
    *,
    terms: OrderTerms,
    nuclide: str | None = None,
) -> VialOrder:
    """Computes which vials deliver a wanted activity at the injection times, and when each of them would.

    Args:
      wanted: activity that is to reach the patient.
      supply: vials of the device, from `load_vials`.
      injections: possible injection times, with a time zone.
      terms: tolerance, calibration times, shelf life.
      nuclide: nuclide record with the half-life, such as that of a plan; None for the record of `supply`.

    Returns:
      Every vial, calibration and injection time with its state. A vial outside its period of use never fits.

    Raises:
      ConfigError: a value is out of range, a time has no time zone, or calibration time or shelf life are not known.

    Examples:
      >>> from sirtjax import dosimetry
      >>> sunday, thursday = (dosimetry.parse_time(f"2026-11-{day}T12:00+00:00") for day in (22, 26))
      >>> terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=(sunday,), shelf_life_h=240.0)
      >>> one = {"name": "right", "activity_mbq": 1700.0, "residual_fraction": 0.01, "mean_dose_gy": 90.0}
      >>> order = dosimetry.order_vials(
      ...     dosimetry.WantedActivity(**one), dosimetry.load_vials("glass"), [thursday], terms=terms
      ... )
      >>> [(one.vial_mbq, round(one.delivered_mbq)) for one in order.fitting]  # 5 GBq * 0.99 * 2^(-96/64.1)
      [(5000.0, 1753)]
    """
    check_wanted(wanted, injections, terms)
    used, record = used_terms(supply, injections, terms=terms, nuclide=nuclide)
    shelf_life_h = used.shelf_life_h or 0.0
    options = tuple(
        _option(wanted, supply, size_mbq, calibration, injection, used, shelf_life_h, record.half_life_h)
        for injection in injections
        for calibration in used.calibrations
        for size_mbq in _sizes_mbq(wanted, supply, calibration, injection, record.half_life_h)
    )
    return VialOrder(
        wanted=wanted,
        supply=supply,
        terms=used,
        half_life_h=record.half_life_h,
        loss_per_hour_fraction=delay_loss_fraction(1.0, half_life_h=record.half_life_h),
        options=options,
    )


def used_terms(
    supply: VialSupply, injections: Sequence[datetime], *, terms: OrderTerms, nuclide: str | None
) -> tuple[OrderTerms, Nuclide]:
    """Returns the terms with shelf life and calibration times, and the nuclide record.

    Args:
      supply: vials of the device.
      injections: possible injection times, with a time zone.
      terms: rules of acceptance; what they omit comes from `supply`.
      nuclide: nuclide record with the half-life; None for the record of `supply`.

    Raises:
      ConfigError: calibration time or shelf life are not known, the device contains another nuclide, or an injection
        is more than 100 half-lives from a calibration.
    """
    shelf_life_h = supply.shelf_life_h if terms.shelf_life_h is None else terms.shelf_life_h
    if shelf_life_h is None:
        raise ConfigError(
            f"vials {supply.name}: the shelf life is not in the data file; "
            "provide --shelf-life-h from the instructions for use"
        )
    record = get_nuclide(supply.nuclide if nuclide is None else nuclide)
    if record.symbol != get_nuclide(supply.nuclide).symbol:
        raise ConfigError(
            f"vials {supply.name} contain {get_nuclide(supply.nuclide).symbol}, the activity is {record.symbol}; "
            "choose the device of the plan"
        )
    used = OrderTerms(
        tolerance_fraction=terms.tolerance_fraction,
        calibrations=_calibrations(supply, injections, terms, shelf_life_h),
        shelf_life_h=shelf_life_h,
        before_calibration_h=terms.before_calibration_h,
    )
    for injection in injections:
        for calibration in used.calibrations:
            hours = hours_between(calibration, injection)
            if abs(hours) > _MAX_HALF_LIVES * record.half_life_h:
                side = "after" if hours > 0 else "before"
                raise ConfigError(
                    f"injection time {injection.isoformat()} is {abs(hours) / 24:.0f} days {side} the calibration time "
                    f"{calibration.isoformat()}; correct one of the dates"
                )
    return used, record


def check_wanted(wanted: WantedActivity, injections: Sequence[datetime], terms: OrderTerms) -> None:
    """Raises ConfigError if an activity, fraction, dose, period or time is out of range."""
    if not (wanted.activity_mbq > 0 and math.isfinite(wanted.activity_mbq)):
        raise ConfigError(f"activity of {wanted.name}: {wanted.activity_mbq} MBq; provide an activity above 0")
    if not 0 <= wanted.residual_fraction < 1:
        raise ConfigError(
            f"residual of {wanted.name}: {wanted.residual_fraction}; provide a fraction from 0 to below 1"
        )
    if wanted.mean_dose_gy is not None and not (wanted.mean_dose_gy > 0 and math.isfinite(wanted.mean_dose_gy)):
        raise ConfigError(f"mean dose of {wanted.name}: {wanted.mean_dose_gy} Gy; provide a dose above 0")
    if not 0 < terms.tolerance_fraction < 1:
        raise ConfigError(f"tolerance: {terms.tolerance_fraction}; provide a fraction between 0 and 1, such as 0.1")
    for name, hours in (("shelf life", terms.shelf_life_h), ("use before calibration", terms.before_calibration_h)):
        if hours is not None and not (hours >= 0 and math.isfinite(hours)):
            raise ConfigError(f"{name}: {hours} h; provide 0 or more hours")
    if not injections:
        raise ConfigError("no injection time is provided; add --injection-time 2026-11-25T10:00+01:00")
    for moment in (*injections, *terms.calibrations):
        if moment.tzinfo is None:
            raise ConfigError(f"time {moment.isoformat()} has no time zone; add an offset such as +01:00")


def _calibrations(
    supply: VialSupply, injections: Sequence[datetime], terms: OrderTerms, shelf_life_h: float
) -> tuple[datetime, ...]:
    if terms.calibrations:
        return terms.calibrations
    if supply.calibration is None:
        raise ConfigError(
            f"vials {supply.name}: the calibration time is not in the data file; "
            "provide --calibration-time as confirmed by the supplier"
        )
    return weekly_calibrations(
        supply.calibration,
        start=hours_after(min(injections), -shelf_life_h),
        end=hours_after(max(injections), terms.before_calibration_h),
    )


def _sizes_mbq(
    wanted: WantedActivity, supply: VialSupply, calibration: datetime, injection: datetime, half_life_h: float
) -> tuple[float, ...]:
    if supply.dispensing != "custom":
        return tuple(one.activity_mbq for one in supply.sizes)
    dispensed = float(dispensed_activity_mbq(wanted.activity_mbq, residual_fraction=wanted.residual_fraction))
    # A dose made to order: its activity at calibration is the wanted one, decayed backwards.
    return (vial_activity_mbq(dispensed, calibration=injection, moment=calibration, half_life_h=half_life_h),)


def _option(
    wanted: WantedActivity,
    supply: VialSupply,
    size_mbq: float,
    calibration: datetime,
    injection: datetime,
    terms: OrderTerms,
    shelf_life_h: float,
    half_life_h: float,
) -> VialOption:
    needed = float(dispensed_activity_mbq(wanted.activity_mbq, residual_fraction=wanted.residual_fraction))
    in_vial = vial_activity_mbq(size_mbq, calibration=calibration, moment=injection, half_life_h=half_life_h)
    dispensed = min(in_vial, needed) if supply.dispensing == "divided" else in_vial
    delivered = float(delivered_activity_mbq(dispensed, residual_fraction=wanted.residual_fraction))
    difference = delivered / wanted.activity_mbq - 1.0
    elapsed = hours_between(calibration, injection)
    state: VialState = "fits"
    if elapsed > shelf_life_h:
        state = "expired"
    elif elapsed < -terms.before_calibration_h:
        state = "before calibration"
    elif difference > terms.tolerance_fraction + _ROUNDING:
        state = "too much"
    elif difference < -terms.tolerance_fraction - _ROUNDING:
        state = "too little"

    def after_h(activity_mbq: float) -> float:
        reached = time_of_activity(size_mbq, activity_mbq, calibration=calibration, half_life_h=half_life_h)
        return hours_between(calibration, reached)

    low, high = -terms.before_calibration_h, shelf_life_h
    exact = after_h(needed)
    # More than is needed can be left in a divided vial.
    begin = low if supply.dispensing == "divided" else max(low, after_h(needed * (1.0 + terms.tolerance_fraction)))
    end = min(high, after_h(needed * (1.0 - terms.tolerance_fraction)))
    possible = begin <= end
    return VialOption(
        vial_mbq=size_mbq,
        calibration=calibration,
        injection=injection,
        in_vial_mbq=in_vial,
        dispensed_mbq=dispensed,
        delivered_mbq=delivered,
        difference_fraction=difference,
        mean_dose_gy=None if wanted.mean_dose_gy is None else wanted.mean_dose_gy * (1.0 + difference),
        state=state,
        usable_from=hours_after(calibration, begin) if possible else None,
        exact_at=hours_after(calibration, exact) if possible and begin <= exact <= end else None,
        usable_until=hours_after(calibration, end) if possible else None,
    )


def _with_texts(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_texts(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
