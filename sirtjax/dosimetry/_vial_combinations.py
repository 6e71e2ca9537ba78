"""Combinations of whole vials for one activity: every multiset up to a number of vials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations_with_replacement
from typing import Literal, get_args

from sirtjax.dosimetry._activity import hours_between
from sirtjax.dosimetry._compartment import delivered_activity_mbq, dispensed_activity_mbq
from sirtjax.dosimetry._order import (
    OrderTerms,
    WantedActivity,
    check_wanted,
    delay_loss_fraction,
    order_vials,
    used_terms,
    vial_activity_mbq,
)
from sirtjax.dosimetry._vials import VialSupply, hours_after
from sirtjax.errors import ConfigError

VialSort = Literal["closest", "fewest vials", "fewest spheres"]
# Relative rounding error of decay and its inverse; far below any tolerance of an activity.
ROUNDING = 1e-9
# More combinations than this take longer than a few seconds.
MAX_COMBINATIONS = 100_000


@dataclass(frozen=True, kw_only=True)
class OrderedVial:
    """A vial of an order.

    Attributes:
      vial_mbq: activity at the calibration time, which is the activity to order.
      calibration: calibration time.
    """

    vial_mbq: float
    calibration: datetime


@dataclass(frozen=True, kw_only=True)
class VialCombination:
    """Vials that are injected one after another into one territory.

    Attributes:
      vials: the vials, by calibration time and activity.
      injection: injection time.
      in_vials_mbq: activity in all vials at the injection time.
      delivered_mbq: activity that enters the patient.
      difference_fraction: relative difference from the wanted activity.
      mean_dose_gy: mean dose at `delivered_mbq`; None if the wanted dose is not known.
      loss_gy_per_hour: mean dose that is lost per hour of delay; None if the wanted dose is not known.
      spheres_million: number of spheres that enter the patient; None if it is not known for the device.
      bq_per_sphere: mean activity of a sphere at the injection time; None if it is not known for the device.
      fits: whether the wanted activity is delivered within the tolerance.
      usable_from: first time at which the combination delivers the wanted activity within the tolerance.
      exact_at: time at which it delivers the wanted activity exactly; None if never within its period of use.
      usable_until: last time at which it delivers the wanted activity within the tolerance.
    """

    vials: tuple[OrderedVial, ...]
    injection: datetime
    in_vials_mbq: float
    delivered_mbq: float
    difference_fraction: float
    mean_dose_gy: float | None
    loss_gy_per_hour: float | None
    spheres_million: float | None
    bq_per_sphere: float | None
    fits: bool
    usable_from: datetime | None
    exact_at: datetime | None
    usable_until: datetime | None


def combine_vials(
    wanted: WantedActivity,
    supply: VialSupply,
    injections: Sequence[datetime],
    *,
    terms: OrderTerms,
    max_vials: int = 1,
    sort: VialSort = "closest",
    nuclide: str | None = None,
) -> tuple[VialCombination, ...]:
    """Lists the combinations of whole vials that deliver a wanted activity, from an exhaustive search.

    Args:
      wanted: activity that is to reach the patient.
      supply: vials of the device, "whole" or "custom"; a dose made to order is always one vial.
      injections: possible injection times, with a time zone.
      terms: tolerance, calibration times, shelf life.
      max_vials: largest number of vials of a combination.
      sort: "closest" to the wanted activity, "fewest vials" or "fewest spheres" first; ties by closeness.
      nuclide: nuclide record with the half-life, such as that of a plan; None for the record of `supply`.

    Returns:
      All combinations within the tolerance, sorted. If there is none, the closest one, with `fits` false; empty if
      no vial is usable at any time.

    Raises:
      ConfigError: as in `order_vials`, a value is out of range, the vials are divided, the number of spheres is not
        known for `sort`, or there are too many combinations.

    Examples:
      >>> from sirtjax import dosimetry
      >>> sunday, thursday = (dosimetry.parse_time(f"2026-11-{day}T12:00+00:00") for day in (22, 26))
      >>> terms = dosimetry.OrderTerms(tolerance_fraction=0.02, calibrations=(sunday,), shelf_life_h=240.0)
      >>> one = {"name": "right", "activity_mbq": 2833.0, "residual_fraction": 0.0, "mean_dose_gy": 90.0}
      >>> found = dosimetry.combine_vials(
      ...     dosimetry.WantedActivity(**one), dosimetry.load_vials("glass"), [thursday], terms=terms, max_vials=2
      ... )
      >>> [[vial.vial_mbq for vial in one.vials] for one in found]  # 8 GBq after 96 h
      [[3000.0, 5000.0]]
    """
    check_wanted(wanted, injections, terms)
    if max_vials < 1:
        raise ConfigError(f"number of vials: {max_vials}; provide 1 or more")
    if supply.dispensing == "divided":
        raise ConfigError(f"vials {supply.name} are divided; use share_vials instead of combinations of whole vials")
    if sort not in get_args(VialSort):
        raise ConfigError(f"sort: {sort!r}; choose one of {', '.join(get_args(VialSort))}")
    if sort == "fewest spheres" and supply.spheres_million_per_mbq is None:
        raise ConfigError(f"vials {supply.name}: the number of spheres is not in the data file; sort by another value")
    used, record = used_terms(supply, injections, terms=terms, nuclide=nuclide)
    found: list[VialCombination] = []
    for injection in injections:
        candidates = _candidates(wanted, supply, injection, used, nuclide)
        most = 1 if supply.dispensing == "custom" else max_vials
        count = sum(math.comb(len(candidates) + number - 1, number) for number in range(1, most + 1))
        if candidates and count > MAX_COMBINATIONS:
            raise ConfigError(
                f"{count} combinations of {most} vials; reduce the number of vials or the calibration times"
            )
        for number in range(1, most + 1):
            for vials in combinations_with_replacement(candidates, number):
                found.append(_combination(wanted, supply, vials, injection, used, record.half_life_h))
    fitting = [one for one in found if one.fits]
    if not fitting:
        return tuple(sorted(found, key=_distance)[:1])
    keys = {
        "closest": lambda one: (*_distance(one), len(one.vials)),
        "fewest vials": lambda one: (len(one.vials), *_distance(one)),
        "fewest spheres": lambda one: (one.spheres_million or 0.0, *_distance(one)),
    }
    return tuple(sorted(fitting, key=keys[sort]))


def _distance(one: VialCombination) -> tuple[float, float]:
    return abs(one.difference_fraction), one.injection.timestamp()


def _candidates(
    wanted: WantedActivity, supply: VialSupply, injection: datetime, terms: OrderTerms, nuclide: str | None
) -> tuple[OrderedVial, ...]:
    """The single vials within their period of use, by calibration time and activity."""
    order = order_vials(wanted, supply, [injection], terms=terms, nuclide=nuclide)
    usable = [one for one in order.options if one.state not in ("expired", "before calibration")]
    unique = {(one.calibration, one.vial_mbq) for one in usable}
    return tuple(OrderedVial(vial_mbq=mbq, calibration=calibration) for calibration, mbq in sorted(unique))


def _combination(
    wanted: WantedActivity,
    supply: VialSupply,
    vials: tuple[OrderedVial, ...],
    injection: datetime,
    terms: OrderTerms,
    half_life_h: float,
) -> VialCombination:
    needed = float(dispensed_activity_mbq(wanted.activity_mbq, residual_fraction=wanted.residual_fraction))
    in_vials = sum(
        vial_activity_mbq(one.vial_mbq, calibration=one.calibration, moment=injection, half_life_h=half_life_h)
        for one in vials
    )
    delivered = float(delivered_activity_mbq(in_vials, residual_fraction=wanted.residual_fraction))
    difference = delivered / wanted.activity_mbq - 1.0
    tolerance = terms.tolerance_fraction

    # All vials decay with one half-life. Hours are relative to the injection.
    def reached_h(activity_mbq: float) -> float:
        return half_life_h * math.log2(in_vials / activity_mbq)

    ages_h = [hours_between(one.calibration, injection) for one in vials]
    low = -min(ages_h) - terms.before_calibration_h
    high = (terms.shelf_life_h or 0.0) - max(ages_h)
    exact = reached_h(needed)
    begin, end = max(low, reached_h(needed * (1 + tolerance))), min(high, reached_h(needed * (1 - tolerance)))
    possible = begin <= end
    dose = None if wanted.mean_dose_gy is None else wanted.mean_dose_gy * (1.0 + difference)
    per_mbq = supply.spheres_million_per_mbq
    million = None if per_mbq is None else per_mbq * sum(one.vial_mbq for one in vials)
    return VialCombination(
        vials=vials,
        injection=injection,
        in_vials_mbq=in_vials,
        delivered_mbq=delivered,
        difference_fraction=difference,
        mean_dose_gy=dose,
        loss_gy_per_hour=None if dose is None else dose * delay_loss_fraction(1.0, half_life_h=half_life_h),
        spheres_million=None if million is None else million * (1.0 - wanted.residual_fraction),
        bq_per_sphere=None if million is None else in_vials / million,
        fits=abs(difference) <= tolerance + ROUNDING,
        usable_from=hours_after(injection, begin) if possible else None,
        exact_at=hours_after(injection, exact) if possible and begin <= exact <= end else None,
        usable_until=hours_after(injection, end) if possible else None,
    )
