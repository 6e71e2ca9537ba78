"""Contours of a lesion coloured by their effect on its dose: which edges to check first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from scipy import ndimage

from sirtjax.reports._figures import (
    CT_WINDOW_HU,
    FIGURE_WIDTH,
    PLANES,
    PLANES_FRACTION,
    box_around,
    colour_bar,
    cut_plane,
    figure_png,
    fullest_voxel,
    outline,
    plane_aspect,
)
from sirtjax.reports._plane_labels import label_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sirtjax.workflows import ContourDependence, Result, ResultVolumes

# Of one lightness scale, and distinguishable with every kind of colour vision.
COLOURS = "cividis"
NARROW, WIDE = 1.6, 5.0
OTHER = "#9aa4ae"
MARGIN_MM = 18.0
# Dots for the parts where outward raises the dose, one per so many points of the contour.
DOT_EVERY = 4


def contour_pictures(result: Result, maps: ResultVolumes, on_step: Callable[[str], None]) -> list[dict[str, str]]:
    """Draws the coloured contour of each lesion with its caption; empty without derivatives.

    Args:
      result: plan or verification.
      maps: images on the working grid, with the map of the derivatives.
      on_step: called with the name of each picture when it starts.
    """
    found = result.where_to_check
    if found is None or maps.contour_gy_per_mm is None:
        return []
    pictures = []
    for row in found.rows:
        if row.metric == found.shown_metric:
            on_step(f"contour of the {row.voi}")
            figure = contour_figure(maps, row)
            caption = (
                f"{row.voi}: change of the {row.metric} if a patch of {found.patch_cm2:g} cm² moves outward by 1 mm. "
                "Light and thick: check first. White edge: the surface that decides half. Dots: outward raises the dose"
            )
            pictures.append({"caption": caption, "data": figure_png(figure)})
    return pictures


def contour_figure(maps: ResultVolumes, row: ContourDependence) -> Figure:
    """Returns slices through a lesion, with its contour coloured by its effect on the dose.

    Args:
      maps: images on the working grid, with the map of the derivatives.
      row: dependence of one dose of the lesion.

    Raises:
      ValueError: the maps have no derivatives.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    if maps.contour_gy_per_mm is None:
        raise ValueError("the images have no derivatives of contours")
    spacing = maps.geometry.spacing_mm
    centre = fullest_voxel(maps.occupancy[row.voi])
    box = box_around(maps.occupancy[row.voi], margin=max(1, round(MARGIN_MM / min(spacing))))
    i_mm, j_mm, k_mm = (s * (end - start) for s, (start, end) in zip(spacing, box, strict=True))
    height = FIGURE_WIDTH * PLANES_FRACTION * max(j_mm, k_mm) / (2 * i_mm + j_mm) / 0.9
    figure = Figure(figsize=(FIGURE_WIDTH, height), facecolor="black")
    grid = figure.add_gridspec(
        1, 3, width_ratios=(i_mm, i_mm, j_mm), left=0.005, right=0.93, top=0.92, bottom=0.01, wspace=0.02
    )
    scale = Normalize(0.0, max(abs(row.largest_patch_gy_per_mm), 1e-9))
    for column, plane in enumerate(PLANES):
        axes = figure.add_subplot(grid[0, column])
        image, low, high = _background(maps)
        axes.imshow(
            cut_plane(image, plane, centre, box),
            cmap="gray",
            vmin=low,
            vmax=high,
            aspect=plane_aspect(spacing, plane),
            interpolation="bilinear",
        )
        for name, occupancy in maps.occupancy.items():
            if name in ("liver", "lesions") and name != row.voi:
                outline(axes, cut_plane(occupancy, plane, centre, box), OTHER, 0.8, "dashed")
        _draw(axes, maps, row, plane, centre, box, scale, colormaps[COLOURS])
        label_plane(axes, maps.geometry, plane)
    colour_bar(figure, ScalarMappable(scale, COLOURS), "Gy/mm")
    return figure


