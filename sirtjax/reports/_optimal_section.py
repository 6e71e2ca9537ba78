"""The optimal activities of a plan: sentences, tables and the figure for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable
from sirtjax.reports._probability_curve import (
    PROBABILITY_CAPTION,
    draw_curve,
    has_curve,
    probability_columns,
    probability_sentences,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sirtjax.workflows import OptimalResult

OPTIMAL_TITLE = "Optimal activity"
FRONT_INK, UPPER_INK, ROBUST_INK = "#1d4ed8", "#9a3412", "#047857"
STATUS = {
    "optimal": "The problem is linear, and the optimum is exact.",
    "local optimum": "No better activities exist nearby; another local optimum is possible.",
    "not converged": "All limits are kept, but better activities may exist nearby.",
}


def optimal_sentences(found: OptimalResult) -> tuple[str, ...]:
    """Returns sentences on the objective, its gain over the upper bound, probabilities and limits."""
    robust = found.robust
    if robust is None:
        sentences = [
            f"Objective: {found.label}, {_value(found, found.value)}. "
            f"With the upper bound it is {_value(found, found.upper_value)}. "
            f"All limits are kept by the doses as computed. {STATUS[found.status]}"
        ]
    else:
        sentences = [
            f"Objective: {found.label}. The robust optimum is prescribed: {_value(found, robust.nominal_value)} as "
            f"computed, and {_value(found, robust.value)} as the {robust.robust_objective} value "
            f"of the corrected doses. Without uncertainty the optimum is {_value(found, found.value)}, "
            f"with the upper bound {_value(found, found.upper_value)}. {STATUS[robust.status]}"
        ]
    sentences += probability_sentences(found)
    limits = found.limits if robust is None else robust.limits
    effective = sorted((one for one in limits if one.gain_per_gy > 0), key=lambda one: -one.gain_per_gy)
    sentences += [one.sentence for one in effective]
    if not effective:
        sentences.append("No limit restricts the objective.")
    first = max(found.injections, key=lambda one: (one.only, one.gain))
    if len(found.injections) > 1 and first.only > 0:
        sentences.append(f"If only one injection is possible, {first.territory} gives the largest objective.")
    return tuple(sentences)


def optimal_tables(found: OptimalResult) -> tuple[ReportTable, ...]:
    """Returns the table of the choices and of the injections."""
    rows = [
        ("optimum", found.value, found.liver_gy, [one.activity_mbq for one in found.injections]),
        ("upper", found.upper_value, found.upper_liver_gy, [one.upper_mbq for one in found.injections]),
    ]
    if found.robust is not None:
        robust = found.robust
        rows.insert(0, ("robust", robust.nominal_value, robust.liver_gy, list(robust.activity_mbq)))
    names = {"robust": "robust optimum", "optimum": "optimum", "upper": "upper bound"}
    shown = probability_columns(found)
    choices = ReportTable(
        title="",
        header=(
            "choice",
            found.label,
            "normal liver (Gy)",
            *(f"{one.territory} (MBq)" for one in found.injections),
            *(shown[0] if shown else ()),
        ),
        rows=tuple(
            (
                names[choice] + (" (prescribed)" if index == 0 else ""),
                _value(found, value),
                f"{liver_gy:.1f}",
                *(f"{mbq:.0f}" for mbq in activities),
                *(shown[1][choice] if shown else ()),
            )
            for index, (choice, value, liver_gy, activities) in enumerate(rows)
        ),
    )
    if len(found.injections) == 1:
        return (choices,)
    injections = ReportTable(
        title="Contribution of each injection" + (", without uncertainty" if found.robust else ""),
        header=("territory", "lost without it", "with this injection only"),
        rows=tuple(
            (one.territory, _value(found, one.gain, change=True), _value(found, one.only)) for one in found.injections
        ),
    )
    return choices, injections


def optimal_caption(found: OptimalResult) -> str:
    """Returns the caption of `optimal_figure`."""
    parts = []
    if found.front_value:
        marks = "Diamond: the optimum, which is prescribed. "
        if found.robust is not None:
            marks = "Square: the robust optimum, which is prescribed. Diamond: the optimum without uncertainty. "
        parts.append(
            "The best objective for each mean dose of the normal liver, within all limits, by the doses as computed. "
            f"{marks}Circle: the upper bound, for comparison."
        )
    if has_curve(found):
        parts.append(PROBABILITY_CAPTION)
    return " ".join(parts)


def optimal_figure(found: OptimalResult) -> Figure:
    """Returns the Pareto front next to the probabilities over the activity; one of them must exist."""
    from matplotlib.figure import Figure

    panels = [draw for draw, used in ((_draw_front, found.front_value), (draw_curve, has_curve(found))) if used]
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    for draw, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        draw(axes, found)
    return figure


def _draw_front(axes: Axes, found: OptimalResult) -> None:
    """Draws the objective over the mean dose of the normal liver, with the choices."""
    scale = 1.0 if found.unit == "Gy" else 100.0
    values = [scale * value for value in found.front_value]
    axes.plot(found.front_liver_gy, values, color=FRONT_INK, linewidth=1.8, label="best for each dose of the liver")
    axes.plot(found.liver_gy, scale * found.value, "D", color=FRONT_INK, markersize=8, label="optimum")
    axes.plot(found.upper_liver_gy, scale * found.upper_value, "o", color=UPPER_INK, markersize=8, label="upper bound")
    if found.robust is not None:
        robust = found.robust
        axes.plot(
            robust.liver_gy, scale * robust.nominal_value, "s", color=ROBUST_INK, markersize=8, label="robust optimum"
        )
    unit = "Gy" if found.unit == "Gy" else "%"
    axes.set(xlabel="mean dose of the normal liver (Gy)", ylabel=f"{found.label} ({unit})")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, frameon=False)


def _value(found: OptimalResult, value: float, *, change: bool = False) -> str:
    if found.unit == "Gy":
        return f"{round(value, 1) + 0.0:.1f} Gy"
    return f"{100 * value:.1f} percentage points" if change else f"{100 * value:.1f} %"
