"""The order of vials as sentences and tables, for every kind of report."""

from __future__ import annotations

from datetime import datetime, tzinfo
from string import ascii_uppercase
from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import NONE, ReportTable, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sirtjax.dosimetry import OrderedVial, SharedVials, VialCombination
    from sirtjax.workflows import OrderRecord, TerritoryOrder

DISPENSING = {
    "whole": "whole vials are injected",
    "divided": "the activity is drawn from the vials",
    "custom": "each dose is made to order",
}
MOMENT, DATED = "%a %d %b %H:%M", "%a %Y-%m-%d %H:%M"


def order_sentences(order: OrderRecord) -> tuple[str, ...]:
    """Returns what was searched, by which rules, and the sources of the numbers."""
    zone = _zone(order)
    names = _calibration_names(order)
    calibrations = ", ".join(
        " ".join(part for part in (names[one], _time(one, zone, DATED)) if part) for one in order.calibrations
    )
    found = [
        f"{order.product}: {DISPENSING[order.dispensing]}. All times are in {zone_name(order)}.",
        f"Searched: up to {order.max_vials} {'vial' if order.max_vials == 1 else 'vials'} "
        f"{'for all territories' if order.dispensing == 'divided' else 'per territory'}, calibrated {calibrations}, "
        "usable from "
        f"{order.before_calibration_h:g} h before to {order.shelf_life_h:g} h after calibration, tolerance "
        f"{100 * order.tolerance_fraction:g} %."
        + (f" Sorted by: {order.sort}." if order.dispensing == "whole" else ""),
        f"Each hour of delay loses {100 * order.loss_per_hour_fraction:.2f} % of activity and dose (half-life "
        f"{order.half_life_h:g} h). Mean doses are those of the plan, multiplied by the ratio of the activities.",
    ]
    short = [one for one in order.territories if order.dispensing != "divided" and one.found == 0 and one.options]
    found += [f"{one.territory}: nothing is within the tolerance; the table shows the closest." for one in short]
    more = [one for one in order.territories if one.found > len(one.options)]
    found += [f"{one.territory}: the first {len(one.options)} of {one.found} possibilities are shown." for one in more]
    if order.dispensing == "divided" and order.territories and not order.shared:
        found.append("No set of vials contains enough for all territories.")
    return (*found, f"Sources: {'; '.join(order.sources)}.", *order.notes)


def order_tables(order: OrderRecord) -> tuple[ReportTable, ...]:
    """Returns a table per territory for whole vials, or the deliveries of each set of shared vials."""
    zone = _zone(order)
    tables = [_options(one, order, zone) for one in order.territories if one.options]
    for number, shared in enumerate(order.shared, 1):
        tables += _shared(number, shared, order, zone)
    return tuple(tables)


def zone_name(order: OrderRecord) -> str:
    """Returns the time zone of the tables, that of the first injection time."""
    return "UTC" if not order.injection_times else str(order.injection_times[0].tzinfo)


def vials_text(vials: Iterable[OrderedVial], order: OrderRecord) -> str:
    """Returns number, activity and calibration of vials, such as "2 x 3000 (A) + 5000 (B)"."""
    names = _calibration_names(order)
    counts: dict[OrderedVial, int] = {}
    for one in vials:
        counts[one] = counts.get(one, 0) + 1
    return " + ".join(
        (f"{count} x " if count > 1 else "")
        + f"{vial.vial_mbq:.0f}"
        + (f" ({names[vial.calibration]})" if names[vial.calibration] else "")
        for vial, count in counts.items()
    )


def _calibration_names(order: OrderRecord) -> dict[datetime, str]:
    """A letter or number for each calibration time; empty if there is only one."""
    if len(order.calibrations) == 1:
        return {order.calibrations[0]: ""}
    names = (
        ascii_uppercase if len(order.calibrations) <= len(ascii_uppercase) else range(1, 1 + len(order.calibrations))
    )
    return {one: str(name) for one, name in zip(order.calibrations, names, strict=False)}


def _options(one: TerritoryOrder, order: OrderRecord, zone: tzinfo | None) -> ReportTable:
    header = (
        "vials (MBq at calibration)",
        "injection",
        "into patient (MBq)",
        "difference (%)",
        "mean dose (Gy)",
        "Gy lost per hour",
        "spheres (million)",
        "1000 spheres per mL",
        "Bq per sphere",
        "usable from",
        "exact at",
        "usable until",
    )
    rows = [_option(option, one, order, zone) for option in one.options]
    wanted = f"{one.territory}: {one.activity_mbq:.0f} MBq, {one.volume_ml:.0f} mL, {rounded(one.mean_dose_gy)} Gy"
    missed = frozenset((n, 3) for n, option in enumerate(one.options) if not option.fits)
    return ReportTable(title=wanted, header=header, rows=tuple(rows), missed=missed)


def _option(option: VialCombination, one: TerritoryOrder, order: OrderRecord, zone: tzinfo | None) -> tuple[str, ...]:
    million = option.spheres_million
    return (
        vials_text(option.vials, order),
        _time(option.injection, zone),
        f"{option.delivered_mbq:.0f}",
        _percent(option.difference_fraction),
        rounded(option.mean_dose_gy),
        rounded(option.loss_gy_per_hour),
        rounded(million),
        rounded(None if million is None else 1000 * million / one.volume_ml),
        rounded(option.bq_per_sphere),
        _time(option.usable_from, zone),
        _time(option.exact_at, zone),
        _time(option.usable_until, zone),
    )


def _shared(number: int, shared: SharedVials, order: OrderRecord, zone: tzinfo | None) -> list[ReportTable]:
    volumes = {one.territory: one.volume_ml for one in order.territories}
    delivered = ReportTable(
        title=f"Possibility {number}: {vials_text(shared.vials, order)} MBq at calibration; "
        f"latest common delay {shared.latest_delay_h:.1f} h",
        header=(
            "territory",
            "injection",
            "into patient (MBq)",
            "difference (%)",
            "mean dose (Gy)",
            "spheres (million)",
            "1000 spheres per mL",
            "Bq per sphere",
        ),
        rows=tuple(
            (
                one.territory,
                _time(one.injection, zone),
                f"{one.delivered_mbq:.0f}",
                _percent(one.difference_fraction),
                rounded(one.mean_dose_gy),
                rounded(one.spheres_million),
                rounded(None if one.spheres_million is None else 1000 * one.spheres_million / volumes[one.territory]),
                rounded(one.bq_per_sphere),
            )
            for one in shared.deliveries
        ),
    )
    drawn = ReportTable(
        title="",
        header=("withdrawal for", "time", "vial", "in vial before (MBq)", "drawn (MBq)", "drawn (mL)", "left (MBq)"),
        rows=tuple(
            (
                one.territory,
                _time(one.injection, zone),
                str(one.vial),
                f"{one.before_mbq:.0f}",
                f"{one.withdrawn_mbq:.0f}",
                rounded(one.withdrawn_ml),
                f"{one.left_mbq:.0f}",
            )
            for one in shared.withdrawals
        ),
    )
    return [delivered, drawn]


def _zone(order: OrderRecord) -> tzinfo | None:
    return order.injection_times[0].tzinfo if order.injection_times else None


def _time(moment: datetime | None, zone: tzinfo | None, form: str = MOMENT) -> str:
    return NONE if moment is None else moment.astimezone(zone).strftime(form)


def _percent(fraction: float) -> str:
    # Plus zero: never "-0.0".
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"
