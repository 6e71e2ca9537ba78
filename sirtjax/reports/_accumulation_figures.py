"""Figures of an accumulation: histograms of each treatment and the sum, and slices of the summed dose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sirtjax.reports._figures import LIVER_INK, figure_png, fusion_figure, short
from sirtjax.reports._format import significant
from sirtjax.reports._html import MAX_LEVELS, ROUND_LEVELS_GY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import AccumulatedMaps, AccumulatedResult, AccumulatedVoi

# Panels of the histograms; more lesions are in the table.
MAX_PANELS = 12
COLUMNS = 2
TREATMENT_INKS = ("#1d4ed8", "#b45309", "#7c3aed", "#0e7490", "#be185d", "#4d7c0f")
STYLES = ("dashed", "dotted", "dashdot")


def drawn_vois(result: AccumulatedResult) -> list[AccumulatedVoi]:
    """Returns the VOIs with a panel: normal liver (or the liver) and the lesions, the largest first."""
    normal = [voi for voi in result.vois if voi.kind == "normal liver"] or [
        voi for voi in result.vois if voi.kind == "liver"
    ]
    lesions = sorted((voi for voi in result.vois if voi.kind == "lesion"), key=lambda voi: -(voi.volume_ml or 0.0))
    return [*normal, *lesions][:MAX_PANELS]


def sum_dvh_figure(result: AccumulatedResult) -> Figure:
    """Returns a panel for each VOI: the histograms of each treatment and of the sum on one axis."""
    from matplotlib.figure import Figure

    vois = drawn_vois(result)
    rows = math.ceil(len(vois) / COLUMNS)
    figure = Figure(figsize=(8.6, 2.6 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in panels.flat[len(vois) :]:
        axes.set_axis_off()
    for axes, voi in zip(panels.flat, vois, strict=False):
        for number, one in enumerate(voi.treatments):
            ink, style = TREATMENT_INKS[number % len(TREATMENT_INKS)], STYLES[number % len(STYLES)]
            curve = one.dose
            axes.plot(
                curve.dvh_dose_gy,
                curve.dvh_volume_percent,
                color=ink,
                linestyle=style,
                linewidth=1.3,
                label=short(one.name),
            )
        ink = LIVER_INK if voi.kind in ("liver", "normal liver") else "black"
        axes.plot(voi.dose.dvh_dose_gy, voi.dose.dvh_volume_percent, color=ink, linewidth=2.0, label="sum")
        reach = max(curve.dvh_dose_gy[-1] for curve in (voi.dose, *(one.dose for one in voi.treatments)))
        axes.set(ylim=(0, 102), xlim=(0, max(1.02 * reach, 1.0)), xlabel="dose (Gy)", ylabel="volume (%)")
        axes.set_title(short(voi.name), fontsize=9, loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    return figure


def sum_levels_gy(result: AccumulatedResult) -> list[float]:
    """Returns the isodose levels: those of V_x and round ones above them, up to the highest dose."""
    reach = max((voi.dose.max_gy or 0.0 for voi in result.vois if voi.kind != "lungs"), default=0.0)
    levels = sorted({float(level) for voi in result.vois for level in voi.dose.v_percent})
    levels += [level for level in ROUND_LEVELS_GY if level > 1.3 * max(levels, default=0.0)]
    return [level for level in levels if level <= reach][:MAX_LEVELS]


def sum_pictures(
    result: AccumulatedResult, maps: AccumulatedMaps, on_step: Callable[[str], None]
) -> list[dict[str, str]]:
    """Draws slices of each treatment through the liver, and of the sum through each lesion, with captions.

    Args:
      result: result of the accumulation.
      maps: images of the accumulation.
      on_step: called with the name of each picture when it starts.
    """
    from sirtjax.spatial import identity
    from sirtjax.workflows import ResultVolumes

    lesions = [voi for voi in result.vois if voi.kind == "lesion"]
    names = [voi.name for voi in lesions]
    levels = sum_levels_gy(result)

    def picture(dose: str | None, focus: str, caption: str) -> dict[str, str]:
        on_step(f"image of the {focus}")
        volume = maps.dose_gy if dose is None else maps.doses_gy[dose]
        drawn = ResultVolumes(
            geometry=volume.geometry,
            dose_gy=volume,
            activity=volume,
            ct_hu=maps.ct_hu,
            occupancy=maps.occupancy,
            transform=identity(),
        )
        shown = levels if np.asarray(volume.array).max() > 0 else []
        figure = fusion_figure(drawn, focus, overlay="dose", isodoses_gy=shown, lesions=names, territories=())
        return {"caption": caption, "data": figure_png(figure)}

    pictures = [picture(one.name, "liver", f"Dose of {one.name} on the reference") for one in result.treatments]
    pictures.append(picture(None, "liver", "Sum of all treatments, through the centre of the liver"))
    for voi in lesions:
        numbers = f"{significant(voi.volume_ml)} mL, mean {significant(voi.dose.mean_gy)} Gy"
        text = f"Sum of all treatments, {voi.name}: {numbers}"
        pictures.append(picture(None, voi.name, text))
    return pictures
