"""The masks on the activity image, as they are and after the proposed translation of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from sirtjax.reports._figures import (
    FIGURE_WIDTH,
    LESION,
    LIVER,
    PLANES,
    PLANES_FRACTION,
    box_around,
    colour_bar,
    cut_plane,
    fullest_voxel,
    outline,
    plane_aspect,
)
from sirtjax.reports._plane_labels import label_plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import ResultVolumes


def shift_figure(
    maps: ResultVolumes, shift_mm: tuple[float, float, float], *, focus: str, lesions: Sequence[str]
) -> Figure:
    """Returns slices of the activity image with masks as they are (solid) and as proposed (dashed).

    The proposed translation moves the image. Relative to the image the masks move by its opposite: the dashed contours.

    Args:
      maps: the images of a result.
      shift_mm: proposed translation of the activity image, LPS.
      focus: VOI to cut through.
      lesions: names of the lesions to outline, with the liver.
    """
    from matplotlib.figure import Figure

    geometry = maps.geometry
    steps = -(geometry.direction.T @ np.asarray(shift_mm)) / np.asarray(geometry.spacing_mm)
    centre = fullest_voxel(maps.occupancy[focus])
    box = box_around(maps.occupancy["liver"], margin=10)
    i_mm, j_mm, k_mm = (s * (end - start) for s, (start, end) in zip(geometry.spacing_mm, box, strict=True))
    height = FIGURE_WIDTH * PLANES_FRACTION * max(j_mm, k_mm) / (2 * i_mm + j_mm) / 0.9
    figure = Figure(figsize=(FIGURE_WIDTH, height), facecolor="black")
    grid = figure.add_gridspec(
        1, 3, width_ratios=(i_mm, i_mm, j_mm), left=0.005, right=0.93, top=0.92, bottom=0.01, wspace=0.02
    )
    values = np.asarray(maps.activity.array)
    inside = values[maps.occupancy["liver"] > 0.5]
    top = float(np.percentile(inside, 99.5)) if inside.size else float(values.max())
    painted = None
    for column, plane in enumerate(PLANES):
        axes = figure.add_subplot(grid[0, column])
        cut = cut_plane(values, plane, centre, box)
        painted = axes.imshow(cut, cmap="gray", vmin=0.0, vmax=top, aspect=plane_aspect(geometry.spacing_mm, plane))
        for name, colour in (("liver", LIVER), *((lesion, LESION) for lesion in lesions)):
            outline(axes, cut_plane(maps.occupancy[name], plane, centre, box), colour, 1.3, "solid")
            outline(axes, cut_plane(_moved(maps.occupancy[name], steps), plane, centre, box), colour, 1.3, "dashed")
        label_plane(axes, maps.geometry, plane)
    if painted is not None:
        colour_bar(figure, painted, maps.activity.unit)
    return figure


def _moved(occupancy: Float32[np.ndarray, "i j k"], steps: np.ndarray) -> Float32[np.ndarray, "i j k"]:
    moved: Float32[np.ndarray, "i j k"] = ndimage.shift(occupancy, steps, order=1)
    return moved
