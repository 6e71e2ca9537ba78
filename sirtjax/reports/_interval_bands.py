"""The dose-volume histograms with the interval of each dose as a band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sirtjax.reports._figures import short
from sirtjax.reports._interval_budget import FILL, INK, SOFT, WIDTH_INCHES
from sirtjax.reports._interval_verdicts import band_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sirtjax.workflows import HistogramBand, ObjectiveResult, Result, VoiResult

# Panels of one picture, so that a picture with its caption fits one page.
PANELS, COLUMNS = 9, 3
KINDS = ("lesion", "normal liver", "normal territory", "viable tumour")
TARGET_INK = "#b42318"


def bands_of(result: Result) -> tuple[tuple[VoiResult, HistogramBand], ...]:
    """Returns the VOIs with a band around their histogram, the lesions first.

    Args:
      result: plan or verification.
    """
    found = result.uncertainty
    if found is None or found.status != "intervals":
        return ()
    bands = {band.voi: band for band in found.histograms if band_points(band)}
    rows = [voi for kind in KINDS for voi in result.vois if voi.kind == kind and voi.name in bands]
    return tuple((voi, bands[voi.name]) for voi in rows)


def band_figures(result: Result) -> list[Figure]:
    """Returns the histograms with their bands, one panel per VOI and several on a picture.

    Args:
      result: plan or verification.
    """
    from matplotlib.figure import Figure

    shown = bands_of(result)
    figures = []
    for start in range(0, len(shown), PANELS):
        chosen = shown[start : start + PANELS]
        rows = math.ceil(len(chosen) / COLUMNS)
        figure = Figure(figsize=(WIDTH_INCHES, 2.25 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, (voi, band) in zip(panels, chosen, strict=False):
            objectives = [one for one in result.objectives if one.voi == voi.name and one.volume_fraction is not None]
            _draw_band(axes, voi, band, objectives)
        for axes in panels[len(chosen) :]:
            axes.set_axis_off()
        figure.supxlabel("absorbed dose (Gy)", fontsize=9)
        figure.supylabel("volume (%)", fontsize=9)
        figures.append(figure)
    return figures


def _draw_band(axes: Axes, voi: VoiResult, band: HistogramBand, objectives: Sequence[ObjectiveResult]) -> None:
    volume, lower, middle, upper = zip(*band_points(band), strict=True)
    axes.fill_betweenx(volume, lower, upper, color=FILL, alpha=0.28, linewidth=0)
    axes.plot(middle, volume, color=INK, linewidth=1.5)
    reach = max(upper)
    if voi.dvh_dose_gy:
        axes.plot(voi.dvh_dose_gy, voi.dvh_volume_percent, color=SOFT, linewidth=1.0, linestyle="dashed")
    for one in objectives:
        axes.plot(one.dose_gy, 100 * (one.volume_fraction or 0.0), marker="X", color=TARGET_INK, markersize=7, zorder=5)
        reach = max(reach, one.dose_gy)
    axes.set(xlim=(0, max(1.05 * reach, 1.0)), ylim=(0, 102))
    axes.set_title(short(voi.name), fontsize=9, fontweight="bold", loc="left")
    axes.tick_params(labelsize=7.5)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
