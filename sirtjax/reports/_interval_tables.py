"""The tables of the section on intervals, for every kind of report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.reports._format import MISSING, number, significant
from sirtjax.reports._interval_text import (
    NO_INTERVAL,
    dose_without_interval,
    interval_text,
    printed_unit,
    quantiles_text,
    row_text,
    shown_interval,
    source_words,
    without_interval,
)
from sirtjax.reports._interval_verdicts import (
    CERTAINTY_WORDS,
    objective_text,
    probability_text,
    required_text,
    verdict_range,
    verdicts_of,
)
from sirtjax.reports._measured_tables import with_error

if TYPE_CHECKING:
    from sirtjax.workflows import ActivityUncertainty, Result, UncertaintyResult, UncertaintyRow, UncertaintySource

METRICS = {
    "mean": "mean (Gy)",
    "D70": "D70 (Gy)",
    "V": "V (%)",
    "T/N": "T/N",
    "BED": "BED (Gy)",
    "TCP": "TCP (%)",
}
CERTAINTY = "certainty"
AXES = ("left-right", "front-back", "head-feet")
# Colours of the certainty of a target or limit; the word says the same.
LEVELS = {
    CERTAINTY_WORDS["met"]: "ok",
    CERTAINTY_WORDS["not met"]: "error",
    CERTAINTY_WORDS["open"]: "warning",
    CERTAINTY_WORDS["no interval"]: "info",
}


@dataclass(frozen=True)
class IntervalTable:
    """One table of the section on intervals.

    Attributes:
      title: heading of the table.
      header: column titles.
      rows: cells.
      align: "l" or "r" for each column.
      notes: sentences below the table.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    notes: tuple[str, ...] = ()


def interval_tables(result: Result) -> tuple[IntervalTable, ...]:
    """Returns the tables of targets and limits, doses, activities and sources; none if refused.

    Args:
      result: plan or verification.
    """
    found = result.uncertainty
    if found is None or found.status != "intervals":
        return ()
    tables = (
        _objectives(result),
        _doses(found),
        _activities(result, found),
        sources_table(found),
        _methods_differ(found),
        _details(found),
    )
    return tuple(table for table in tables if table.rows)


def interval_cell(result: Result, voi: str, metric: str) -> str:
    """Returns the cell of the column "5 to 95 %" in a table of VOIs.

    Args:
      result: plan or verification.
      voi: name of the VOI.
      metric: "mean" or "D70".
    """
    found = result.uncertainty
    if found is None:
        return MISSING
    return row_text(next((row for row in found.rows if row.voi == voi and row.metric == metric), None))


def has_intervals(result: Result) -> bool:
    """Returns whether the tables of VOIs have columns of intervals."""
    return result.uncertainty is not None and result.uncertainty.status == "intervals"


def interval_titles(result: Result) -> tuple[str, str]:
    """Returns the titles of these columns, for the mean dose and D70."""
    level = 0.9 if result.uncertainty is None else result.uncertainty.level
    text = quantiles_text(level)
    return f"mean, best estimate ({text}) (Gy)", f"D70, best estimate ({text}) (Gy)"


def reason_notes(found: UncertaintyResult) -> tuple[str, ...]:
    """Returns a sentence for each reason why VOIs have no interval."""
    grouped: dict[str, list[str]] = {}
    for name, why in without_interval(found).items():
        grouped.setdefault(why, []).append(dose_without_interval(found, name))
    return tuple(f"No interval: {', '.join(names)} ({why})." for why, names in grouped.items())


def _objectives(result: Result) -> IntervalTable:
    rows = []
    for one in verdicts_of(result):
        middle = number(one.middle_gy, "Gy")
        said = "met" if one.objective.met else "not met"
        likely = probability_text(one.probability)
        rows.append(
            (
                objective_text(one.objective, whole=True),
                required_text(one.objective),
                said,
                middle,
                MISSING if one.lower_gy is None else verdict_range(one),
                CERTAINTY_WORDS[one.certainty],
                likely or MISSING,
            )
        )
    found = result.uncertainty
    text = "" if found is None else quantiles_text(found.level)
    header = (
        "dose", "target or limit", "without correction", "best estimate (Gy)", text, CERTAINTY, "likely to be met",
    )  # fmt: skip
    notes = ("Certain: the whole interval is on one side of the target or limit.",)
    return IntervalTable("Targets and limits", header, tuple(rows), "lllrrlr", notes)


def _doses(found: UncertaintyResult) -> IntervalTable:
    metrics = [metric for metric in METRICS if any(row.metric == metric for row in found.rows)]
    cells: dict[str, dict[str, UncertaintyRow]] = {}
    for row in found.rows:
        cells.setdefault(row.voi, {}).setdefault(row.metric, row)
    rows = tuple((name, *(_cell(row.get(metric)) for metric in metrics)) for name, row in cells.items())
    # The formulas know no bias.
    unbiased = "" if found.method == "eanm" else ", without the bias that the simulations show"
    notes = [
        f"Best estimate: dose corrected for the resolution of the image{unbiased}; in brackets "
        f"{quantiles_text(found.level)}.",
        *reason_notes(found),
    ]
    if "V" in metrics:
        notes.insert(1, "V: fraction of the volume that receives at least the dose before the colon.")
    header = ("VOI", *(METRICS[metric] for metric in metrics))
    return IntervalTable("Doses", header, rows, "l" + "r" * len(metrics), tuple(notes))


