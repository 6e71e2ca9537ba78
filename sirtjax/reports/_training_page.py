"""The report of a training run: curves, the cases of the best validation, sample pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from sirtjax.reports._figures import figure_png, figure_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _RAW, _BEST = "#1f2328", "#b6bec7", "#d1242f"
_CLASSES = ("#1d4ed8", "#c026d3", "#0f766e", "#b45309")
_DRAWN, _PREDICTED = "#facc15", "#ef4444"
# Image, labels and prediction of a slice.
TrainingSlice = tuple[Float32[np.ndarray, "i j"], UInt8[np.ndarray, "i j"], UInt8[np.ndarray, "i j"]]
# Of the steps that the smooth curve of the loss averages over.
_SMOOTH_FRACTION = 0.02


@dataclass(frozen=True, kw_only=True)
class TrainingPage:
    """The contents of the report of a run.

    Attributes:
      title: title of the run.
      settings: names and values of the settings, as printed.
      made_by: versions and devices, as printed.
      labels: names of the classes.
      steps: number of updates at each point, (n,).
      figures: "loss", "gradient_norm" and "learning_rate", (n,) each.
      validation_steps: number of updates before each validation, (m,).
      dsc: mean Dice similarity over the cases, (m, labels).
      best: index of the best validation; None before the first.
      cases: name, label and DSC of the cases in the best validation.
      samples: (image, labels, predicted) slices (i, j).
    """

    title: str
    settings: Mapping[str, str]
    made_by: Mapping[str, str]
    labels: Sequence[str]
    steps: Int64[np.ndarray, " steps"]
    figures: Mapping[str, Float64[np.ndarray, " steps"]]
    validation_steps: Int64[np.ndarray, " validations"]
    dsc: Float64[np.ndarray, "validations labels"]
    best: int | None
    cases: Sequence[tuple[str, str, float]]
    samples: Sequence[TrainingSlice]


def training_html(page: TrainingPage) -> str:
    """Returns the report as one HTML page without outside resources."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("sirtjax.reports").joinpath("templates/training.html.jinja").read_text("utf-8")
    best = None if page.best is None else _number(float(np.nanmean(page.dsc[page.best])))
    return environment.from_string(source).render(
        page=page,
        best_dsc=best,
        best_step=None if page.best is None else int(page.validation_steps[page.best]),
        done=int(page.steps[-1]) if page.steps.size else 0,
        cases=[(name, label, _number(dsc)) for name, label, dsc in sorted(page.cases, key=_worst_first)],
        curves=figure_svg(curves_figure(page)) if page.steps.size else "",
        samples=figure_png(samples_figure(page.samples)) if page.samples else "",
        drawn=_DRAWN,
        predicted=_PREDICTED,
    )


def curves_figure(page: TrainingPage) -> Figure:
    """Returns loss, validation and learning rate over the steps, as a matplotlib figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    loss, score, rate = (figure.add_subplot(1, 3, place) for place in (1, 2, 3))
    values = page.figures["loss"]
    loss.plot(page.steps, values, color=_RAW, linewidth=0.6)
    width = max(1, round(_SMOOTH_FRACTION * len(values)))
    smooth = np.convolve(values, np.ones(width) / width, mode="valid")
    loss.plot(page.steps[width - 1 :], smooth, color=_INK, linewidth=1.4, label=f"mean of {width}")
    loss.set_title("loss", fontsize=10)
    loss.legend(fontsize=8, frameon=False)
    for place, label in enumerate(page.labels):
        colour = _CLASSES[place % len(_CLASSES)]
        score.plot(page.validation_steps, page.dsc[:, place], ".-", color=colour, label=label)
    if page.best is not None:
        at = page.validation_steps[page.best]
        score.plot(at, np.nanmean(page.dsc[page.best]), "*", color=_BEST, markersize=12, label="best")
    score.set_title("validation, mean DSC", fontsize=10)
    if page.validation_steps.size:
        score.legend(fontsize=8, frameon=False)
    rate.plot(page.steps, page.figures["learning_rate"], color=_INK, linewidth=1.2)
    rate.set_title("learning rate", fontsize=10)
    rate.set_yscale("log")
    for axes in (loss, score, rate):
        axes.set_xlabel("step", fontsize=9)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def samples_figure(
    samples: Sequence[TrainingSlice],
) -> Figure:
    """Slices with the outlines of labels and predictions, as a matplotlib figure.

    Axes as trained: i to the right, j downwards, which for canonical LPS data is as radiologists look.

    Raises:
      ValueError: there are no samples to draw.
    """
    from matplotlib.figure import Figure

    if not samples:
        raise ValueError("no samples to draw")
    columns = min(4, len(samples))
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.6 * rows), layout="constrained", facecolor="white")
    for place, (image, labels, predicted) in enumerate(samples):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(image.T, cmap="gray", interpolation="nearest")
        for mask, colour, style in ((labels, _DRAWN, "solid"), (predicted, _PREDICTED, "dashed")):
            for value in np.unique(mask[mask > 0]):
                axes.contour((mask == value).T, levels=[0.5], colors=colour, linewidths=1.0, linestyles=style)
        axes.set_axis_off()
    return figure


def _worst_first(case: tuple[str, str, float]) -> tuple[bool, float]:
    return not math.isfinite(case[2]), case[2]


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"
