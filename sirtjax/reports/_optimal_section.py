"""The optimal activities of a plan: sentences, tables and the Pareto figure for every kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._before_after_tables import ReportTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import OptimalResult

OPTIMAL_TITLE = "Optimal activity"
OPTIMAL_CAPTION = (
    "The best objective for each mean dose of the normal liver, within all limits. Diamond: the optimum, which is "
    "prescribed. Circle: the upper bound, for comparison."
)
FRONT_INK, UPPER_INK = "#1d4ed8", "#9a3412"
STATUS = {
    "optimal": "The problem is linear, and the optimum is exact.",
    "local optimum": "No better activities exist nearby; another local optimum is possible.",
    "not converged": "All limits are kept, but better activities may exist nearby.",
}


def optimal_sentences(found: OptimalResult) -> tuple[str, ...]:
    """Returns sentences on the objective, its gain over the upper bound and the effect of the limits."""
    sentences = [
        f"Objective: {found.label}, {_value(found, found.value)}. "
        f"With the upper bound it is {_value(found, found.upper_value)}. "
        f"All limits are kept. {STATUS[found.status]}"
    ]
    effective = sorted((one for one in found.limits if one.gain_per_gy > 0), key=lambda one: -one.gain_per_gy)
    sentences += [one.sentence for one in effective]
    if not effective:
        sentences.append("No limit restricts the objective.")
    first = max(found.injections, key=lambda one: (one.only, one.gain))
    if len(found.injections) > 1 and first.only > 0:
        sentences.append(f"If only one injection is possible, {first.territory} gives the largest objective.")
    return tuple(sentences)


def optimal_tables(found: OptimalResult) -> tuple[ReportTable, ...]:
    """Returns the table of the choices and of the injections."""
    choices = ReportTable(
        title="",
        header=("choice", found.label, "normal liver (Gy)", *(f"{one.territory} (MBq)" for one in found.injections)),
        rows=(
            (
                "optimum (prescribed)",
                _value(found, found.value),
                f"{found.liver_gy:.1f}",
                *(f"{one.activity_mbq:.0f}" for one in found.injections),
            ),
            (
                "upper bound",
                _value(found, found.upper_value),
                f"{found.upper_liver_gy:.1f}",
                *(f"{one.upper_mbq:.0f}" for one in found.injections),
            ),
        ),
    )
    if len(found.injections) == 1:
        return (choices,)
    injections = ReportTable(
        title="Contribution of each injection",
        header=("territory", "lost without it", "with this injection only"),
        rows=tuple(
            (one.territory, _value(found, one.gain, change=True), _value(found, one.only)) for one in found.injections
        ),
    )
    return choices, injections


def pareto_figure(found: OptimalResult) -> Figure:
    """Returns the objective over the mean dose of the normal liver, with the optimum and the upper bound."""
    from matplotlib.figure import Figure

    scale = 1.0 if found.unit == "Gy" else 100.0
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    values = [scale * value for value in found.front_value]
    axes.plot(found.front_liver_gy, values, color=FRONT_INK, linewidth=1.8, label="best for each dose of the liver")
    axes.plot(found.liver_gy, scale * found.value, "D", color=FRONT_INK, markersize=8, label="optimum")
    axes.plot(found.upper_liver_gy, scale * found.upper_value, "o", color=UPPER_INK, markersize=8, label="upper bound")
    unit = "Gy" if found.unit == "Gy" else "%"
    axes.set(xlabel="mean dose of the normal liver (Gy)", ylabel=f"{found.label} ({unit})")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def _value(found: OptimalResult, value: float, *, change: bool = False) -> str:
    if found.unit == "Gy":
        return f"{value:.1f} Gy"
    return f"{100 * value:.1f} percentage points" if change else f"{100 * value:.1f} %"
