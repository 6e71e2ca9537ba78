"""The block "How certain is this plan?" of the summary: at most seven lines for a reader in a hurry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sirtjax.reports._certain_activity import certain_activity_text
from sirtjax.reports._figures import short
from sirtjax.reports._interval_text import (
    budget_error,
    dose_without_interval,
    quantiles_text,
    range_text,
    shown_interval,
    source_words,
    without_interval,
)
from sirtjax.reports._interval_verdicts import (
    CERTAINTY_WORDS,
    Certainty,
    Verdict,
    objective_metric,
    objective_text,
    probability_text,
    required_text,
    sorted_verdicts,
    verdict_range,
    verdicts_of,
)

if TYPE_CHECKING:
    from sirtjax.workflows import Interval, Result, UncertaintyResult, UncertaintyRow

Level = Literal["error", "warning", "ok", "plain"]
# Results that a line names; the others are counted.
MOST_NAMED = 3
LEVELS: dict[Certainty, Level] = {"not met": "error", "open": "warning", "met": "ok", "no interval": "plain"}
# Budgets by simulation have an error of about 0.1 (docs/uncertainty.md), or more if their impossible values show it.
SMALLEST_NAMED_FRACTION = 0.15


@dataclass(frozen=True)
class CertaintyLine:
    """One line of the block.

    Attributes:
      label: subject of the line, in a word or two.
      text: the line.
      level: severity, for its colour.
    """

    label: str
    text: str
    level: Level = "plain"


def certainty_title(result: Result) -> str:
    """Returns the heading of the block."""
    return "How certain is this plan?" if result.kind == "plan" else "How certain are these doses?"


def certainty_lines(result: Result) -> tuple[CertaintyLine, ...]:
    """Returns at most seven lines; none if intervals are off.

    Args:
      result: plan or verification.
    """
    found = result.uncertainty
    if found is None:
        return ()
    if found.status != "intervals":
        return (CertaintyLine("no intervals", refusal_text(found), "warning"),)
    verdicts = verdicts_of(result)
    lines = [_line(certainty, verdicts) for certainty in ("not met", "open", "met")]
    first, less = lines[0] or lines[1], certain_activity_text(result, verdicts)
    if first is not None and less:
        lines[0 if lines[0] is first else 1] = replace(first, text=f"{first.text} {less}")
    lines += [_unknown(found, verdicts)]
    if not verdicts:
        lines.append(CertaintyLine("targets, limits", "The protocol has none that an interval can be compared with."))
    lines += [_main_source(found, verdicts), CertaintyLine("correction", correction_text(result, found))]
    lines += [CertaintyLine("basis", basis_text(found, plan=result.kind == "plan"))]
    return tuple(line for line in lines if line is not None)


def refusal_text(found: UncertaintyResult) -> str:
    """Returns the reason why intervals were refused."""
    return f"Intervals were not computed: {found.message or 'no reason stated'}."


def _line(certainty: Certainty, verdicts: Sequence[Verdict]) -> CertaintyLine | None:
    chosen = sorted_verdicts(verdicts, certainty)
    if not chosen:
        return None
    items = _grouped(chosen) if certainty == "met" else [_item(one) for one in chosen]
    return CertaintyLine(CERTAINTY_WORDS[certainty], _listed(items), LEVELS[certainty])


def _grouped(verdicts: Sequence[Verdict]) -> list[str]:
    """VOIs that certainly meet the same target or limit, together; the table has their intervals."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for one in verdicts:
        voi, metric = objective_metric(one.objective)
        disagrees = "" if _better(one) == one.objective.met else "; without correction not met"
        names.setdefault((metric, required_text(one.objective), disagrees), []).append(short(voi))
    items = []
    for (metric, required, disagrees), found in names.items():
        hidden = len(found) - MOST_NAMED
        more = f" and {hidden} more" if hidden > 0 else ""
        items.append(f"{metric} of {', '.join(found[:MOST_NAMED])}{more} ({required}{disagrees})")
    return items


def _item(one: Verdict) -> str:
    inside = required_text(one.objective)
    likely = probability_text(one.probability)
    inside += f", {likely} likely to be met" if likely else ""
    if _better(one) != one.objective.met:
        # The table of targets compares the dose without correction, and would seem to contradict this line.
        inside += f"; without correction {'met' if one.objective.met else 'not met'}"
    return f"{objective_text(one.objective)} {verdict_range(one)} ({inside})"


def _better(one: Verdict) -> bool:
    """Whether the middle of the interval meets the objective; as without correction if there is no interval."""
    if one.middle_gy is None:
        return one.objective.met
    above = one.middle_gy >= one.objective.dose_gy
    return above if one.objective.direction == "at least" else not above


def _listed(items: Sequence[str]) -> str:
    text = "; ".join(items[:MOST_NAMED])
    hidden = len(items) - MOST_NAMED
    return f"{text}; and {hidden} more." if hidden > 0 else f"{text}."


def _unknown(found: UncertaintyResult, verdicts: Sequence[Verdict]) -> CertaintyLine | None:
    """VOIs without interval: of targets and limits first, then the other lesions."""
    reasons = {one.objective.voi: one.reason for one in sorted_verdicts(verdicts, "no interval")}
    lesions = {row.voi for row in found.rows if row.kind == "lesion"}
    reasons |= {name: why for name, why in without_interval(found).items() if name in lesions and name not in reasons}
    if not reasons:
        return None
    grouped: dict[str, list[str]] = {}
    for name, why in reasons.items():
        grouped.setdefault(why, []).append(short(dose_without_interval(found, name)))
    items = []
    for why, names in grouped.items():
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        items.append(f"{', '.join(names[:MOST_NAMED])}{more} ({why})")
    return CertaintyLine(CERTAINTY_WORDS["no interval"], _listed(items))


