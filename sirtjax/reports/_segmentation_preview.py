from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.volume import LabelMap, Volume, reorient

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#2ee6a8", "#ff4fd8", "#6ec6ff", "#ffb020", "#c8ff3d", "#ff3b30", "#f5f5f5", "#a58bff")
CT_WINDOW_HU, PERCENTILES = (-160.0, 240.0), (1.0, 99.5)
# Lungs and body are drawn on air.
WIDE_WINDOW_HU = (-1000.0, 300.0)
AIR_STRUCTURES = frozenset({"lungs", "body"})
FIGURE_WIDTH, FONT = 12.0, 9
# Inches: of a line of the title, and of the names of the planes.
LINE, NAMES, LETTERS = 0.19, 0.32, 165


def segmentation_preview(volume: Volume, labels: LabelMap, *, title: str) -> Figure:
    """Returns three planes through the centre of the segmentation, with its contours.

    In radiological orientation: the patient's right is on the left.

    Planes are those of the image's own grid, which for an oblique image are oblique.

    Args:
      volume: the image.
      labels: label map on the grid of the image.
      title: text above the images, such as volumes and flags.

    Returns:
      A matplotlib figure; with a legend if there are several labels, each with a colour of its own.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    image, map_ = reorient(volume, "LPS"), reorient(labels, "LPS")
    array, found = np.asarray(image.array), np.asarray(map_.array)
    centre = _centre(found)
    low, high = _window(volume, labels)
    extents = [n * s for n, s in zip(array.shape, image.geometry.spacing_mm, strict=True)]
    widths = (extents[0], extents[0], extents[1])
    lines = textwrap.wrap(title, LETTERS)
    named = 1 < len(labels.names) <= len(COLOURS)
    head = LINE * (len(lines) + named) + NAMES
    height = FIGURE_WIDTH * max(extents[1], extents[2]) / sum(widths) + head
    figure = Figure(figsize=(FIGURE_WIDTH, height), facecolor="black")
    grid = figure.add_gridspec(
        1, 3, width_ratios=widths, left=0.003, right=0.997, top=1 - head / height, bottom=0.005, wspace=0.01
    )
    for column, (name, axis) in enumerate((("axial", 2), ("coronal", 1), ("sagittal", 0))):
        axes = figure.add_subplot(grid[0, column])
        across, along = (one for one in range(3) if one != axis)
        # World millimetres of the plane, so that voxels keep their shape; head up, front up.
        extent = (-0.5, array.shape[across] - 0.5, -0.5, array.shape[along] - 0.5)
        options: dict[str, Any] = {"origin": "lower", "extent": extent}
        aspect = image.geometry.spacing_mm[along] / image.geometry.spacing_mm[across]
        plane = np.take(array, centre[axis], axis=axis).T
        axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="bilinear", **options)
        labelled = np.take(found, centre[axis], axis=axis).T
        for number, (value, _) in enumerate(labels.names):
            inside = labelled == value
            if inside.any() and not inside.all():
                colour = COLOURS[number % len(COLOURS)]
                axes.contour(inside.astype(np.float32), levels=[0.5], colors=colour, linewidths=1.0, **options)
        if axis == 2:
            axes.invert_yaxis()
        axes.set_title(name, color="white", fontsize=FONT, pad=3)
        axes.set_axis_off()
    if named:
        handles = [Line2D([], [], color=colour) for colour, _ in zip(COLOURS, labels.names, strict=False)]
        figure.legend(
            handles, [name for _, name in labels.names], ncols=len(handles), loc="upper left", frameon=False,
            labelcolor="white", fontsize=FONT, handlelength=1.0, columnspacing=1.2, borderaxespad=0.0,
            bbox_to_anchor=(0.004, 1 - (LINE * len(lines) + 0.05) / height),
        )  # fmt: skip
    figure.suptitle("\n".join(lines), color="white", fontsize=FONT, x=0.006, ha="left", va="top", y=1 - 0.05 / height)
    return figure


def _centre(found: NDArray[Any]) -> tuple[int, int, int]:
    """Returns the slice of each axis with the largest area of the mask; the middle of the image if it is empty."""
    mask = found > 0
    if not mask.any():
        return found.shape[0] // 2, found.shape[1] // 2, found.shape[2] // 2
    counts = (mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3))
    i, j, k = (int(np.argmax(count)) for count in counts)
    return i, j, k


def _window(volume: Volume, labels: LabelMap) -> tuple[float, float]:
    if volume.unit == "HU":
        wide = any(name in AIR_STRUCTURES for _, name in labels.names)
        return WIDE_WINDOW_HU if wide else CT_WINDOW_HU
    array = np.asarray(volume.array)
    step = max(1, round((array.size / 1e6) ** (1 / 3)))
    low, high = np.percentile(array[::step, ::step, ::step], PERCENTILES)
    return float(low), float(max(high, low + 1e-6))
