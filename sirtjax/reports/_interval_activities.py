"""The picture of the activities: both bounds and the chosen activity, each with its interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.reports._figures import short
from sirtjax.reports._interval_budget import FILL, INK, SOFT, WIDTH_INCHES
from sirtjax.reports._interval_text import shown_interval
from sirtjax.reports._interval_verdicts import CERTAINTY_WORDS, verdicts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sirtjax.workflows import Interval, Result

# Bounds farther away, as multiples of the activity, are only named.
FAR = 2.5


@dataclass(frozen=True)
class ActivityRow:
    """One line of the picture of activities.

    Attributes:
      label: bound in words.
      side: "lower", "upper" or "activity".
      value_mbq: activity of the report.
      shown: interval; None without one.
      verdict: certainty with which the chosen activity keeps the bound.
    """

    label: str
    side: str
    value_mbq: float
    shown: Interval | None
    verdict: str


def activity_rows(result: Result, territory: str, chosen_mbq: float) -> tuple[ActivityRow, ...]:
    """Returns the lines of one territory: lower bounds, the activity, upper bounds.

    The verdict on a bound of several territories is that of the dose, which all injections together cause.

    Args:
      result: plan or verification with intervals.
      territory: name of the territory.
      chosen_mbq: activity of the report.
    """
    found = result.uncertainty
    if found is None:
        return ()
    count = Counter(one.name for one in found.bounds)
    of_dose = {one.objective.name: CERTAINTY_WORDS[one.certainty] for one in verdicts_of(result)}
    rows: dict[str, list[ActivityRow]] = {"lower": [], "activity": [], "upper": []}
    for one in (*found.bounds, *found.activities):
        if one.territory != territory or not math.isfinite(one.value_mbq):
            continue
        shown, reason = shown_interval(one)
        side = one.side or "activity"
        label = ("prescribed" if result.kind == "plan" else "delivered") if one.side is None else short(one.name)
        verdict = f"no interval: {reason}"
        if shown is not None:
            verdict = _against(shown, side, chosen_mbq)
            if side != "activity" and count[one.name] > 1:
                verdict = of_dose.get(one.name, verdict)
        rows[side].append(ActivityRow(label, side, one.value_mbq, shown, verdict))
    return (*rows["lower"], *rows["activity"], *rows["upper"])


def _against(shown: Interval, side: str, chosen_mbq: float) -> str:
    if side == "activity":
        return ""
    if side == "lower":
        kept, missed = shown.upper <= chosen_mbq, shown.lower > chosen_mbq
    else:
        kept, missed = shown.lower >= chosen_mbq, shown.upper < chosen_mbq
    return "certainly met" if kept else "certainly not met" if missed else "not certain"


def activity_figure(result: Result) -> Figure | None:
    """Returns bounds and activity of each territory with their intervals; None without any.

    Args:
      result: plan or verification.
    """
    from matplotlib.figure import Figure

    found = result.uncertainty
    if found is None or found.status != "intervals":
        return None
    rows = {
        one.territory: (one.activity_mbq, activity_rows(result, one.territory, one.activity_mbq))
        for one in result.injections
        if one.activity_mbq > 0
    }
    rows = {name: pair for name, pair in rows.items() if any(line.shown is not None for line in pair[1])}
    if not rows:
        return None
    heights = [len(lines) + 1 for _, lines in rows.values()]
    figure = Figure(figsize=(WIDTH_INCHES, 0.45 + 0.29 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights).ravel()
    for axes, (name, (chosen_mbq, lines)) in zip(panels, rows.items(), strict=True):
        _draw_activities(axes, name, chosen_mbq, lines)
    panels[-1].set_xlabel("activity at injection (MBq)", fontsize=9)
    return figure


def _draw_activities(axes: Axes, name: str, chosen_mbq: float, lines: Sequence[ActivityRow]) -> None:
    near = [line.shown.upper for line in lines if line.shown is not None and line.shown.lower < FAR * chosen_mbq]
    reach = 1.06 * max([chosen_mbq, *(min(end, FAR * chosen_mbq) for end in near)])
    axes.axvline(chosen_mbq, color=INK, linewidth=1.2, zorder=1)
    marks = {"lower": ">", "upper": "<", "activity": "D"}
    for row, line in enumerate(lines):
        if line.shown is None:
            if line.value_mbq <= reach:
                axes.plot(line.value_mbq, row, marker="|", color=SOFT, markersize=9)
        elif line.shown.lower > reach:
            far = f"from {line.shown.lower:.0f} MBq →"
            axes.text(reach, row, far, fontsize=7.5, ha="right", va="center", color=INK)
        else:
            colour = INK if line.side == "activity" else FILL
            ends = (line.shown.lower, line.shown.upper)
            axes.plot(ends, (row, row), color=colour, linewidth=5, alpha=0.45, zorder=2, solid_capstyle="butt")
            axes.plot(line.shown.median, row, marker=marks[line.side], color=colour, markersize=7, zorder=3)
        axes.annotate(
            line.verdict if line.shown is not None else "no interval",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
            fontweight="bold" if line.verdict in ("not certain", "certainly not met") else "normal",
        )
    axes.set_yticks(range(len(lines)), [_side_label(line) for line in lines], fontsize=8)
    axes.set(ylim=(len(lines) - 0.5, -0.5), xlim=(0, reach))
    axes.set_title(f"{short(name)}: {chosen_mbq:.0f} MBq", fontsize=9, fontweight="bold", loc="left")
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _side_label(line: ActivityRow) -> str:
    return line.label if line.side == "activity" else f"{line.side}: {line.label}"
