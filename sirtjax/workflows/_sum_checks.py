"""Limits and checks of an accumulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from sirtjax import dosimetry
from sirtjax.dosimetry import Check
from sirtjax.errors import ConfigError, InputError
from sirtjax.workflows._accumulation_case import Accumulation, SumLimitTable
from sirtjax.workflows._accumulation_record import AccumulatedVoi, SumLimit, TreatmentResult
from sirtjax.workflows._sum_overlap import overlapping_fraction
from sirtjax.workflows._sum_reference import SumReference
from sirtjax.workflows._treatments import Treatment, date_checks, hours_apart

# Relative; what rounding makes of a value that equals its limit.
ROUNDING = 1e-6
LUNGS, NORMAL = "lungs", "normal liver"
# Properties in which the treatments of a sum should agree, with their names in words.
ALIKE = (
    ("protocol", "protocols"),
    ("device", "devices"),
    ("nuclide", "nuclides"),
    ("nuclide_record", "dose constants"),
    ("dose_method", "dose methods"),
)


def above(
    code: str, where: str, value: float, *, limit: float | None = None, source: str | None = None
) -> tuple[Check, ...]:
    """Returns a check if a value is above its limit, by more than rounding.

    Args:
      code: code of the check.
      where: treatment or VOI.
      value: value found.
      limit: limit. Default: that of the table of checks.
      source: source of the limit. Default: that of the table of checks.

    Raises:
      InputError: the value is not a number.
    """
    threshold = table_limit(code) if limit is None else limit
    if not math.isfinite(value):
        raise InputError(f"{where}: {code} compares {value}; a check needs a finite number")
    over = value > threshold * (1 + ROUNDING)
    return (dosimetry.make_check(code, where=where, value=value, limit=limit, source=source),) if over else ()


def table_limit(code: str) -> float:
    """Returns the limit of a check in the table of checks.

    Raises:
      KeyError: the table has no single limit for this code.
    """
    for rule in dosimetry.CHECKS:
        if rule.code == code and isinstance(rule.limit, float):
            return rule.limit
    raise KeyError(code)


def sum_limits(
    case: Accumulation, treatments: Sequence[Treatment]
) -> Callable[[Mapping[str, AccumulatedVoi]], tuple[SumLimit, ...]]:
    """Returns a function that compares VOIs with the limits of file and protocols.

    The lowest cumulative lung limit of all protocols applies, unless the file states one.

    Args:
      case: file of the treatments.
      treatments: treatments with their protocols.

    Raises:
      ConfigError: a protocol is not bundled, and the file states no limit for the lungs.
    """
    tables = list(case.limits)
    if not any(table.voi == LUNGS for table in tables):
        tables.append(_lung_limit(treatments))

    def compare(vois: Mapping[str, AccumulatedVoi]) -> tuple[SumLimit, ...]:
        return tuple(_compared(table, vois[table.voi]) for table in tables if table.voi in vois)

    return compare


def sum_checks(
    case: Accumulation,
    treatments: Sequence[Treatment],
    reference: SumReference,
    rows: Sequence[TreatmentResult],
    limits: Sequence[SumLimit],
) -> tuple[Check, ...]:
    """Returns the checks of the sum: limits, differences, drafts, times, volumes, coverage.

    Args:
      case: file of the treatments.
      treatments: treatments with their results.
      reference: grid and VOIs of the sum.
      rows: treatments as in the result.
      limits: limits with their values.
    """
    return (
        *(check for limit in limits for check in _exceeded(limit)),
        *_missing_limit(limits, reference),
        *_different(treatments),
        *(check for one in treatments for check in _not_final(one)),
        *(check for one in treatments for check in date_checks(one)),
        *_close_in_time(case, treatments),
        *(check for row in rows for check in _volume_and_coverage(row, reference)),
        *(check for one in treatments for check in _lesions(one, reference)),
    )


def _lung_limit(treatments: Sequence[Treatment]) -> SumLimitTable:
    found = []
    for one in treatments:
        name = one.plan.protocol
        if name not in dosimetry.list_protocols():
            raise ConfigError(
                f"treatment {one.name!r}: protocol {name!r} is not bundled, so its cumulative lung limit is unknown; "
                'add [[limits]] with voi = "lungs" and its source'
            )
        found.append(dosimetry.load_protocol(name).lung_cumulative)
    lowest = min(found, key=lambda limit: limit.value)
    return SumLimitTable(voi="lungs", limit_gy=lowest.value, source=lowest.source)


def _compared(table: SumLimitTable, voi: AccumulatedVoi) -> SumLimit:
    value_gy = voi.dose.mean_gy
    if table.quantity == "bed":
        if voi.bed is None:
            raise ConfigError("a limit on the BED of the normal liver requires [biology.normal_liver]")
        value_gy = voi.bed.mean_gy
    limit = SumLimit(
        voi=table.voi,
        quantity=table.quantity,
        limit_gy=table.limit_gy,
        value_gy=value_gy,
        met=True,
        source=table.source,
    )
    return SumLimit(**{**vars(limit), "met": not _exceeded(limit)})


def _exceeded(limit: SumLimit) -> tuple[Check, ...]:
    if limit.voi == LUNGS:
        found = dosimetry.lung_dose_checks(
            limit.value_gy, previous_gy=0.0, single_limit_gy=float("inf"), cumulative_limit_gy=limit.limit_gy
        )
        return tuple(
            dosimetry.make_check(check.code, value=limit.value_gy, limit=limit.limit_gy, source=limit.source)
            for check in found
        )
    where = f"{limit.voi}, mean {'BED' if limit.quantity == 'bed' else 'dose'}"
    return above("SJ540", where, limit.value_gy, limit=limit.limit_gy, source=limit.source)


def _missing_limit(limits: Sequence[SumLimit], reference: SumReference) -> tuple[Check, ...]:
    limited = any(limit.voi != LUNGS for limit in limits)
    return () if limited or NORMAL not in reference.occupancy else (dosimetry.make_check("SJ546"),)


def _different(treatments: Sequence[Treatment]) -> tuple[Check, ...]:
    """SJ544 for each property in which the treatments differ."""
    found = []
    for key, words in ALIKE:
        values = {one.name: _property(one, key) for one in treatments}
        if len(set(values.values())) > 1:
            listed = "; ".join(f"{value} in {name}" for name, value in values.items())
            found.append(dosimetry.make_check("SJ544", where=f"different {words} ({listed})"))
    return tuple(found)


def _property(one: Treatment, key: str) -> str:
    if key != "device":
        return str(getattr(one.plan, key))
    name = one.plan.protocol
    return dosimetry.load_protocol(name).device if name in dosimetry.list_protocols() else f"device of {name}"


def _not_final(one: Treatment) -> tuple[Check, ...]:
    """SJ547: unreviewed masks, checks that are errors, and doses that are only planned."""
    parts = []
    if one.plan.unreviewed_masks:
        parts.append(f"{one.name} is a DRAFT: {'; '.join(one.plan.unreviewed_masks)}")
    if one.plan.errors:
        parts.append(f"{one.name} has checks that are errors: {', '.join(one.plan.errors)}")
    if one.plan.kind == "plan":
        parts.append(f"{one.name} is a plan: the sum contains its planned dose, which was not delivered")
    return tuple(dosimetry.make_check("SJ547", where=part) for part in parts)


def _close_in_time(case: Accumulation, treatments: Sequence[Treatment]) -> tuple[Check, ...]:
    """SJ548 for pairs whose dose rates overlap, by the tissue in which the BEDs neglect most."""
    tables = [table for table in (case.biology.tumour, case.biology.normal_liver) if table is not None]
    found: list[Check] = []
    for first, second in combinations(treatments, 2):
        hours = hours_apart(first.table, second.table)
        fractions = [
            overlapping_fraction(
                hours,
                half_life_h=first.half_life_h,
                next_half_life_h=second.half_life_h,
                repair_half_time_h=table.repair_half_time_h,
            )
            for table in tables
        ]
        if fractions:
            where = f"{first.name} and {second.name}, {hours:g} h apart"
            found += above("SJ548", where, max(fractions))
    return tuple(found)


def _volume_and_coverage(row: TreatmentResult, reference: SumReference) -> tuple[Check, ...]:
    weight = reference.occupancy["liver"]
    reference_ml = float(weight.sum(dtype="float64")) * reference.grid.voxel_volume_ml
    change = row.liver_ml / reference_ml - 1.0
    changed = above("SJ541", row.name, abs(change))
    return (
        *((dosimetry.make_check("SJ541", where=row.name, value=change),) if changed else ()),
        *above("SJ545", row.name, row.outside_fraction),
    )


def _lesions(one: Treatment, reference: SumReference) -> tuple[Check, ...]:
    if reference.treatment is one:
        return ()
    here = [name for name, kind in reference.kinds.items() if kind == "lesion"]
    parts = []
    added = [name for name in one.maps.lesions if name not in here]
    missing = [name for name in here if name not in one.maps.lesions]
    if added:
        parts.append(
            f"{one.name} has lesions that the reference does not have: {', '.join(added)}; they count as normal liver "
            "and have no row in the table"
        )
    if missing:
        parts.append(f"{one.name} does not have these lesions of the reference: {', '.join(missing)}")
    return tuple(dosimetry.make_check("SJ542", where=part) for part in parts)
