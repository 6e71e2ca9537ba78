"""The budgets of the intervals: the fraction of the variance of each source, as bar charts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.reports._figures import short
from sirtjax.reports._interval_text import budget_error, shown_interval, source_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sirtjax.workflows import Interval, Result

WIDTH_INCHES = 8.6
# Panels of one picture, so that a picture with its caption fits one page.
PANELS, COLUMNS = 8, 2
# Smaller fractions have no bar.
LEAST_FRACTION = 0.03
MOST_BARS = 6
LEAST_PRINTED = 0.01
INK, SOFT, FILL = "#1f2328", "#57606a", "#3b6ea8"


@dataclass(frozen=True)
class BudgetPart:
    """One bar of a budget.

    Attributes:
      label: source in words.
      fraction: fraction of the variance.
      single: whether the bar is one source, not a remainder.
    """

    label: str
    fraction: float
    single: bool = True


@dataclass(frozen=True)
class Budget:
    """The budget of one result.

    Attributes:
      title: result, such as "lesion 1, D70".
      parts: bars, the largest source first and the remainders last.
    """

    title: str
    parts: tuple[BudgetPart, ...]


def budget_parts(shown: Interval) -> tuple[BudgetPart, ...]:
    """Returns the bars of a budget: the sources by size, and the remainder.

    The remainder is small sources, sources within the error of the budget, and sources in combination.

    Args:
      shown: interval with its budget.
    """
    known = {name: max(part, 0.0) for name, part in shown.budget.items() if math.isfinite(part)}
    if not known:
        return ()
    ordered = sorted(known, key=lambda name: -known[name])
    least = max(LEAST_FRACTION, 2.0 * budget_error(shown.budget))
    large = [name for name in ordered if known[name] >= least][:MOST_BARS]
    parts = [BudgetPart(source_words(name), known[name]) for name in large]
    rest = 1.0 - sum(part.fraction for part in parts)
    if rest >= LEAST_PRINTED:
        parts.append(BudgetPart("not attributed", rest, single=False))
    return tuple(parts)


def budgets_of(result: Result) -> tuple[Budget, ...]:
    """Returns the budgets of each lesion, the normal liver, the lungs and the activities.

    A lesion has that of the metric of its target, otherwise that of its mean dose.

    Args:
      result: plan or verification.
    """
    found = result.uncertainty
    if found is None or found.status != "intervals":
        return ()
    volumes = {one.voi for one in result.objectives if one.kind != "mean"}
    budgets = []
    for kind in ("lesion", "normal liver", "lungs"):
        for name in dict.fromkeys(row.voi for row in found.rows if row.kind == kind):
            metric = "D70" if name in volumes else "mean"
            rows = [row for row in found.rows if row.voi == name and row.metric in (metric, "mean")]
            row = next((one for one in rows if one.metric == metric), rows[0] if rows else None)
            shown = None if row is None else shown_interval(row)[0]
            if row is not None and shown is not None:
                budgets.append(Budget(f"{short(name)}, {row.metric}", budget_parts(shown)))
    said = "prescribed activity" if result.kind == "plan" else "delivered activity"
    for one in found.activities:
        shown, _ = shown_interval(one)
        if shown is not None and one.territory is not None:
            budgets.append(Budget(f"{short(one.territory)}, {said}", budget_parts(shown)))
    return tuple(budget for budget in budgets if budget.parts)


def budget_figures(result: Result) -> list[Figure]:
    """Returns bar charts of the budgets, several on a picture.

    Args:
      result: plan or verification.
    """
    from matplotlib.figure import Figure

    found = budgets_of(result)
    figures = []
    for start in range(0, len(found), PANELS):
        chosen = found[start : start + PANELS]
        rows = math.ceil(len(chosen) / COLUMNS)
        bars = [max(len(budget.parts) for budget in chosen[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(rows)]
        figure = Figure(figsize=(WIDTH_INCHES, 0.55 * rows + 0.22 * sum(bars)), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False, height_ratios=[2.5 + count for count in bars]).ravel()
        for n, (axes, budget) in enumerate(zip(panels, chosen, strict=False)):
            _draw_budget(axes, budget, bars[n // COLUMNS])
        for axes in panels[len(chosen) :]:
            axes.set_axis_off()
        figures.append(figure)
    return figures


def _draw_budget(axes: Axes, budget: Budget, bars: int) -> None:
    for row, part in enumerate(budget.parts):
        axes.barh(
            row,
            100 * part.fraction,
            height=0.66,
            color=FILL if part.single else "white",
            edgecolor=INK if part.single else SOFT,
            hatch="" if part.single else "////",
            linewidth=0.6,
        )
        axes.text(100 * part.fraction + 1.5, row, f"{100 * part.fraction:.0f} %", va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(budget.parts)), [part.label for part in budget.parts], fontsize=8)
    axes.set(ylim=(bars - 0.4, -0.6), xlim=(0, 115))
    axes.set_title(budget.title, fontsize=9, fontweight="bold", loc="left")
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
