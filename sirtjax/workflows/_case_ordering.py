"""The order of a plan whose case has the table [order]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sirtjax.dosimetry import (
    Check,
    OrderTerms,
    SharedVials,
    VialCombination,
    VialSupply,
    WantedActivity,
    combine_vials,
    delay_loss_fraction,
    get_nuclide,
    load_protocol,
    load_vials,
    make_check,
    order_vials,
    parse_time,
    share_vials,
)
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_order import OrderTable
from sirtjax.workflows._order_record import OrderRecord, TerritoryOrder
from sirtjax.workflows._results import InjectionResult, VoiResult

# Options of a territory in the report and in results.json.
SHOWN = 10


@dataclass(frozen=True)
class _Request:
    """The [order] of a case with its times as instants."""

    table: OrderTable
    supply: VialSupply
    injections: tuple[datetime, ...]
    own: dict[str, datetime]
    terms: OrderTerms

    def times(self, territory: str) -> tuple[datetime, ...]:
        return (self.own[territory],) if territory in self.own else self.injections


def check_order(case: Case) -> None:
    """Checks that the [order] of a case is complete, before the dose is computed.

    Raises:
      ConfigError: a time has no time zone, a time, calibration or shelf life is missing, or a value is out of range.
    """
    request = _request(case)
    if request is None:
        return
    nuclide = load_protocol(case.protocol.name).nuclide_record_named(case.dose.constant).name
    probe = WantedActivity(name="order", activity_mbq=1.0, residual_fraction=0.0, mean_dose_gy=None)
    names = [one.territory for one in case.injections] or [""]
    for name in names:
        times = request.times(name)
        if not times:
            raise ConfigError(
                f"order: no injection time for {name or 'the injection'}; add order.injection_times, "
                "or `time` to the [[injections]]"
            )
        if request.supply.dispensing == "divided":
            share_vials([probe], request.supply, times[:1], terms=request.terms, nuclide=nuclide)
        else:
            table = request.table
            combine_vials(
                probe,
                request.supply,
                times,
                terms=request.terms,
                max_vials=table.max_vials,
                sort=table.sort,
                nuclide=nuclide,
            )


def case_order(
    case: Case, injections: Sequence[InjectionResult], vois: Sequence[VoiResult], *, nuclide: str
) -> tuple[OrderRecord | None, tuple[Check, ...]]:
    """Returns the vials for the prescribed activities, with checks; None if the case has no [order].

    Args:
      case: the case.
      injections: prescription of each territory.
      vois: VOIs of the plan, for volumes and mean doses of the territories.
      nuclide: nuclide record of the plan.
    """
    request = _request(case)
    if request is None:
        return None, ()
    supply, table = request.supply, request.table
    rows = {voi.name: voi for voi in vois if voi.kind == "territory"}
    wanted = [
        WantedActivity(
            name=one.territory,
            activity_mbq=one.activity_mbq,
            residual_fraction=one.residual_fraction or 0.0,
            mean_dose_gy=rows[one.territory].mean_gy or None,
        )
        for one in injections
        if one.activity_mbq > 0
    ]
    checks = [make_check("SJ571", where=one.territory) for one in injections if one.activity_mbq <= 0]
    shared: tuple[SharedVials, ...] = ()
    territories = []
    for one in wanted:
        options: tuple[VialCombination, ...] = ()
        if supply.dispensing != "divided":
            options = combine_vials(
                one,
                supply,
                request.times(one.name),
                terms=request.terms,
                max_vials=table.max_vials,
                sort=table.sort,
                nuclide=nuclide,
            )
            if not any(option.fits for option in options):
                checks.append(make_check("SJ570", where=one.name, limit=table.tolerance_fraction))
        territories.append(
            TerritoryOrder(
                territory=one.name,
                activity_mbq=one.activity_mbq,
                residual_fraction=one.residual_fraction,
                volume_ml=rows[one.name].volume_ml,
                mean_dose_gy=one.mean_dose_gy,
                found=sum(option.fits for option in options),
                options=options[:SHOWN],
            )
        )
    if supply.dispensing == "divided" and wanted:
        shared = _shared(request, wanted, nuclide)
        if not shared:
            names = ", ".join(one.name for one in wanted)
            checks.append(make_check("SJ570", where=names, limit=table.tolerance_fraction))
    every = tuple(dict.fromkeys(moment for one in injections for moment in request.times(one.territory)))
    return _record(request, every, tuple(territories), shared, nuclide), tuple(checks)


def _shared(request: _Request, wanted: Sequence[WantedActivity], nuclide: str) -> tuple[SharedVials, ...]:
    """The shared vials for each possible time of the territories without a time of their own."""
    open_times = request.injections if any(one.name not in request.own for one in wanted) else request.injections[:1]
    found: list[SharedVials] = []
    for moment in open_times or (None,):
        times = [request.own.get(one.name, moment) for one in wanted]
        found += share_vials(
            wanted,
            request.supply,
            [time for time in times if time is not None],
            terms=request.terms,
            max_vials=request.table.max_vials,
            nuclide=nuclide,
        )
    return tuple(sorted(found, key=lambda one: len(one.vials)))[:SHOWN]


def _record(
    request: _Request,
    times: tuple[datetime, ...],
    territories: tuple[TerritoryOrder, ...],
    shared: tuple[SharedVials, ...],
    nuclide: str,
) -> OrderRecord:
    supply, table = request.supply, request.table
    probe = WantedActivity(name="order", activity_mbq=1.0, residual_fraction=0.0, mean_dose_gy=None)
    used = order_vials(probe, supply, times, terms=request.terms, nuclide=nuclide).terms
    half_life_h = get_nuclide(nuclide).half_life_h
    sources = [
        f"dispensing: {supply.dispensing_source}",
        # Sources of the sizes differ in the size that they state.
        *(f"sizes: {one.source.rpartition(': ')[0] or one.source}" for one in supply.sizes),
        f"spheres: {supply.spheres_source}" if supply.spheres_source else "",
        f"volume of a vial: {supply.volume_source}" if supply.volume_source else "",
        f"shelf life: {'the case' if table.shelf_life_h is not None else supply.shelf_life_source}",
        f"calibration: {'the case' if table.calibration_times else getattr(supply.calibration, 'source', '')}",
    ]
    return OrderRecord(
        product=supply.product,
        dispensing=supply.dispensing,
        half_life_h=half_life_h,
        loss_per_hour_fraction=delay_loss_fraction(1.0, half_life_h=half_life_h),
        tolerance_fraction=table.tolerance_fraction,
        injection_times=times,
        calibrations=used.calibrations,
        shelf_life_h=used.shelf_life_h or 0.0,
        before_calibration_h=used.before_calibration_h,
        max_vials=table.max_vials,
        sort=table.sort,
        territories=territories,
        shared=shared,
        sources=tuple(dict.fromkeys(one for one in sources if one)),
        notes=supply.notes,
    )


def _request(case: Case) -> _Request | None:
    table = case.order
    if table is None:
        return None
    device = load_protocol(case.protocol.name).device if table.device is None else table.device

    def instant(moment: datetime) -> datetime:
        return parse_time(moment.isoformat(), zone=table.time_zone)

    return _Request(
        table=table,
        supply=load_vials(device),
        injections=tuple(instant(one) for one in table.injection_times),
        own={one.territory: instant(one.time) for one in case.injections if one.time is not None},
        terms=OrderTerms(
            tolerance_fraction=table.tolerance_fraction,
            calibrations=tuple(instant(one) for one in table.calibration_times),
            shelf_life_h=table.shelf_life_h,
            before_calibration_h=table.before_calibration_h,
        ),
    )
