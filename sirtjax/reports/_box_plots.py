"""Box plots of measures over cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As in the thesis' figures: the median a line, the mean a triangle, outliers stars.
_MEDIAN, _MEAN, _OUTLIER, _INK = "#e69f00", "#009e73", "#d1242f", "#1f2328"
_TITLES = {
    "dsc": "DSC",
    "surface_dsc": "surface DSC",
    "msd_mm": "MSD (mm)",
    "mda_mm": "MDA (mm)",
    "hd_mm": "HD (mm)",
    "hd95_mm": "HD95 (mm)",
    "volume_ratio": "volume ratio",
    "sensitivity": "sensitivity",
    "precision": "precision",
}


def box_plots(groups: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Returns one plot per metric with one box per group.

    A box shows the quartiles, with whiskers up to 1.5 times their distance, and each case as a dot.

    Args:
      groups: metric, then group, then its values; at least one.

    Returns:
      A matplotlib figure.

    Raises:
      ValueError: there are no values to draw.
    """
    from matplotlib.figure import Figure

    if not groups:
        raise ValueError("there are no values to draw")
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.2 * rows), layout="constrained")
    for place, (metric, values) in enumerate(groups.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        _draw(axes, values)
        axes.set_title(_TITLES.get(metric, metric), fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _draw(axes: Any, values: Mapping[str, Sequence[float]]) -> None:
    places = list(range(1, len(values) + 1))
    axes.boxplot(
        list(values.values()),
        positions=places,
        widths=0.5,
        showmeans=True,
        medianprops={"color": _MEDIAN, "linewidth": 1.8},
        meanprops={"marker": "^", "markerfacecolor": _MEAN, "markeredgecolor": _MEAN, "markersize": 6},
        flierprops={"marker": "*", "markerfacecolor": _OUTLIER, "markeredgecolor": _OUTLIER, "markersize": 7},
        boxprops={"color": _INK},
    )
    for place, group in zip(places, values.values(), strict=True):
        axes.plot([place + 0.32] * len(group), list(group), ".", color=_INK, alpha=0.35, markersize=4)
    axes.set_xticks(places, [f"{name}\nn = {len(group)}" for name, group in values.items()], fontsize=8)
    axes.grid(alpha=0.25, axis="y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot([], [], color=_MEDIAN, label="median")
    axes.plot([], [], "^", color=_MEAN, label="mean")
    axes.plot([], [], "*", color=_OUTLIER, label="outlier")