def widest_row(found: UncertaintyResult) -> UncertaintyRow | None:
    """Returns the mean dose, or D70 of a lesion, with the relatively widest interval; None without any.

    Args:
      found: intervals of a plan or verification.
    """
    rows = []
    for row in found.rows:
        shown, _ = shown_interval(row)
        # No limit refers to the D70 of other tissue, which is wide at the border of the treated liver.
        wanted = row.metric == "mean" or (row.metric == "D70" and row.kind == "lesion")
        if wanted and shown is not None and shown.lower > 0:
            rows.append((math.log(shown.upper / shown.lower), row))
    return max(rows, key=lambda pair: pair[0])[1] if rows else None


def largest_source(shown: Interval) -> tuple[str, float] | None:
    """Returns the source with the largest part of the variance, and this part; None without a budget.

    Args:
      shown: interval with its budget.
    """
    parts = {name: part for name, part in shown.budget.items() if math.isfinite(part)}
    if not parts:
        return None
    name = max(parts, key=lambda key: parts[key])
    return name, min(max(parts[name], 0.0), 1.0)


def _main_source(found: UncertaintyResult, verdicts: Sequence[Verdict]) -> CertaintyLine | None:
    """The source that decides the first uncertain target or limit; without one, that of the widest interval."""
    row, label = _undecided_row(found, verdicts), "main source"
    if row is None:
        row, label = widest_row(found), "widest interval"
    shown = None if row is None else shown_interval(row)[0]
    if row is None or shown is None:
        return None
    text = f"{short(row.voi)}, {row.metric}: {range_text(shown.lower, shown.upper, 'Gy')} Gy."
    largest = largest_source(shown)
    if largest is None:
        return CertaintyLine(label, text)
    name, part = largest
    if part < max(SMALLEST_NAMED_FRACTION, 2.0 * budget_error(shown.budget)):
        return CertaintyLine(label, f"{text} No source stands out from the error of its budget.")
    # Fixing a source removes its first-order part of the variance.
    narrower = 100 * (1 - math.sqrt(1 - part))
    text += (
        f" Largest source: {source_words(name)}, {100 * part:.0f} % of the variance. If this source were known "
        f"exactly, the interval would be about {5 * round(narrower / 5):.0f} % narrower."
    )
    return CertaintyLine(label, text)


def _undecided_row(found: UncertaintyResult, verdicts: Sequence[Verdict]) -> UncertaintyRow | None:
    """Interval of the first target or limit that is not certain; None without one that has a budget."""
    for verdict in sorted_verdicts(verdicts, "open"):
        voi, metric = objective_metric(verdict.objective)
        row = next((row for row in found.rows if (row.voi, row.metric) == (voi, metric)), None)
        shown = None if row is None else shown_interval(row)[0]
        if shown is not None and largest_source(shown) is not None:
            return row
    return None


def _largest_correction(found: UncertaintyResult) -> str:
    """The lesion whose mean dose the correction changes most, if its interval excludes the uncorrected dose."""
    changed = []
    for row in found.rows:
        shown, _ = shown_interval(row)
        if row.kind != "lesion" or row.metric != "mean" or shown is None or not row.value or shown.median <= 0:
            continue
        if not shown.lower <= row.value <= shown.upper:
            changed.append((abs(math.log(shown.median / row.value)), row.voi, row.value, shown.median))
    if not changed:
        return ""
    _, name, before, after = max(changed)
    return f" The correction changes {short(name)} most: a mean of {before:.0f} Gy becomes {after:.0f} Gy."


def correction_text(result: Result, found: UncertaintyResult) -> str:
    """Returns which doses are corrected for the resolution of the image, and where it matters most.

    Args:
      result: plan or verification.
      found: intervals of the result.
    """
    others = "Prescribed activities" if result.kind == "plan" else "Comparisons with the protocol"
    rest = f"{others} and all other doses are not."
    if result.optimal is not None and result.optimal.robust is not None:
        rest = "Other doses are not. The robust optimum keeps its limits with and without the correction."
    first = "Intervals and best estimates are corrected for the resolution of the image."
    return f"{first} {rest}{_largest_correction(found)}"


def basis_text(found: UncertaintyResult, *, plan: bool) -> str:
    """Returns level, method and the kind of evidence of the intervals in two or three sentences.

    Args:
      found: intervals of a plan or verification.
      plan: whether they are of a plan.
    """
    way = "by the EANM guidance"
    if found.method == "samples":
        way = f"from {found.samples} simulated measurements"
    text = f"Intervals of {quantiles_text(found.level)}, {way}."
    text += f" Certainly: at least {50 * (1 + found.level):.3g} % likely."
    used = [source for source in found.sources if any(size > 0 for size in source.sizes)]
    assumed = [source_words(source.name) for source in used if source.evidence == "assumed"]
    measured = [source_words(source.name) for source in used if source.evidence == "measured"]
    if assumed:
        text += f" {len(assumed)} of {len(used)} errors that the intervals contain have an assumed size, not a measured"
        text += " one"
        shorter = measured if len(measured) < len(assumed) else assumed
        said = "measured: " if measured and shorter is measured else ""
        text += f" ({said}{', '.join(shorter)})." if shorter else "."
    elif used:
        text += f" The sizes of all {len(used)} errors that the intervals contain were measured."
    if found.not_included:
        first = ", such as the difference between planned and delivered distribution" if plan else ""
        text += f" {len(found.not_included)} effects are not included{first} (listed in Sources of uncertainty)."
    if any(row.interval is not None and row.interval.differs for row in found.rows):
        text += " Linear and simulated widths differ; the simulated ones are shown."
    return text