def _background(maps: ResultVolumes) -> tuple[np.ndarray, float, float]:
    if maps.ct_hu is not None:
        return np.asarray(maps.ct_hu.array, np.float32), *CT_WINDOW_HU
    values = np.asarray(maps.activity.array, np.float32)
    return values, 0.0, max(float(values.max()), 1e-9)


def _draw(
    axes: Axes,
    maps: ResultVolumes,
    row: ContourDependence,
    plane: str,
    centre: tuple[int, int, int],
    box: list[tuple[int, int]],
    scale: object,
    colours: object,
) -> None:
    """Draws the contour in pieces: a casing below, then colour and width by the absolute value, then dots."""
    from matplotlib.collections import LineCollection

    cut = cut_plane(maps.occupancy[row.voi], plane, centre, box)
    if cut.max() <= 0.5:
        return
    for line in _lines(cut):
        values = contour_values(maps, line, plane, centre, box)
        pieces = np.stack([line[:-1], line[1:]], axis=1)
        middle = 0.5 * (values[:-1] + values[1:])
        size = np.abs(middle)
        part = np.asarray(scale(size))  # type: ignore[operator]
        width = NARROW + (WIDE - NARROW) * np.clip(part, 0.0, 1.0)
        casing = np.where((size >= row.half_gy_per_mm)[:, None], np.ones(4), np.array([0.0, 0.0, 0.0, 1.0]))
        axes.add_collection(LineCollection(list(pieces), colors=casing, linewidths=width + 1.8, capstyle="round"))
        inks = colours(part)  # type: ignore[operator]
        axes.add_collection(LineCollection(list(pieces), colors=inks, linewidths=width, capstyle="round"))
        raising = line[:-1][middle > 0][::DOT_EVERY]
        axes.plot(raising[:, 0], raising[:, 1], ".", color="black", markersize=2.6, zorder=5)


def _lines(cut: np.ndarray) -> list[Float64[np.ndarray, "n 2"]]:
    """Closed lines at one half, as columns and rows of the slice, in pieces of at most half a voxel."""
    import contourpy

    padded = np.pad(cut, 1)
    found = []
    for line in contourpy.contour_generator(z=padded).lines(0.5):
        points = np.asarray(line, np.float64) - 1.0
        steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        at = np.linspace(0.0, steps[-1], max(2, int(2 * steps[-1]) + 1))
        found.append(np.stack([np.interp(at, steps, points[:, axis]) for axis in range(2)], axis=1))
    return found


def contour_values(
    maps: ResultVolumes,
    line: Float64[np.ndarray, "n 2"],
    plane: str,
    centre: tuple[int, int, int],
    box: list[tuple[int, int]],
) -> Float64[np.ndarray, " n"]:
    """Returns the derivatives at points of a slice, in Gy per mm.

    Args:
      maps: images on the working grid, with the map of the derivatives.
      line: (n, 2) columns and rows of the slice, of `cut_plane`.
      plane: plane of the slice.
      centre: voxel that the slice goes through.
      box: first and one past the last voxel of each axis.
    """
    if maps.contour_gy_per_mm is None:
        raise ValueError("the images have no derivatives of contours")
    column, row = line[:, 0], line[:, 1]
    (i0, _), (j0, _), (_, k1) = box
    if plane == "axial":
        index = np.stack([i0 + column, j0 + row, np.full_like(row, centre[2])], axis=1)
    elif plane == "coronal":
        index = np.stack([i0 + column, np.full_like(row, centre[1]), k1 - 1 - row], axis=1)
    else:
        index = np.stack([np.full_like(row, centre[0]), j0 + column, k1 - 1 - row], axis=1)
    shown = maps.contour_gy_per_mm
    place = np.asarray(shown.geometry.to_voxel(maps.geometry.to_world(index)))
    found: Float64[np.ndarray, " n"] = ndimage.map_coordinates(
        np.asarray(shown.array, np.float64), place.T, order=1, mode="nearest"
    )
    return found
