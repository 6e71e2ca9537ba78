"""Targets and limits with their doses, and a verification next to its plan: rows for every kind of report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.workflows import ComparisonRow, ObjectiveResult, Result

# Words of a report for whether an objective is met, and whether plan and verification agree.
MET = {True: "met", False: "not met"}


def dose_text(dose_gy: float | None, fraction: float | None) -> str:
    """Returns a dose in Gy, or the fraction of the volume above the dose of a V_x objective in %.

    Examples:
      >>> from sirtjax import reports
      >>> reports.dose_text(119.8, None), reports.dose_text(100.0, 0.95)
      ('119.8 Gy', '95 %')
    """
    if fraction is not None and math.isfinite(fraction):
        return f"{100 * fraction:.4g} %"
    return "–" if dose_gy is None or not math.isfinite(dose_gy) else f"{dose_gy:.4g} Gy"


def missed(row: ObjectiveResult) -> str:
    """Returns the severity of an objective that is not met: as that of its check; empty if it is met."""
    if row.met:
        return ""
    if row.purpose == "goal":
        return "info"
    return "warning" if row.direction == "at least" else "error"


def objective_header(result: Result) -> list[str]:
    """Returns the column titles of `objective_rows`."""
    said = "predicted" if result.kind == "plan" else "delivered"
    planned = ["planned"] if result.comparison is not None else []
    return ["target, limit or goal", *planned, said, "result", "source of the number"]


@dataclass(frozen=True)
class ObjectiveRow:
    """One row of the table of targets and limits.

    Attributes:
      cells: cells as text, in the order of `objective_header`.
      verdict: number of the column that states whether the objective is met.
      severity: severity of the check that the objective raises; empty if it is met.
    """

    cells: tuple[str, ...]
    verdict: int
    severity: str


def objective_rows(result: Result) -> list[ObjectiveRow]:
    """Returns the table of targets, limits and goals: one row per objective and VOI."""
    rows = []
    for one in result.objectives:
        planned = [dose_text(one.planned_gy, one.planned_fraction)] if result.comparison is not None else []
        doses = [*planned, dose_text(one.value_gy, one.value_fraction)]
        source = one.source + (" (only in the plan)" if one.only_planned else "")
        name = one.name + (" (recommended)" if one.purpose == "goal" else "")
        rows.append(ObjectiveRow((name, *doses, MET[one.met], source), 1 + len(doses), missed(one)))
    return rows


def comparison_rows(result: Result) -> tuple[ComparisonRow, ...]:
    """Returns the rows of a verification next to its plan, what differs first."""
    if result.comparison is None:
        return ()
    order = {"differs": 0, "unknown": 1, "agrees": 2}
    return tuple(sorted(result.comparison.rows, key=lambda row: order[row.agreement]))
