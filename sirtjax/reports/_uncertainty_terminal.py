"""The intervals of doses and activities as short tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable
from sirtjax.reports._certainty import largest_source
from sirtjax.reports._format import MISSING, number

if TYPE_CHECKING:
    from sirtjax.workflows import ActivityUncertainty, Interval, UncertaintyResult, UncertaintyRow

# The terminal shows what a prescription is decided by; results.json has the other VOIs and metrics.
KINDS = ("lesion", "normal liver", "normal territory", "lungs")
METRICS = ("mean", "D70", "V", "T/N", "TCP")


def uncertainty_tables(found: UncertaintyResult) -> tuple[ReportTable, ...]:
    """Returns the tables of doses and of activities; none if the intervals were refused.

    Args:
      found: intervals of a plan or verification.
    """
    if found.status == "refused":
        return ()
    level = f"{100 * found.level:g} % interval"
    doses = tuple(_dose_row(row) for row in found.rows if row.kind in KINDS and row.metric in METRICS)
    activities = tuple(_activity_row(row) for row in (*found.bounds, *found.activities))
    way = "by the EANM guidance" if found.method == "eanm" else f"{found.samples} simulations"
    tables = (
        ReportTable(
            title=f"intervals of doses, {way}",
            header=("VOI", "metric", "uncorrected", "best estimate", level, "sd", "largest source"),
            rows=doses,
        ),
        ReportTable(
            title="intervals of activities (MBq)",
            header=("territory", "bound", "report", "best estimate", level, "sd", "largest source"),
            rows=activities,
        ),
    )
    return tuple(table for table in tables if table.rows)


def _dose_row(row: UncertaintyRow) -> tuple[str, ...]:
    name = row.metric if row.threshold_gy is None else f"V{row.threshold_gy:g}Gy"
    percent = row.metric in ("V", "TCP")
    unit, scale = ("Gy", 1.0) if row.unit == "Gy" else ("%", 100.0) if percent else ("ratio", 1.0)
    label = f"{name} (Gy)" if unit == "Gy" else f"{name} (%)" if percent else name
    return (row.voi, label, *_values(row.value, row.corrected, row.interval, row.reason, unit, scale))


def _activity_row(row: ActivityUncertainty) -> tuple[str, ...]:
    where = row.territory or "all"
    return (where, row.name, *_values(row.value_mbq, row.corrected_mbq, row.interval, row.reason, "MBq", 1.0))


def _values(
    value: float | None, corrected: float | None, interval: Interval | None, reason: str, unit: str, scale: float
) -> tuple[str, ...]:
    def text(one: float | None) -> str:
        return MISSING if one is None else number(scale * one, unit)

    if interval is None:
        return (text(value), text(corrected), f"none: {reason}", MISSING, MISSING)
    source = largest_source(interval)
    return (
        text(value),
        text(interval.median),
        f"{text(interval.lower)} to {text(interval.upper)}",
        text(interval.standard_deviation),
        MISSING if source is None or source[1] == 0.0 else f"{source[0].replace('_', ' ')} {100 * source[1]:.0f} %",
    )
