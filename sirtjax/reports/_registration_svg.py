"""Three planes side by side as one inline SVG in millimetres: pictures, and lines drawn on them as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from sirtjax.reports._registration_planes import Plane

GAP_MM = 6.0
BAR_MM = 50.0
# Of the row's width, so that letters are equally large whatever is shown.
LETTER_FRACTION, SMALL_FRACTION = 0.016, 0.012


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """The style of a line: its colour, width in screen pixels, and dashes or dots."""

    colour: str
    width: float = 1.6
    dashed: bool = False
    dots: bool = False
    opacity: float = 1.0


@dataclass(kw_only=True)
class Tile:
    """One plane: its picture (a data URI) and the SVG of the lines on it, in millimetres from its corner."""

    plane: Plane
    picture: str
    lines: list[str] = field(default_factory=list)

    def draw_level(self, values: Float32[np.ndarray, "rows columns"], level: float, stroke: Stroke) -> None:
        """Draws the lines where values (rows, columns over the whole plane) cross a level."""
        if values.min() < level < values.max():
            self._draw(values, [level], stroke)

    def draw_levels(self, values: Float32[np.ndarray, "rows columns"], levels: Sequence[float], stroke: Stroke) -> None:
        """Draws the lines of several levels, in one stroke."""
        self._draw(values, [level for level in levels if values.min() < level < values.max()], stroke)

    def _draw(self, values: NDArray[np.float32], levels: Sequence[float], stroke: Stroke) -> None:
        from contourpy import LineType, contour_generator

        generator = contour_generator(z=values, line_type=LineType.Separate)
        scale = np.asarray(self.plane.size_mm) / (values.shape[1], values.shape[0])
        pieces = []
        for level in levels:
            for line in generator.lines(level):
                places = (np.asarray(line) + 0.5) * scale
                pieces.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places.tolist()))
        if not pieces:
            return
        dashes = ' stroke-dasharray="1 3"' if stroke.dots else ' stroke-dasharray="5 4"' if stroke.dashed else ""
        faint = f' stroke-opacity="{stroke.opacity:g}"' if stroke.opacity < 1 else ""
        self.lines.append(
            f'<path d="{"".join(pieces)}" fill="none" stroke="{stroke.colour}" stroke-width="{stroke.width:g}"'
            f'{dashes}{faint} vector-effect="non-scaling-stroke"/>'
        )


def row_svg(tiles: Sequence[Tile], *, title: str) -> str:
    """Returns the tiles in a row with their edge letters, their positions and a scale bar."""
    width = sum(tile.plane.size_mm[0] for tile in tiles) + GAP_MM * (len(tiles) - 1)
    head = 2.2 * SMALL_FRACTION * width
    height = max(tile.plane.size_mm[1] for tile in tiles) + head
    parts, left = [], 0.0
    for number, tile in enumerate(tiles):
        parts.append(f'<g transform="translate({left:.2f} {head:.2f})">{_tile_svg(tile, width, bar=number == 0)}</g>')
        left += tile.plane.size_mm[0] + GAP_MM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.2f} {height:.2f}" role="img" '
        f'aria-label="{escape(title)}" class="planes" font-family="system-ui, sans-serif">'
        f'<rect width="{width:.2f}" height="{height:.2f}" fill="black"/>{"".join(parts)}</svg>'
    )


def _tile_svg(tile: Tile, row_mm: float, *, bar: bool) -> str:
    plane = tile.plane
    (width, height), letter, small = plane.size_mm, LETTER_FRACTION * row_mm, SMALL_FRACTION * row_mm
    axis = "LPS"[plane.across_axis]
    parts = [
        f'<image href="{tile.picture}" width="{width:.2f}" height="{height:.2f}" preserveAspectRatio="none"/>',
        # The lines keep to the plane.
        f'<svg width="{width:.2f}" height="{height:.2f}" overflow="hidden">{"".join(tile.lines)}</svg>',
        f'<text x="{0.5 * small:.2f}" y="{-0.6 * small:.2f}" font-size="{small:.2f}" fill="#d0d7de">'
        f"{plane.name}, {axis} = {plane.at_mm:.0f} mm</text>",
    ]
    places = (
        (0.7 * letter, 0.5 * height),
        (width - 0.7 * letter, 0.5 * height),
        (0.5 * width, 1.1 * letter),
        (0.5 * width, height - 0.4 * letter),
    )
    for text, (x, y) in zip(plane.letters, places, strict=True):
        parts.append(_outlined(text, x, y, letter, anchor="middle"))
    if bar:
        y = height - 0.9 * letter
        parts.append(
            f'<path d="M{letter:.2f} {y:.2f}h{BAR_MM:g}" stroke="white" stroke-width="3" '
            'vector-effect="non-scaling-stroke"/>'
        )
        parts.append(_outlined(f"{BAR_MM:g} mm", letter, y - 0.5 * small, small, anchor="start"))
    return "".join(parts)


def _outlined(text: str, x: float, y: float, size: float, *, anchor: str) -> str:
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size:.2f}" text-anchor="{anchor}" fill="#ffe9a3" '
        f'stroke="black" stroke-width="{0.16 * size:.2f}" paint-order="stroke" font-weight="600">{text}</text>'
    )
