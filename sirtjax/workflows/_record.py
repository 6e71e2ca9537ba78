"""The treatment record of a case: derived values and the checks of contradictions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, Protocol, ProtocolObjective, make_check
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case, InjectionTable
from sirtjax.workflows._case_record import LiverFunctionTable, RecordedVialTable
from sirtjax.workflows._coverage_checks import LIMITS
from sirtjax.workflows._record_result import LiverFunctionRecord, TreatmentRecord, VialRecord


def treatment_record(
    case: Case, injections: Sequence[InjectionTable], protocol: Protocol, *, half_life_h: float
) -> tuple[TreatmentRecord, tuple[Check, ...]]:
    """Returns the treatment record of a case, and the checks of its contradictions.

    Args:
      case: the case.
      injections: one injection per treated territory.
      protocol: protocol of the case, for limits that hold only for a range of bilirubin.
      half_life_h: half-life of the nuclide.

    Returns:
      The record, and the checks SJ550 to SJ558 that apply.

    Raises:
      ConfigError: a vial has a territory without an injection, or times with and without a time zone are mixed.
    """
    table = case.record
    by_territory = {one.territory: one for one in injections}
    vials: list[VialRecord] = []
    checks: list[Check] = []
    limit = table.activity_tolerance
    for n, vial in enumerate(table.vials, start=1):
        injection = by_territory.get(vial.territory)
        if injection is None:
            raise ConfigError(
                f"record.vials {n}: territory {vial.territory!r} has no injection; choose one of "
                f"{', '.join(map(repr, by_territory))}"
            )
        row = _vial(vial, injection, half_life_h=half_life_h)
        vials.append(row)
        if row.expected_mbq is not None and row.vial_mbq is not None:
            where = f"vial {vial.lot or n} ({vial.territory})"
            change = row.vial_mbq / row.expected_mbq - 1.0
            checks += dosimetry.vial_calibration_checks(where, change=change, limit=limit)
    for territory, injection in by_territory.items():
        mine = [row for row in vials if row.territory == territory]
        checks += _injection_checks(injection, mine, limit)
    checks += _date_checks(case, injections)
    # An objective of the case on the same role and direction replaces that of the protocol.
    replaced = {(one.voi, one.direction) for one in case.prescription.objectives}
    method = case.protocol.method or ("multi" if protocol.multi else "single")
    rows = protocol.multi if method == "multi" else protocol.single
    used = [row for row in rows if (row.objective.voi, row.objective.direction) not in replaced]
    liver_function, found = _liver_function(table.liver_function, used)
    dates = {role: day.isoformat() for role, day in table.imaging_dates if day is not None}
    record = TreatmentRecord(
        prescriber=table.prescriber,
        physicist=table.physicist,
        treatment_date=None if table.treatment_date is None else table.treatment_date.isoformat(),
        paper=table.paper,
        liver_function=liver_function,
        vials=tuple(vials),
        imaging_dates=dates,
    )
    return record, (*checks, *found)


def _vial(vial: RecordedVialTable, injection: InjectionTable, *, half_life_h: float) -> VialRecord:
    def decayed(activity_mbq: float, start: datetime, end: datetime) -> float:
        elapsed_h = dosimetry.hours_between(start, end)
        return activity_mbq * math.exp2(-elapsed_h / half_life_h)

    expected = residual = fraction = delivered = None
    if vial.calibrated_mbq is not None and vial.calibration_time is not None and vial.vial_time is not None:
        expected = decayed(vial.calibrated_mbq, vial.calibration_time, vial.vial_time)
    if vial.rate_before is not None and vial.rate_after is not None and vial.rate_background is not None:
        fraction = (vial.rate_after - vial.rate_background) / (vial.rate_before - vial.rate_background)
        residual = None if vial.vial_mbq is None else fraction * vial.vial_mbq
    elif vial.residual_mbq is not None and vial.residual_time is not None and vial.vial_time is not None:
        residual = decayed(vial.residual_mbq, vial.residual_time, vial.vial_time)
        if vial.vial_mbq is not None:
            fraction = residual / vial.vial_mbq
            if fraction >= 1.0:
                raise ConfigError(
                    f"record.vials: the residual of {vial.residual_mbq:g} MBq is not below the {vial.vial_mbq:g} MBq "
                    f"in the vial for {vial.territory!r}; correct one of them"
                )
    if vial.vial_mbq is not None and vial.vial_time is not None and residual is not None:
        delivered = decayed(vial.vial_mbq - residual, vial.vial_time, injection.time or vial.vial_time)
    return VialRecord(
        territory=vial.territory,
        lot=vial.lot,
        calibrated_mbq=vial.calibrated_mbq,
        calibration_time=_iso(vial.calibration_time),
        vial_mbq=vial.vial_mbq,
        vial_time=_iso(vial.vial_time),
        expected_mbq=expected,
        residual_mbq=residual,
        residual_fraction=fraction,
        residual_method=vial.residual_method,
        delivered_mbq=delivered,
    )


def _injection_checks(injection: InjectionTable, vials: Sequence[VialRecord], limit: float | None) -> list[Check]:
    """Compares the activity and the residual of an injection with its vials, or asks for an unlikely residual."""
    delivered = [row.delivered_mbq for row in vials if row.delivered_mbq is not None]
    if not vials or len(delivered) < len(vials):
        largest, stated = LIMITS["SJ558"], injection.residual_fraction
        measured = bool(vials) and all(row.residual_fraction is not None for row in vials)
        unlikely = isinstance(largest, float) and stated is not None and stated > largest and not measured
        return [make_check("SJ558", where=injection.territory, value=stated)] if unlikely else []
    found: list[Check] = []
    if injection.activity_mbq is not None:
        change = injection.activity_mbq / sum(delivered) - 1.0
        found += dosimetry.recorded_activity_checks(injection.territory, change=change, limit=limit)
    if injection.residual_fraction is not None:
        before = sum(row.vial_mbq or 0.0 for row in vials)
        residual = sum(row.residual_mbq or 0.0 for row in vials) / before
        change = (1.0 - injection.residual_fraction) / (1.0 - residual) - 1.0
        where = f"{injection.territory} ({100 * injection.residual_fraction:.3g} %, measured {100 * residual:.3g} %)"
        found += dosimetry.recorded_residual_checks(where, change=change, limit=limit)
    return found


def _date_checks(case: Case, injections: Sequence[InjectionTable]) -> list[Check]:
    day = case.record.treatment_date
    if day is None:
        return []
    times = {f"the injection into {one.territory}": one.time for one in injections}
    others: dict[str, set[str]] = defaultdict(set)
    for name, time in times.items():
        if time is not None and time.date() != day:
            others[name].add(time.date().isoformat())
    for vial in case.record.vials:
        if vial.vial_time is not None and vial.vial_time.date() != day:
            others[f"the vial for {vial.territory}"].add(vial.vial_time.date().isoformat())
    where = [f"{name} on {', '.join(sorted(days))}" for name, days in others.items()]
    return list(dosimetry.treatment_date_checks(day.isoformat(), where))


def _liver_function(
    table: LiverFunctionTable, objectives: Sequence[ProtocolObjective]
) -> tuple[LiverFunctionRecord, tuple[Check, ...]]:
    checks: list[Check] = []
    bilirubin = albumin = score = grade = None
    if table.bilirubin is not None and table.bilirubin_unit is not None:
        bilirubin = dosimetry.bilirubin_umol_per_l(table.bilirubin, unit=table.bilirubin_unit)
    if table.albumin is not None:
        albumin = table.albumin * (10.0 if table.albumin_unit == "g/dL" else 1.0)
    checks += dosimetry.laboratory_checks(
        bilirubin_umol_per_l=bilirubin, albumin_g_per_l=albumin, objectives=objectives
    )
    if bilirubin is not None and albumin is not None:
        score = dosimetry.albi_score(bilirubin_umol_per_l=bilirubin, albumin_g_per_l=albumin)
        grade = dosimetry.albi_grade(score)
        checks += dosimetry.albi_checks(score, stated_score=table.albi, stated_grade=table.albi_grade)
    points = table.child_pugh_points
    record = LiverFunctionRecord(
        date=None if table.date is None else table.date.isoformat(),
        bilirubin_umol_per_l=bilirubin,
        bilirubin_as_stated="" if bilirubin is None else f"{table.bilirubin:g} {table.bilirubin_unit}",
        albumin_g_per_l=albumin,
        albi=score,
        albi_grade=grade,
        stated_albi=table.albi,
        stated_albi_grade=table.albi_grade,
        child_pugh_class=table.child_pugh_class or (None if points is None else dosimetry.child_pugh_class(points)),
        child_pugh_points=points,
    )
    return record, tuple(checks)


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="minutes")
