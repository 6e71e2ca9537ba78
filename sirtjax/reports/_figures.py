"""The report's pictures: fused slices through the lesions, dose-volume histograms, the activity interval."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from sirtjax.reports._isodose_lines import draw_isodoses, mark_isodoses
from sirtjax.reports._plane_labels import label_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from sirtjax.workflows import InjectionResult, PlannedVoi, ResultVolumes, VoiResult

Slice2d = Float32[np.ndarray, "rows columns"]

# White, because every light blue resembles an isodose line.
LIVER, LESION, OTHER_LESION, TERRITORY = "#2ee6a8", "#ff4fd8", "#ff9ae8", "#ffffff"
CT_WINDOW_HU = (-110.0, 190.0)
# Doses below this fraction of the colour scale stay transparent.
FAINT = 0.08
PLANES = ("axial", "coronal", "sagittal")
FIGURE_WIDTH, PLANES_FRACTION = 10.2, 0.9
MAX_LABEL = 32


def short(name: str) -> str:
    """Returns a name as the label of a graph; a name of more than 32 letters is shortened in its middle."""
    return name if len(name) <= MAX_LABEL else f"{name[:19]}…{name[-12:]}"


def figure_png(figure: Figure, *, dpi: int = 110) -> str:
    """Returns a figure as a data URI, so that the report is one file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    buffer = io.BytesIO()
    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    canvas.draw()
    # Without the opaque fourth channel, less compression makes the same size in a third of the time.
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, "PNG", compress_level=4)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def figure_svg(figure: Figure) -> str:
    """Returns a figure as SVG markup for the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    markup = buffer.getvalue()
    return markup[markup.index("<svg") :]


def fusion_figure(
    maps: ResultVolumes,
    focus: str,
    *,
    overlay: str,
    isodoses_gy: Sequence[float],
    lesions: Sequence[str],
    territories: Sequence[str],
    viable: str | None = None,
) -> Figure:
    """Returns axial, coronal and sagittal slices through the centre of a VOI, with contours.

    Displayed as radiologists expect: the patient's right on the left of the picture, head up.

    Args:
      maps: the images of a result.
      focus: the VOI to cut through.
      overlay: "dose" (with isodose lines) or "activity".
      isodoses_gy: levels of the isodose lines, rising.
      lesions: names of the lesions to outline; the one in focus stands out.
      territories: names of the territories to outline.
      viable: name of the viable part to outline; None if the focus has none.

    Returns:
      A matplotlib figure.
    """
    from matplotlib.figure import Figure

    centre = fullest_voxel(maps.occupancy[focus])
    box = box_around(maps.occupancy["liver"], margin=10)
    i_mm, j_mm, k_mm = (s * (end - start) for s, (start, end) in zip(maps.geometry.spacing_mm, box, strict=True))
    # As tall as the tallest plane at the common scale, and the titles.
    height = FIGURE_WIDTH * PLANES_FRACTION * max(j_mm, k_mm) / (2 * i_mm + j_mm) / 0.9
    figure = Figure(figsize=(FIGURE_WIDTH, height), facecolor="black")
    values = np.asarray(maps.dose_gy.array if overlay == "dose" else maps.activity.array, np.float32)
    top = scale_top(values, maps.occupancy["liver"], isodoses_gy if overlay == "dose" else ())
    grid = figure.add_gridspec(
        1, 3, width_ratios=(i_mm, i_mm, j_mm), left=0.005, right=0.93, top=0.92, bottom=0.01, wspace=0.02
    )
    painted = None
    for column, plane in enumerate(PLANES):
        axes = figure.add_subplot(grid[0, column])
        painted = paint_plane(axes, maps, plane, centre, box, values, top)
        outlines = [(name, TERRITORY, 0.8, "dashed") for name in territories]
        outlines += [(name, OTHER_LESION, 0.9, "solid") for name in lesions if name != focus]
        outlines += [("liver", LIVER, 1.2, "solid")]
        outlines += [(focus, LESION, 1.5, "solid")] if focus in lesions else []
        outlines += [(viable, LESION, 1.0, "dotted")] if viable is not None else []
        for name, colour, width, style in outlines:
            outline(axes, cut_plane(maps.occupancy[name], plane, centre, box), colour, width, style)
        if overlay == "dose":
            draw_isodoses(axes, cut_plane(values, plane, centre, box), isodoses_gy)
        label_plane(axes, maps.geometry, plane)
    if painted is not None:
        bar = colour_bar(figure, painted, "Gy" if overlay == "dose" else maps.activity.unit)
        mark_isodoses(bar, isodoses_gy if overlay == "dose" else ())
    return figure


def dvh_figure(vois: Sequence[VoiResult], planned: Mapping[str, PlannedVoi]) -> Figure:
    """Returns cumulative dose-volume histograms.

    The curves of the other dose method are dashed. With a plan, its curves are dashed and those of the other method
    are dotted.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    number = 0
    reach = 0.0
    for voi in vois:
        if not voi.dvh_dose_gy:
            continue
        colour, mark = NORMAL_LIVER, ""
        if voi.kind != "normal liver":
            colour, mark = CURVES[number % len(CURVES)], MARKS[number // len(CURVES) % len(MARKS)]
            number += 1
        axes.plot(
            voi.dvh_dose_gy, voi.dvh_volume_percent, color=colour, linewidth=1.8, label=short(voi.name),
            marker=mark, markersize=3.5, markevery=0.08,
        )  # fmt: skip
        reach = max(reach, _dose_at(voi.dvh_dose_gy, voi.dvh_volume_percent, 1.0))
        other = voi.other_dose
        if other is not None:
            style = "dotted" if planned else "dashed"
            axes.plot(other.dvh_dose_gy, other.dvh_volume_percent, color=colour, linewidth=1.2, linestyle=style)
            reach = max(reach, _dose_at(other.dvh_dose_gy, other.dvh_volume_percent, 1.0))
        before = planned.get(voi.name)
        if before and before.get("dvh_dose_gy"):
            axes.plot(
                before["dvh_dose_gy"], before["dvh_volume_percent"], color=colour, linewidth=1.2, linestyle="dashed"
            )
            # Neither curve is truncated, also where their ends are far apart.
            reach = max(reach, before["dvh_dose_gy"][-1], voi.dvh_dose_gy[-1])
    axes.set(xlabel="absorbed dose (Gy)", ylabel="volume (%)", ylim=(0, 102), xlim=(0, max(reach * 1.05, 1.0)))
    axes.grid(alpha=0.25)
    if axes.lines:
        axes.legend(fontsize=8, ncols=2 if len(vois) > 8 else 1, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


LIVER_INK = "#0b7a55"
# Curves of histograms: ten colours that colour-blind readers can distinguish (Petroff 2021, arXiv:2107.02270), then the
# same colours with markers.
NORMAL_LIVER = "#000000"
CURVES = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKS = ("", "o", "^", "s", "x")


def interval_figure(injections: Sequence[InjectionResult]) -> Figure:
    """Returns the activity interval of each territory, between its bounds, and the selected activity."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 0.75 + 0.62 * len(injections)), layout="constrained")
    axes = figure.add_subplot()
    shown = [bound.activity_mbq for i in injections for bound in i.bounds if np.isfinite(bound.activity_mbq)]
    reach = max(i.activity_mbq * 1.6 for i in injections)
    # A target that no activity reaches has an infinite bound, and one of a cold lesion hides the others.
    most = 3.0 * max([reach, *(i.upper_mbq for i in injections if i.upper_mbq and np.isfinite(i.upper_mbq))])
    lowest = [min(i.lower_mbq or 0.0, most) for i in injections]
    reach = max(reach, *lowest)
    for row, (injection, low) in enumerate(zip(reversed(injections), reversed(lowest), strict=True)):
        high = injection.upper_mbq
        if high is None or not np.isfinite(high):
            high = reach * 1.2
        colour = "#bfe8d6" if injection.feasible else "#f6c4bd"
        axes.barh(row, high - low, left=low, height=0.5, color=colour, edgecolor="#57606a", linewidth=0.6)
        for bound in injection.bounds:
            ink = "#9a3412" if bound.side == "upper" else "#1d4ed8"
            if np.isfinite(bound.activity_mbq):
                axes.plot([bound.activity_mbq] * 2, [row - 0.33, row + 0.33], color=ink, linewidth=1.6)
        axes.plot(injection.activity_mbq, row, marker="D", color="black", markersize=7, zorder=5)
    reach = max(reach, *[activity for activity in shown if activity < 2.5 * reach], 1.0)
    axes.set_yticks(range(len(injections)), [short(one.territory) for one in reversed(injections)])
    axes.set(xlim=(0, reach * 1.08), ylim=(-0.6, len(injections) - 0.4), xlabel="activity at injection (MBq)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    return figure


def _dose_at(dose_gy: Sequence[float], volume_percent: Sequence[float], percent: float) -> float:
    above = [dose for dose, volume in zip(dose_gy, volume_percent, strict=True) if volume >= percent]
    return max(above, default=0.0)


def fullest_voxel(occupancy: Float32[np.ndarray, "i j k"]) -> tuple[int, int, int]:
    """Returns a voxel in the middle of a VOI; it is in the VOI even if the centroid is outside."""
    sums = (occupancy.sum((1, 2)), occupancy.sum((0, 2)), occupancy.sum((0, 1)))
    middle = [round(float((s * np.arange(len(s))).sum() / s.sum())) for s in sums]
    if occupancy[tuple(middle)] <= 0:
        middle = [int(s.argmax()) for s in sums]
    return middle[0], middle[1], middle[2]


def box_around(occupancy: Float32[np.ndarray, "i j k"], *, margin: int) -> list[tuple[int, int]]:
    """Returns the first and one past the last voxel of each axis around a VOI, with a margin in voxels."""
    ends = []
    for axis in range(3):
        inside = np.flatnonzero(occupancy.any(axis=tuple(a for a in range(3) if a != axis)))
        ends.append((max(int(inside[0]) - margin, 0), min(int(inside[-1]) + margin + 1, occupancy.shape[axis])))
    return ends


def cut_plane(
    array: Float32[np.ndarray, "i j k"], plane: str, centre: tuple[int, int, int], box: list[tuple[int, int]]
) -> Float32[np.ndarray, "rows columns"]:
    """Returns a slice with rows down the picture: axial (y, x), coronal (z, x), sagittal (z, y), head up."""
    i, j, k = (slice(*ends) for ends in box)
    if plane == "axial":
        cut = array[i, j, centre[2]].T
    elif plane == "coronal":
        cut = array[i, centre[1], k].T[::-1]
    else:
        cut = array[centre[0], j, k].T[::-1]
    return np.asarray(cut, np.float32)


def scale_top(
    values: Float32[np.ndarray, "i j k"], liver: Float32[np.ndarray, "i j k"], levels: Sequence[float]
) -> float:
    """Returns the upper end of the colour scale: almost the maximum in the liver, at least every isodose."""
    inside = values[liver > 0.5]
    top = float(np.percentile(inside, 99.5)) if inside.size else float(values.max())
    return max(top, *levels, 1e-6) if levels else max(top, 1e-6)


def plane_aspect(spacing_mm: tuple[float, float, float], plane: str) -> float:
    """Returns the height of a voxel divided by its width in a plane."""
    i, j, k = spacing_mm
    return {"axial": j / i, "coronal": k / i, "sagittal": k / j}[plane]


def paint_plane(
    axes: Axes,
    maps: ResultVolumes,
    plane: str,
    centre: tuple[int, int, int],
    box: list[tuple[int, int]],
    values: Float32[np.ndarray, "i j k"],
    top: float,
) -> AxesImage:
    """Draws a dose or an activity over the CT in one plane."""
    aspect = plane_aspect(maps.geometry.spacing_mm, plane)
    if maps.ct_hu is not None:
        low, high = CT_WINDOW_HU
        background = cut_plane(np.asarray(maps.ct_hu.array), plane, centre, box)
        axes.imshow(background, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear")
    cut = cut_plane(values, plane, centre, box)
    alpha = np.clip(cut / top / (3 * FAINT), 0, 1) * 0.55 if maps.ct_hu is not None else np.ones_like(cut)
    return axes.imshow(
        cut,
        cmap="inferno",
        vmin=0,
        vmax=top,
        alpha=np.where(cut < FAINT * top, 0.0, alpha) if maps.ct_hu is not None else alpha,
        aspect=aspect,
        interpolation="bilinear",
    )


def outline(axes: Axes, cut: Float32[np.ndarray, "rows columns"], colour: str, width: float, style: str) -> None:
    """Draws the contour of an occupancy in one slice."""
    import contourpy
    from matplotlib.collections import LineCollection

    if cut.max() > 0.5:
        # `axes.contour` draws the same lines in four times the CPU time: it also sets up levels, colours and labels.
        lines = contourpy.contour_generator(z=cut).lines(0.5)
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, linestyles=style), autolim=False)


def colour_bar(
    figure: Figure,
    painted: ScalarMappable,
    unit: str,
    *,
    place: tuple[float, float, float, float] = (0.94, 0.12, 0.012, 0.7),
) -> Axes:
    """Draws the colour bar to the right of the slices, with its unit, and returns its axes.

    Args:
      figure: figure of the slices.
      painted: image or scale of the colours.
      unit: unit of the values, above the bar.
      place: left, lower end, width and height of the bar as fractions of the figure.
    """
    bar = figure.colorbar(painted, cax=figure.add_axes(place))
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    bar.outline.set_edgecolor("white")
    bar.ax.tick_params(colors="white", labelsize=7)
    if unit == "Bq/mL":
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}")
        unit = "MBq/mL"
    bar.ax.set_title(unit, color="white", fontsize=8)
    return bar.ax
