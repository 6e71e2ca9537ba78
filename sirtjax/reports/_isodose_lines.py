"""Isodose lines of a slice, between the centres of the voxels that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32, Integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Largest voxel that is looked for, in rows.
WIDEST = 16
# A width is taken if so many of the changes remain at edges of voxels. The others are at the edge of the liver, which
# cuts through voxels. With twice the width of the voxels, only half of them remain.
MOST = 0.7
ISODOSE_COLOURS = ("#4d7cff", "#35d0ff", "#f4f13a", "#ff9500", "#ff3b30")


def draw_isodoses(
    axes: Axes, cut: Float32[np.ndarray, "rows columns"], levels: Sequence[float], *, labels: bool = True
) -> None:
    """Draws the isodose lines of one slice.

    A dose map by local deposition repeats each voxel of a coarser image. Its lines are interpolated between the centres
    of these voxels, and not drawn around them.

    Args:
      axes: axes in which a unit is a row or a column.
      cut: (rows, columns) dose in Gy.
      levels: doses of the lines in Gy, rising.
      labels: whether to write the doses along the lines.
    """
    rows, columns = (voxel_centres(cut, axis=axis) for axis in (0, 1))
    values = cut[np.ix_(_indices(rows, cut.shape[0]), _indices(columns, cut.shape[1]))]
    for level, colour in zip(levels, ISODOSE_COLOURS, strict=False):
        if values.max() > level > values.min():
            lines = axes.contour(columns, rows, values, levels=[level], colors=[colour], linewidths=0.9)
            if labels:
                axes.clabel(lines, fmt=lambda value: f"{value:g}", fontsize=6)


def mark_isodoses(bar: Axes, levels: Sequence[float]) -> None:
    """Marks the doses of the isodose lines on a colour bar, in the colours of the lines.

    Args:
      bar: axes of the colour bar, with the dose in Gy upwards.
      levels: doses of the lines in Gy, rising.
    """
    for level, colour in zip(levels, ISODOSE_COLOURS, strict=False):
        bar.axhline(level, color="black", linewidth=2.6)
        bar.axhline(level, color=colour, linewidth=1.5)


def voxel_centres(cut: Float32[np.ndarray, "rows columns"], *, axis: int) -> Float[np.ndarray, " n"]:
    """Returns the centres of the voxels that a slice repeats, as places along one of its axes.

    Args:
      cut: (rows, columns) values.
      axis: 0 for rows, 1 for columns.

    Examples:
      >>> import numpy as np
      >>> from sirtjax.reports._isodose_lines import voxel_centres
      >>> voxel_centres(np.float32([[1, 2, 2, 2, 5, 5, 5, 4, 4]]), axis=1)  # voxels of three columns
      array([-1.,  2.,  5.,  8.])
    """
    changes = np.sum(np.diff(cut, axis=axis) != 0, axis=1 - axis)
    places = np.arange(1, len(changes) + 1)
    width, begin, kept = 1, 0, float(changes.sum())
    for wide in range(2, min(WIDEST, cut.shape[axis] // 2) + 1):
        at = np.bincount(places % wide, weights=changes, minlength=wide)
        if at.max() > MOST * kept:
            # The first voxel can start before the slice.
            width, begin, kept = wide, -(-int(at.argmax()) % wide), at.max()
    found: np.ndarray = np.arange(begin, cut.shape[axis], width) + (width - 1) / 2
    return found


def _indices(centres: Float[np.ndarray, " n"], count: int) -> Integer[np.ndarray, " n"]:
    """Indices within each voxel; the centre of one at the edge can be outside of the slice."""
    found: np.ndarray = np.clip(np.round(centres), 0, count - 1).astype(int)
    return found
