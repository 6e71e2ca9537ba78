"""Figures of planned and delivered dose: the map of the difference, and the agreement over the lesions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sirtjax.reports._figures import (
    CT_WINDOW_HU,
    FIGURE_WIDTH,
    LESION,
    LIVER,
    OTHER_LESION,
    PLANES,
    PLANES_FRACTION,
    box_around,
    colour_bar,
    cut_plane,
    fullest_voxel,
    outline,
    plane_aspect,
    short,
)
from sirtjax.reports._plane_labels import label_plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import BeforeAfter, ResultVolumes

# Differences below this fraction of the colour scale stay transparent.
FAINT = 0.04


def difference_figure(maps: ResultVolumes, focus: str, *, lesions: Sequence[str]) -> Figure:
    """Returns slices of the delivered minus the warped planned dose through the centre of a VOI.

    Args:
      maps: images of a verification with a registered plan.
      focus: VOI to cut through.
      lesions: names of the lesions to outline.

    Raises:
      ValueError: the maps have no planned dose.
    """
    from matplotlib.figure import Figure

    if maps.planned_dose_gy is None:
        raise ValueError("the images have no planned dose; register the plan")
    centre = fullest_voxel(maps.occupancy[focus])
    box = box_around(maps.occupancy["liver"], margin=10)
    i_mm, j_mm, k_mm = (s * (end - start) for s, (start, end) in zip(maps.geometry.spacing_mm, box, strict=True))
    height = FIGURE_WIDTH * PLANES_FRACTION * max(j_mm, k_mm) / (2 * i_mm + j_mm) / 0.9
    figure = Figure(figsize=(FIGURE_WIDTH, height), facecolor="black")
    difference = np.asarray(maps.dose_gy.array) - np.asarray(maps.planned_dose_gy.array)
    inside = np.abs(difference[maps.occupancy["liver"] > 0.5])
    top = max(float(np.percentile(inside, 99.5)) if inside.size else 0.0, 1.0)
    grid = figure.add_gridspec(
        1, 3, width_ratios=(i_mm, i_mm, j_mm), left=0.005, right=0.93, top=0.92, bottom=0.01, wspace=0.02
    )
    painted = None
    for column, plane in enumerate(PLANES):
        axes = figure.add_subplot(grid[0, column])
        aspect = plane_aspect(maps.geometry.spacing_mm, plane)
        if maps.ct_hu is not None:
            low, high = CT_WINDOW_HU
            background = cut_plane(np.asarray(maps.ct_hu.array), plane, centre, box)
            axes.imshow(background, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")
        cut = cut_plane(difference, plane, centre, box)
        alpha = np.where(np.abs(cut) < FAINT * top, 0.0, np.clip(np.abs(cut) / top * 3, 0.25, 0.8))
        painted = axes.imshow(
            cut, cmap="RdBu_r", vmin=-top, vmax=top, alpha=alpha, aspect=aspect, interpolation="bilinear"
        )
        for name in lesions:
            colour, width = (LESION, 1.5) if name == focus else (OTHER_LESION, 0.9)
            outline(axes, cut_plane(maps.occupancy[name], plane, centre, box), colour, width, "solid")
        outline(axes, cut_plane(maps.occupancy["liver"], plane, centre, box), LIVER, 1.2, "solid")
        label_plane(axes, maps.geometry, plane)
    if painted is not None:
        colour_bar(figure, painted, "Gy")
    return figure


def agreement_figure(both: BeforeAfter) -> Figure:
    """Returns the delivered against the planned dose of each lesion, and the limits of agreement.

    Args:
      both: comparison with at least three lesions.

    Raises:
      ValueError: there are too few lesions.
    """
    from matplotlib.figure import Figure

    found = both.lesions
    if found.bias_gy is None or found.lower_limit_gy is None or found.upper_limit_gy is None:
        raise ValueError("limits of agreement need at least three lesions")
    rows = [one for one in both.vois if one.kind == "lesion" and one.planned_gy is not None]
    planned = np.asarray([one.planned_gy for one in rows], np.float64)
    delivered = np.asarray([one.delivered_gy for one in rows], np.float64)
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    reach = 1.15 * float(max(planned.max(), delivered.max()))
    left.plot([0, reach], [0, reach], color="#57606a", linewidth=0.9, linestyle="dashed")
    left.set(xlim=(0, reach), ylim=(0, reach), xlabel="planned mean dose (Gy)", ylabel="delivered mean dose (Gy)")
    middle = (planned + delivered) / 2
    for axes, across, up in ((left, planned, delivered), (right, middle, delivered - planned)):
        axes.scatter(across, up, s=26, color="#1d4ed8", zorder=5)
        for one, x, y in zip(rows, across, up, strict=True):
            axes.annotate(short(one.name), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    lines = (("bias", found.bias_gy, "solid"), ("lower limit", found.lower_limit_gy, "dashed"))
    for name, value, style in (*lines, ("upper limit", found.upper_limit_gy, "dashed")):
        right.axhline(value, color="#9a3412", linewidth=1.1, linestyle=style)
        right.annotate(
            f"{name} {value:+.0f} Gy",
            (0.99, value),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
        )
    right.axhline(0.0, color="#57606a", linewidth=0.7)
    right.margins(x=0.2, y=0.15)
    right.set(xlabel="mean of planned and delivered (Gy)", ylabel="delivered minus planned (Gy)")
    return figure
