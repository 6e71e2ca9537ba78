"""The picture of a descent of weights: the errors and the weights of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEST, SMOOTH, AFFINE, INK = "#d1242f", "#1d4ed8", "#c026d3", "#1f2328"


@dataclass(frozen=True, kw_only=True)
class DescentCurves:
    """The steps of a descent.

    Attributes:
      smooth_rrmsd_mm: differentiable error of each step, which the descent minimises.
      rrmsd_mm: error of the registrations with the same weights, NaN if nothing could be measured.
      affine_rrmsd_mm: error of only the affine map.
      trusted: whether the gradients of each step can be used.
      weights: name -> values of each learned weight.
      best: index of the best step, or None.
      title: the weights, and the cases.
    """

    smooth_rrmsd_mm: Float64[np.ndarray, " steps"]
    rrmsd_mm: Float64[np.ndarray, " steps"]
    affine_rrmsd_mm: float
    trusted: Bool[np.ndarray, " steps"]
    weights: Mapping[str, Float64[np.ndarray, " steps"]]
    best: int | None
    title: str


def descent_figure(curves: DescentCurves) -> Figure:
    """Returns the errors of each step above the weights, with marks for the best step and for unused ones.

    Returns:
      A matplotlib figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    steps = np.arange(len(curves.rrmsd_mm))
    top.plot(steps, curves.smooth_rrmsd_mm, color=SMOOTH, marker="o", markersize=4, label="differentiable RRMSD")
    top.plot(steps, curves.rrmsd_mm, color=INK, marker="o", markersize=4, label="RRMSD")
    if np.isfinite(curves.affine_rrmsd_mm):
        label = f"only the affine map: {curves.affine_rrmsd_mm:.2f} mm"
        top.axhline(curves.affine_rrmsd_mm, color=AFFINE, linestyle="dashed", linewidth=1.3, label=label)
    unused = ~curves.trusted
    if unused.any():
        top.plot(
            steps[unused], curves.smooth_rrmsd_mm[unused], "x", color=BEST, markersize=10, label="gradients not used"
        )
    if curves.best is not None:
        height = curves.rrmsd_mm[curves.best]
        top.plot(curves.best, height, "*", markersize=15, color=BEST, label=f"best: {height:.2f} mm", zorder=4)
    top.set(ylabel="RRMSD (mm)", title=curves.title)
    top.title.set_fontsize(10)
    for name, values in curves.weights.items():
        bottom.plot(steps, values, marker="o", markersize=4, label=name)
    bottom.set_yscale("log")
    bottom.set(xlabel="step", ylabel="weight")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (top, bottom):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    return figure