def _cell(row: UncertaintyRow | None) -> str:
    text = row_text(row)
    if row is None or row.threshold_gy is None or text == NO_INTERVAL:
        return text
    return f"{row.threshold_gy:g} Gy: {text}"


def _activities(result: Result, found: UncertaintyResult) -> IntervalTable:
    header = ("territory", "activity", "report (MBq)", f"best estimate ({quantiles_text(found.level)}) (MBq)", "note")
    rows = []
    chosen = [one for one in found.activities if one.territory is not None or len(result.injections) > 1]
    for one in (*found.bounds, *chosen):
        shown, reason = shown_interval(one)
        rows.append(
            (
                one.territory or "all territories",
                activity_words(one, result.kind),
                number(one.value_mbq, "MBq"),
                NO_INTERVAL if shown is None else interval_text(shown, "MBq"),
                reason,
            )
        )
    notes = (
        "Interval of a bound: activity at which the true dose would be exactly that of the target or limit.",
        "Interval of a prescribed activity: activity that would be prescribed if the true doses were known. For a "
        "stated or delivered activity: its calibration and residual.",
    )
    return IntervalTable("Activities", header, tuple(rows), "llrrl", notes)


def activity_words(one: ActivityUncertainty, kind: str) -> str:
    """Returns what an activity is: a bound by its objective, or the prescribed or delivered activity.

    Args:
      one: bound or activity.
      kind: "plan" or "verification".
    """
    if one.side is None:
        return "prescribed activity" if kind == "plan" else "delivered activity"
    return f"{one.side} bound: {one.name}"


def sources_table(found: UncertaintyResult) -> IntervalTable:
    """Returns the sources with size, origin and evidence, and below it the sources that are not included.

    Args:
      found: intervals of a plan or verification.
    """
    rows = []
    for one in found.sources:
        preset = f" (preset {one.preset})" if one.preset else ""
        rows.append((source_words(one.name), size_text(one), one.evidence, one.origin + preset))
    header = ("source", "standard deviation", "evidence", "origin")
    missing = (f"– {in_words(line)}" for line in found.not_included)
    notes = ("Not included in the intervals:", *missing) if found.not_included else ()
    return IntervalTable("Sources of uncertainty", header, tuple(rows), "llll", notes)


def size_text(one: UncertaintySource) -> str:
    """Returns the size of a source with its unit, and its correlation length.

    Args:
      one: source.
    """
    if one.expected is not None:
        return f"{100 * one.expected:.3g} % ± {100 * one.sizes[0]:.3g} %, taken as 0 by the doses"
    if not any(size > 0 for size in one.sizes):
        return "0: not included"
    if one.unit == "1":
        text = f"{' / '.join(f'{100 * size:.3g}' for size in one.sizes)} %"
    else:
        text = f"{' / '.join(f'{size:.3g}' for size in one.sizes)} mm"
        if len(one.sizes) == len(AXES) and len(set(one.sizes)) > 1:
            text += f" ({', '.join(AXES)})"
        elif len(one.sizes) == len(AXES):
            text = f"{one.sizes[0]:.3g} mm along each axis"
    return text if one.correlation_mm is None else f"{text}, correlated over {one.correlation_mm:.3g} mm"


def in_words(sentence: str) -> str:
    """Returns a sentence with the words of a source instead of its name in backquotes.

    Examples:
      >>> from sirtjax.reports._interval_tables import in_words
      >>> in_words("The case states no uncertainty of `lung_mass`.")
      'The case states no uncertainty of lung mass.'
    """
    return re.sub(r"`(\w+)`", lambda found: source_words(found[1]), sentence)


def _methods_differ(found: UncertaintyResult) -> IntervalTable:
    rows = []
    for row in found.rows:
        shown, _ = shown_interval(row)
        if shown is None or not shown.differs:
            continue
        unit = printed_unit(row)
        factor = 100.0 if unit == "%" else 1.0
        linear = shown.linear_standard_deviation
        rows.append(
            (
                row.voi,
                METRICS[row.metric],
                significant(None if linear is None else factor * linear),
                with_error(shown.standard_deviation, shown.standard_deviation_error, factor=factor),
            )
        )
    header = ("VOI", "metric", "linear (wrong here)", "simulated (correct)")
    notes = (
        "Standard deviation by derivatives and by simulation. They differ where a dose bends within its uncertainty, "
        "such as at a steep dose gradient. Every interval of this report is simulated.",
    )
    return IntervalTable("Linear and simulated uncertainty differ", header, tuple(rows), "llrr", notes)


def _details(found: UncertaintyResult) -> IntervalTable:
    rows = []
    for row in found.rows:
        shown, _ = shown_interval(row)
        if shown is None or row.metric not in ("mean", "D70"):
            continue
        rows.append(
            (
                row.voi,
                METRICS[row.metric],
                number(row.value, row.unit),
                number(row.corrected, row.unit),
                number(shown.median, row.unit),
                number(shown.expectation, row.unit),
                f"{100 * shown.relative_bias:+.1f}",
                with_error(shown.standard_deviation, shown.standard_deviation_error),
            )
        )
    header = (
        "VOI", "metric", "without correction", "corrected", "best estimate (median)", "expectation", "bias removed (%)",
        "standard deviation",
    )  # fmt: skip
    notes = ["±: Monte Carlo standard error of the standard deviation."] if found.method == "samples" else []
    notes.append("The file intervals.csv has every metric, bound and activity with its budget.")
    title = "Bias, expectation and standard deviation"
    return IntervalTable(title, header, tuple(rows), "llrrrrrr", tuple(notes))
