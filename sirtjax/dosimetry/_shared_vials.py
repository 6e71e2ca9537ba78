"""Vials that are divided over several territories: withdrawals, each at its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations_with_replacement, pairwise

from sirtjax.dosimetry._activity import hours_between
from sirtjax.dosimetry._compartment import dispensed_activity_mbq
from sirtjax.dosimetry._order import OrderTerms, WantedActivity, check_wanted, used_terms, vial_activity_mbq
from sirtjax.dosimetry._vial_combinations import ROUNDING, OrderedVial
from sirtjax.dosimetry._vials import VialSupply, hours_after
from sirtjax.errors import ConfigError

# Halvings of an interval of fractions; the last is below the rounding of an activity.
BISECTIONS = 50
# Periods of use are compared this long after they begin and before they end.
SHORT_H = 1e-6


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """An amount that is drawn from one vial for one territory.

    Attributes:
      territory: name of the territory.
      injection: time of withdrawal and injection.
      vial: number of the vial, from 1.
      before_mbq: activity in the vial before the withdrawal.
      withdrawn_mbq: activity that is drawn.
      left_mbq: activity that is left in the vial, at the same time.
      withdrawn_ml: volume that is drawn; None if the volume of the vial is not known.
    """

    territory: str
    injection: datetime
    vial: int
    before_mbq: float
    withdrawn_mbq: float
    left_mbq: float
    withdrawn_ml: float | None


@dataclass(frozen=True, kw_only=True)
class SharedDelivery:
    """What one territory receives from shared vials.

    Attributes:
      territory: name of the territory.
      injection: injection time.
      delivered_mbq: activity that enters the patient.
      difference_fraction: relative difference from the wanted activity.
      mean_dose_gy: mean dose at `delivered_mbq`; None if the wanted dose is not known.
      spheres_million: number of spheres that enter the patient; None if it is not known for the device.
      bq_per_sphere: mean activity of a sphere at the injection time; None if it is not known for the device.
    """

    territory: str
    injection: datetime
    delivered_mbq: float
    difference_fraction: float
    mean_dose_gy: float | None
    spheres_million: float | None
    bq_per_sphere: float | None


@dataclass(frozen=True, kw_only=True)
class SharedVials:
    """Vials that are divided over all territories.

    Attributes:
      vials: the vials, by calibration time and activity.
      withdrawals: withdrawals in order of time.
      deliveries: one per territory, in the order of the wanted activities.
      latest_delay_h: hours by which all injections together can be delayed so that each still receives its activity
        within the tolerance.
    """

    vials: tuple[OrderedVial, ...]
    withdrawals: tuple[Withdrawal, ...]
    deliveries: tuple[SharedDelivery, ...]
    latest_delay_h: float


def share_vials(
    wanted: Sequence[WantedActivity],
    supply: VialSupply,
    injections: Sequence[datetime],
    *,
    terms: OrderTerms,
    max_vials: int = 1,
    nuclide: str | None = None,
) -> tuple[SharedVials, ...]:
    """Lists the vials from which the activities of several territories can be drawn.

    The search is exhaustive. A territory is drawn from the vial that expires first, then from the next. If they contain
    too little, every territory receives the same fraction of its activity, which must be within the tolerance. Sets of
    vials from which one vial can be omitted are not listed.

    Args:
      wanted: activities that are to reach the patient, one per territory.
      supply: vials of the device, "divided".
      injections: injection time of each territory, with a time zone.
      terms: tolerance, calibration times, shelf life.
      max_vials: largest number of vials.
      nuclide: nuclide record with the half-life, such as that of a plan; None for the record of `supply`.

    Returns:
      Sets of vials, fewest vials first, then by activity at the calibration time and by calibration time. Empty if none
      suffices.

    Raises:
      ConfigError: as in `order_vials`, a value is out of range, or the vials are not divided.

    Examples:
      >>> from sirtjax import dosimetry
      >>> noon, monday, tuesday = (dosimetry.parse_time(f"2026-11-{day}T12:00+00:00") for day in (22, 23, 24))
      >>> terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=(noon,), shelf_life_h=72.0)
      >>> both = [
      ...     dosimetry.WantedActivity(name=name, activity_mbq=mbq, residual_fraction=0.0, mean_dose_gy=None)
      ...     for name, mbq in (("right", 1200.0), ("left", 700.0))
      ... ]
      >>> (only,) = dosimetry.share_vials(both, dosimetry.load_vials("resin"), [monday, tuesday], terms=terms)
      >>> [(one.territory, round(one.withdrawn_ml, 2), round(one.left_mbq)) for one in only.withdrawals]
      [('right', 2.59, 1114), ('left', 1.96, 160)]
    """
    for one, moment in zip(wanted, injections, strict=True):
        check_wanted(one, [moment], terms)
    if not wanted:
        raise ConfigError("no activity is wanted; provide one per territory")
    if max_vials < 1:
        raise ConfigError(f"number of vials: {max_vials}; provide 1 or more")
    if supply.dispensing != "divided":
        raise ConfigError(f"vials {supply.name} are not divided; use combine_vials")
    used, record = used_terms(supply, injections, terms=terms, nuclide=nuclide)
    candidates = sorted((calibration, one.activity_mbq) for calibration in used.calibrations for one in supply.sizes)
    needed = [
        float(dispensed_activity_mbq(one.activity_mbq, residual_fraction=one.residual_fraction)) for one in wanted
    ]
    enough: list[tuple[OrderedVial, ...]] = []
    found: list[SharedVials] = []
    for number in range(1, max_vials + 1):
        for chosen in combinations_with_replacement(candidates, number):
            vials = tuple(OrderedVial(vial_mbq=mbq, calibration=calibration) for calibration, mbq in chosen)
            if any(_contains(vials, smaller) for smaller in enough):
                continue
            plan = _Drawing(vials, needed, injections, used, record.half_life_h, supply.vial_ml)
            fraction = plan.largest_fraction()
            if fraction is None:
                continue
            enough.append(vials)
            found.append(_shared(plan, wanted, supply, fraction))
    return tuple(
        sorted(
            found,
            key=lambda one: (
                len(one.vials),
                sum(vial.vial_mbq for vial in one.vials),
                [vial.calibration.timestamp() for vial in one.vials],
            ),
        )
    )


def _contains(vials: tuple[OrderedVial, ...], smaller: tuple[OrderedVial, ...]) -> bool:
    left = list(vials)
    for one in smaller:
        if one not in left:
            return False
        left.remove(one)
    return True


@dataclass(frozen=True)
class _Drawing:
    """The withdrawals from some vials."""

    vials: tuple[OrderedVial, ...]
    needed_mbq: Sequence[float]
    injections: Sequence[datetime]
    terms: OrderTerms
    half_life_h: float
    vial_ml: float | None

    def largest_fraction(self) -> float | None:
        """The fraction of its activity that every territory receives, at most 1; None if it is out of tolerance."""
        low, high = 1.0 - self.terms.tolerance_fraction, 1.0
        if self.withdrawals(high) is not None:
            return high
        if self.withdrawals(low) is None:
            return None
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self.withdrawals(middle) is None else (middle, high)
        return low

    def withdrawals(self, fraction: float, *, delay_h: float = 0.0) -> list[tuple[int, Withdrawal]] | None:
        """The withdrawals with the number of the territory; None if the vials contain too little."""
        # What is left in each vial, as activity at its calibration time.
        left = [one.vial_mbq for one in self.vials]
        found = []
        for index in sorted(range(len(self.needed_mbq)), key=lambda one: self.injections[one].timestamp()):
            moment = hours_after(self.injections[index], delay_h)
            open_mbq = fraction * self.needed_mbq[index]
            least = ROUNDING * open_mbq
            for number, vial in enumerate(self.vials):
                age_h = hours_between(vial.calibration, moment)
                if not -self.terms.before_calibration_h <= age_h <= (self.terms.shelf_life_h or 0.0) + ROUNDING:
                    continue
                full = vial_activity_mbq(
                    vial.vial_mbq, calibration=vial.calibration, moment=moment, half_life_h=self.half_life_h
                )
                before = full * left[number] / vial.vial_mbq
                drawn = min(before, open_mbq)
                if drawn <= least:
                    continue
                left[number] -= drawn / full * vial.vial_mbq
                open_mbq -= drawn
                one = Withdrawal(
                    territory="",
                    injection=moment,
                    vial=number + 1,
                    before_mbq=before,
                    withdrawn_mbq=drawn,
                    left_mbq=before - drawn,
                    withdrawn_ml=None if self.vial_ml is None else self.vial_ml * drawn / full,
                )
                found.append((index, one))
            if open_mbq > least:
                return None
        return found

    def latest_delay_h(self) -> float:
        """The longest common delay up to which every territory receives its activity within the tolerance.

        Between the times at which a vial begins or ends to be usable for an injection, the activity only decays.
        """
        before_h, shelf_h = self.terms.before_calibration_h, self.terms.shelf_life_h or 0.0
        delays_h = [
            hours_between(moment, vial.calibration) + usable_h
            for vial in self.vials
            for moment in self.injections
            for usable_h in (-before_h, shelf_h)
        ]
        ends_h = sorted({0.0, *(delay_h for delay_h in delays_h if delay_h > 0)})
        for begin, end in pairwise(ends_h):
            low, high = begin + (SHORT_H if begin > 0 else 0.0), end - SHORT_H
            if not self._enough(low):
                return begin
            if self._enough(high):
                continue
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if self._enough(middle) else (low, middle)
            return low
        return ends_h[-1]

    def _enough(self, delay_h: float) -> bool:
        return self.withdrawals(1.0 - self.terms.tolerance_fraction, delay_h=delay_h) is not None


def _shared(plan: _Drawing, wanted: Sequence[WantedActivity], supply: VialSupply, fraction: float) -> SharedVials:
    drawn = plan.withdrawals(fraction) or []
    deliveries = []
    for index, one in enumerate(wanted):
        parts = [part for number, part in drawn if number == index]
        dispensed = sum(part.withdrawn_mbq for part in parts)
        delivered = dispensed * (1.0 - one.residual_fraction)
        ratio = delivered / one.activity_mbq
        million = None
        if supply.spheres_million_per_mbq is not None:
            million = supply.spheres_million_per_mbq * sum(_at_calibration_mbq(plan, part) for part in parts)
        deliveries.append(
            SharedDelivery(
                territory=one.name,
                injection=plan.injections[index],
                delivered_mbq=delivered,
                difference_fraction=ratio - 1.0,
                mean_dose_gy=None if one.mean_dose_gy is None else one.mean_dose_gy * ratio,
                spheres_million=None if million is None else million * (1.0 - one.residual_fraction),
                bq_per_sphere=None if million is None else dispensed / million,
            )
        )
    named = tuple(Withdrawal(**(vars(part) | {"territory": wanted[number].name})) for number, part in drawn)
    return SharedVials(
        vials=plan.vials, withdrawals=named, deliveries=tuple(deliveries), latest_delay_h=plan.latest_delay_h()
    )


def _at_calibration_mbq(plan: _Drawing, part: Withdrawal) -> float:
    calibration = plan.vials[part.vial - 1].calibration
    return vial_activity_mbq(
        part.withdrawn_mbq, calibration=part.injection, moment=calibration, half_life_h=plan.half_life_h
    )
