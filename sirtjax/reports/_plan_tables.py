"""Targets and limits with their doses, and a verification next to its plan: rows for every kind of report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.workflows import ComparisonRow, ObjectiveResult, Result

# Words of a report for whether an objective is met, and whether plan and verification agree.
MET = {True: "met", False: "not met"}


def dose_text(dose_gy: float | None, fraction: float | None = None) -> str:
    """Returns a dose in Gy, or the fraction of the volume above the dose of a V_x objective in %."""
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
    """Returns the column titles of `objective_cells`."""
    said = "predicted" if result.kind == "plan" else "delivered"
    planned = ["planned"] if result.comparison is not None else []
    return ["target, limit or goal", *planned, said, "result", "source of the number"]


def objective_cells(result: Result) -> list[list[str]]:
    """Returns the table of targets, limits and goals: one row each, as text."""
    cells = []
    for row in result.objectives:
        planned = [dose_text(row.planned_gy, row.planned_fraction)] if result.comparison is not None else []
        source = row.source + (" (only in the plan)" if row.only_planned else "")
        name = row.name + (" (recommended)" if row.purpose == "goal" else "")
        cells.append([name, *planned, dose_text(row.value_gy, row.value_fraction), MET[row.met], source])
    return cells


def comparison_rows(result: Result) -> tuple[ComparisonRow, ...]:
    """Returns the rows of a verification next to its plan, what differs first."""
    if result.comparison is None:
        return ()
    order = {"different": 0, "unknown": 1, "same": 2}
    return tuple(sorted(result.comparison.rows, key=lambda row: order[row.agreement]))
