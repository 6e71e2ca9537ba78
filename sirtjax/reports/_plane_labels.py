"""Names and orientation letters of the slices in a report, from the axes of their grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sirtjax.volume import Geometry, axis_codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Axis and sign along which the columns and the rows of `cut_plane` run, to the right and down.
_AXES = {"axial": ((0, 1), (1, 1)), "coronal": ((0, 1), (2, -1)), "sagittal": ((1, 1), (2, -1))}
# Letters of DICOM's patient orientation: head and feet instead of superior and inferior.
_LETTERS = {"L": "L", "R": "R", "P": "P", "A": "A", "S": "H", "I": "F"}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "H": "F", "F": "H"}
_PLANES = {frozenset("LP"): "axial", frozenset("LH"): "coronal", frozenset("PH"): "sagittal"}
# Scanners tilt their grid by less to follow the bed.
OBLIQUE_DEGREES = 5.0


def edge_letters(geometry: Geometry, plane: str) -> tuple[str, str, str, str]:
    """Returns the sides of the patient at the left, right, upper and lower edge of a slice.

    The letters are L, R (left, right), A, P (anterior, posterior), H, F (head, feet), of the nearest patient axis.

    Args:
      geometry: grid of the slice.
      plane: slice of `cut_plane`: "axial", "coronal" or "sagittal".

    Examples:
      >>> from sirtjax.reports._plane_labels import edge_letters
      >>> from sirtjax.volume import Geometry
      >>> grid = Geometry.from_axes((4, 4, 4), spacing_mm=(2.0, 2.0, 3.0))
      >>> edge_letters(grid, "axial"), edge_letters(grid, "sagittal")
      (('R', 'L', 'A', 'P'), ('A', 'P', 'H', 'F'))
    """
    right, low = (_towards(geometry, axis, sign) for axis, sign in _AXES[plane])
    return _OPPOSITE[right], right, _OPPOSITE[low], low


def plane_name(geometry: Geometry, plane: str) -> str:
    """Returns the name of a slice by the nearest patient axes, with its angle if it is oblique.

    Args:
      geometry: grid of the slice.
      plane: slice of `cut_plane`: "axial", "coronal" or "sagittal".
    """
    _, right, _, low = edge_letters(geometry, plane)
    axes = frozenset(letter if letter in "LPH" else _OPPOSITE[letter] for letter in (right, low))
    degrees = oblique_degrees(geometry)
    return _PLANES[axes] + (f", oblique by {degrees:.0f}°" if degrees >= OBLIQUE_DEGREES else "")


def oblique_degrees(geometry: Geometry) -> float:
    """Returns the largest angle between an axis of a grid and the patient axis nearest to it, in degrees."""
    nearest = [("LPS".find(c) if c in "LPS" else "RAI".find(c)) for c in axis_codes(geometry)]
    cosines = [abs(geometry.direction[world, axis]) for axis, world in enumerate(nearest)]
    return float(np.degrees(np.arccos(np.clip(min(cosines), 0.0, 1.0))))


def label_plane(axes: Axes, geometry: Geometry, plane: str, *, size: float = 8.0, inside: bool = False) -> None:
    """Writes name and orientation letters of a slice, and removes its frame.

    Args:
      axes: axes with the slice.
      geometry: grid of the slice.
      plane: slice of `cut_plane`: "axial", "coronal" or "sagittal".
      size: font size of the letters, points.
      inside: whether the name is in the upper left corner of the slice instead of above it.
    """
    from matplotlib.patheffects import withStroke

    style: dict[str, Any] = {
        "transform": axes.transAxes,
        "color": "white",
        "fontsize": size,
        "fontweight": "bold",
        # Legible on bone and on bright doses.
        "path_effects": [withStroke(linewidth=2.0, foreground="black")],
    }
    ends = (
        *((0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center")),
        *((0.5, 0.985, "center", "top"), (0.5, 0.015, "center", "bottom")),
    )
    for letter, (x, y, across, up) in zip(edge_letters(geometry, plane), ends, strict=True):
        axes.text(x, y, letter, ha=across, va=up, **style)
    name = plane_name(geometry, plane)
    if inside:
        axes.text(0.015, 0.985, name, ha="left", va="top", **style)
    else:
        # The default place is searched for above the ticks, which are not drawn.
        axes.set_title(name, color="white", fontsize=9, pad=3, y=1.0)
    axes.set_axis_off()


def _towards(geometry: Geometry, axis: int, sign: int) -> str:
    letter = _LETTERS[axis_codes(geometry)[axis]]
    return letter if sign > 0 else _OPPOSITE[letter]
