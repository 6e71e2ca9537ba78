"""The picture of a sweep of weights: a curve over one of them, a map over two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEST, STILL, AFFINE, INK = "#d1242f", "#1d4ed8", "#c026d3", "#1f2328"


@dataclass(frozen=True, kw_only=True)
class SweepSurface:
    """The error over a grid of settings.

    Attributes:
      axes: name and values of each setting, as printed; one or two.
      rrmsd_mm: error over the grid, NaN if nothing could be measured.
      failures: number of cases without a usable result at each point.
      affine_rrmsd_mm: error of only the affine map.
      best: index of the best point, or None.
      still: index of the point without images and masks, or None if the grid has none.
      title: settings that were swept, and the cases.
    """

    axes: Sequence[tuple[str, Sequence[str]]]
    rrmsd_mm: Float64[np.ndarray, "*grid"]
    failures: Int64[np.ndarray, "*grid"]
    affine_rrmsd_mm: float
    best: tuple[int, ...] | None
    still: tuple[int, ...] | None
    title: str


def sweep_figure(surface: SweepSurface) -> Figure:
    """Returns the RRMSD over the grid, with marks for the best point and the affine map.

    The point without images and masks is also marked.

    Values stand at equal distances, as weights are chosen by factors; a map has its numbers in its squares.

    Returns:
      A matplotlib figure.
    """
    return _curve(surface) if surface.rrmsd_mm.ndim == 1 else _map(surface)


def _curve(surface: SweepSurface) -> Figure:
    from matplotlib.figure import Figure

    (name, values), heights = surface.axes[0], surface.rrmsd_mm
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(values))
    axes.plot(places, heights, color=INK, marker="o", markersize=4, linewidth=1.5, label="RRMSD")
    axes.axhline(surface.affine_rrmsd_mm, color=AFFINE, linestyle="dashed", linewidth=1.3)
    axes.plot([], [], color=AFFINE, linestyle="dashed", label=f"only the affine map: {surface.affine_rrmsd_mm:.2f} mm")
    if surface.still is not None:
        at = surface.still[0]
        axes.plot(at, heights[at], "s", markersize=11, markerfacecolor="none", color=STILL, label="no images, no masks")
    if surface.best is not None:
        at = surface.best[0]
        axes.plot(at, heights[at], "*", markersize=15, color=BEST, label=f"best: {heights[at]:.2f} mm", zorder=4)
    for at in np.flatnonzero(surface.failures).tolist():
        # Where no case was measured there is no height to stand at.
        height = heights[at] if np.isfinite(heights[at]) else surface.affine_rrmsd_mm
        axes.annotate(
            f"{surface.failures[at]} failed", (at, height), xytext=(0, 9), textcoords="offset points",
            ha="center", fontsize=8, color=BEST,
        )  # fmt: skip
    axes.set_xticks(places, values)
    axes.margins(y=0.18)
    axes.set(xlabel=name, ylabel="RRMSD (mm)", title=surface.title)
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _map(surface: SweepSurface) -> Figure:
    from matplotlib.figure import Figure

    (down, rows), (along, columns) = surface.axes
    heights = surface.rrmsd_mm
    size = (2.9 + 0.78 * len(columns), 2.2 + 0.62 * len(rows))
    figure = Figure(figsize=(max(size[0], 5.6), max(size[1], 4.0)), layout="constrained")
    axes = figure.add_subplot()
    painted = axes.imshow(np.ma.masked_invalid(heights), cmap="viridis_r", origin="lower", aspect="auto")
    axes.set_facecolor("#d0d7de")
    finite = heights[np.isfinite(heights)]
    middle = (finite.min() + finite.max()) / 2 if finite.size else 0.0
    for (row, column), height in np.ndenumerate(heights):
        failed = f"\n{surface.failures[row, column]} failed" if surface.failures[row, column] else ""
        text = f"{height:.2f}{failed}" if np.isfinite(height) else f"none{failed}"
        # Low is light on this scale.
        colour = "white" if np.isfinite(height) and height > middle else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    for index, colour, label in ((surface.still, STILL, "no images, no masks"), (surface.best, BEST, "best")):
        if index is not None:
            _frame(axes, index, colour, label, inner=label == "best")
    bar = figure.colorbar(painted, ax=axes, label="RRMSD (mm)")
    affine = surface.affine_rrmsd_mm
    axes.plot([], [], color=AFFINE, linewidth=2.5, label=f"only the affine map: {affine:.2f} mm")
    if finite.size and finite.min() <= affine <= finite.max():
        bar.ax.axhline(affine, color=AFFINE, linewidth=2.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=along, ylabel=down)
    axes.set_title(surface.title, fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _frame(axes: Any, index: tuple[int, ...], colour: str, label: str, *, inner: bool) -> None:
    from matplotlib.patches import Rectangle

    # One inside the other, so that both are seen where they are on the same square.
    inset = 0.09 if inner else 0.03
    corner, side = (index[1] - 0.5 + inset, index[0] - 0.5 + inset), 1 - 2 * inset
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=2.5, label=label))
