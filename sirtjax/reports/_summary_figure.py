"""The image of the one-page summary: one axial slice with isodoses, orientation letters and colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sirtjax.reports._figures import (
    LESION,
    LIVER,
    OTHER_LESION,
    TERRITORY,
    box_around,
    colour_bar,
    cut_plane,
    fullest_voxel,
    outline,
    paint_plane,
    scale_top,
)
from sirtjax.reports._isodose_lines import draw_isodoses, mark_isodoses
from sirtjax.reports._plane_labels import label_plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sirtjax.workflows import ResultVolumes

# Width of the slice, and of the strip to its right with the colour bar.
WIDTH_INCHES, BAR_INCHES = 3.4, 0.55


def summary_figure(
    maps: ResultVolumes,
    focus: str,
    *,
    isodoses_gy: Sequence[float],
    lesions: Sequence[str],
    territories: Sequence[str],
) -> Figure:
    """Returns the axial slice through the centre of a VOI, with isodoses, outlines and dose scale.

    Args:
      maps: images on the working grid.
      focus: VOI to cut through.
      isodoses_gy: doses of the isodose lines, rising.
      lesions: names of the lesions.
      territories: names of the territories.
    """
    from matplotlib.figure import Figure

    centre = fullest_voxel(maps.occupancy[focus])
    box = box_around(maps.occupancy["liver"], margin=6)
    i_mm, j_mm = (
        spacing * (end - start) for spacing, (start, end) in zip(maps.geometry.spacing_mm[:2], box[:2], strict=True)
    )
    width = WIDTH_INCHES + BAR_INCHES
    figure = Figure(figsize=(width, WIDTH_INCHES * j_mm / i_mm), facecolor="black")
    axes = figure.add_axes((0.0, 0.0, WIDTH_INCHES / width, 1.0))
    values = np.asarray(maps.dose_gy.array, np.float32)
    top = scale_top(values, maps.occupancy["liver"], isodoses_gy)
    painted = paint_plane(axes, maps, "axial", centre, box, values, top)
    outlines = [(name, TERRITORY, 0.8, "dashed") for name in territories]
    outlines += [(name, OTHER_LESION, 0.9, "solid") for name in lesions if name != focus]
    outlines += [("liver", LIVER, 1.1, "solid")]
    outlines += [(focus, LESION, 1.3, "solid")] if focus in lesions else []
    for name, colour, line, style in outlines:
        outline(axes, cut_plane(maps.occupancy[name], "axial", centre, box), colour, line, style)
    draw_isodoses(axes, cut_plane(values, "axial", centre, box), isodoses_gy)
    label_plane(axes, maps.geometry, "axial", inside=True)
    bar = colour_bar(figure, painted, "Gy", place=((WIDTH_INCHES + 0.12) / width, 0.06, 0.1 / width, 0.82))
    mark_isodoses(bar, isodoses_gy)
    return figure
