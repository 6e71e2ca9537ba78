"""The intervals as CSV: one row per dose metric, bound and activity, with the budget."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from sirtjax.io import CsvWriter
from sirtjax.reports._interval_text import shown_interval

if TYPE_CHECKING:
    from sirtjax.workflows import ActivityUncertainty, UncertaintyResult, UncertaintyRow

FIXED = (
    "kind", "name", "metric", "threshold_gy", "side", "unit", "value", "corrected", "status", "reason",
)  # fmt: skip
NUMBERS = (
    "median", "expectation", "relative_bias", "standard_deviation", "standard_deviation_error", "lower", "upper",
    "linear_standard_deviation", "differs",
)  # fmt: skip


def intervals_csv(found: UncertaintyResult) -> str:
    """Returns one row per dose metric, bound and activity; a missing value is empty.

    A name that a spreadsheet would take for a formula gets an apostrophe, which `sirtjax.io.plain_cell` takes off.

    Args:
      found: intervals of a plan or verification.
    """
    listed: list[tuple[list[object], UncertaintyRow | ActivityUncertainty]] = []
    for row in found.rows:
        listed.append(
            ([row.kind, row.voi, row.metric, row.threshold_gy, None, row.unit, row.value, row.corrected], row)
        )
    for one in (*found.bounds, *found.activities):
        kind = "activity" if one.side is None else "bound"
        name = one.territory or "all territories"
        listed.append(([kind, name, one.name, None, one.side, "MBq", one.value_mbq, one.corrected_mbq], one))
    intervals = [record.interval for _, record in listed if record.interval is not None]
    sources = list(dict.fromkeys(name for known in intervals for name in known.budget))
    buffer = io.StringIO()
    writer = CsvWriter(buffer, lineterminator="\n")
    writer.writerow([*FIXED, *NUMBERS, *(f"budget_{name}" for name in sources)])
    for start, record in listed:
        shown, reason = shown_interval(record)
        cells = [*start, "no interval" if shown is None else "interval", reason]
        if shown is None:
            cells += [None] * (len(NUMBERS) + len(sources))
        else:
            cells += [getattr(shown, name) for name in NUMBERS]
            cells += [shown.budget.get(name) for name in sources]
        writer.writerow([_cell(value) for value in cells])
    return buffer.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else value
