"""Blocks flowed over A4 pages and drawn as a PDF by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32

from sirtjax.reports._pdf_blocks import (
    BAND,
    BOTTOM,
    CELL_GAP,
    FONT,
    INK,
    LINE,
    MARGIN,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SOFT,
    SPACING,
    TEXT_WIDTH,
    TOP,
    Block,
    Heading,
    Key,
    Paragraph,
    Picture,
    Table,
    broken,
    drawable,
    laid_out,
    text_width,
)

_HEADING_SIZE = {1: 17.0, 2: 12.0, 3: 9.5}
_SAMPLE = 14.0


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something at a place of a page: text, a line, a filled box or a picture; y counts down from the top."""

    kind: str
    x: float
    y: float
    text: str = ""
    size: float = 0.0
    colour: str = INK
    bold: bool = False
    align: str = "l"
    width: float = 0.0
    height: float = 0.0
    dashed: bool = False
    pixels: Float32[np.ndarray, "rows columns channels"] | None = None


@dataclass
class _Flow:
    """The pages made so far, and how far down the last one is filled."""

    pages: list[list[Item]] = field(default_factory=lambda: [[]])
    y: float = TOP

    @property
    def room(self) -> float:
        return PAGE_HEIGHT - BOTTOM - self.y

    def add(self, **what: Any) -> None:
        self.pages[-1].append(Item(**what))

    def need(self, height: float) -> None:
        """Turn to a new page where less than this is left of the present one."""
        if self.room < height and self.y > TOP:
            self.pages.append([])
            self.y = TOP


def pdf_of(blocks: Sequence[Block], *, title: str, footer: str, stamp: str | None = None) -> bytes:
    """Blocks as a PDF of A4 pages, each with a footer and its number; the same blocks give the same bytes.

    Args:
      blocks: from the first page's top to the last one's end.
      title: of the document, in its properties.
      footer: at the foot of every page.
      stamp: a word across every page.
    """
    return _drawn(pages_of(blocks), title=title, footer=footer, stamp=stamp)


def pages_of(blocks: Sequence[Block]) -> list[list[Item]]:
    """Returns the position of each part of the blocks, page by page."""
    flow = _Flow()
    for block in blocks:
        if isinstance(block, Heading):
            _flow_heading(flow, block)
        elif isinstance(block, Paragraph):
            _flow_paragraph(flow, block)
        elif isinstance(block, Table):
            _flow_table(flow, block)
        elif isinstance(block, Picture):
            _flow_picture(flow, block)
        else:
            _flow_key(flow, block)
    return flow.pages


def _flow_heading(flow: _Flow, heading: Heading) -> None:
    size = _HEADING_SIZE[heading.level]
    lines = broken(heading.text, TEXT_WIDTH, size, bold=True)
    flow.need(size * (len(lines) + 1) + heading.below)
    flow.y += size * 0.7 if flow.y > TOP else 0
    for line in lines:
        flow.y += size * 1.2
        flow.add(kind="text", x=MARGIN, y=flow.y, text=line, size=size, bold=True)
    flow.y += size * 0.35
    if heading.level == 2:
        flow.add(kind="line", x=MARGIN, y=flow.y, width=TEXT_WIDTH, colour=LINE)
    flow.y += 4


def _flow_paragraph(flow: _Flow, block: Paragraph) -> None:
    indent = 9.0 if block.bullet else 0.0
    step = block.size * SPACING
    for n, line in enumerate(broken(block.text, TEXT_WIDTH - indent, block.size, bold=block.bold)):
        flow.need(step)
        flow.y += step
        style = {"size": block.size, "colour": block.colour, "bold": block.bold}
        if block.bullet and n == 0:
            flow.add(kind="text", x=MARGIN, y=flow.y, text="•", **style)
        flow.add(kind="text", x=MARGIN + indent, y=flow.y, text=line, **style)
    flow.y += 3


def _flow_table(flow: _Flow, table: Table) -> None:
    cells = laid_out(table)
    headed = any(table.header)
    step = cells.size * 1.22
    heights = [max(len(cell) for cell in row) * step + 4 for row in cells.rows]
    colours = dict(table.colours)
    if headed:
        flow.need(heights[0] + (heights[1] if len(heights) > 1 else 0))
    for n, (row, height) in enumerate(zip(cells.rows, heights, strict=True)):
        number = n - 1 if headed else n
        if headed and n and flow.room < height:
            flow.need(height)
            _draw_row(flow, cells.rows[0], cells.widths, cells.size, heights[0], table.align, header=True)
        flow.need(height)
        if number in table.strong:
            flow.add(kind="box", x=MARGIN, y=flow.y, width=TEXT_WIDTH, height=height, colour=BAND)
        inks = {c: colours[(number, c)] for c in range(len(row)) if (number, c) in colours}
        _draw_row(
            flow,
            row,
            cells.widths,
            cells.size,
            height,
            table.align,
            header=headed and n == 0,
            bold=number in table.strong,
            inks=inks,
        )
    flow.y += 6


def _draw_row(
    flow: _Flow,
    row: list[list[str]],
    widths: list[float],
    size: float,
    height: float,
    align: str,
    *,
    header: bool = False,
    bold: bool = False,
    inks: dict[int, str] | None = None,
) -> None:
    x = MARGIN
    for c, lines in enumerate(row):
        right = align[c] == "r"
        colour = SOFT if header else (inks or {}).get(c, INK)
        for n, line in enumerate(lines):
            flow.add(
                kind="text",
                x=x + widths[c] - CELL_GAP / 2 if right else x + CELL_GAP / 2,
                y=flow.y + 1 + (n + 1) * size * 1.22 - size * 0.15,
                text=line,
                size=size,
                bold=header or bold or c in (inks or {}),
                colour=colour,
                align="r" if right else "l",
            )
        x += widths[c]
    flow.y += height
    flow.add(kind="line", x=MARGIN, y=flow.y, width=TEXT_WIDTH, colour=LINE)


def _flow_picture(flow: _Flow, picture: Picture) -> None:
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(picture.png), format="png")
    height = TEXT_WIDTH * pixels.shape[0] / pixels.shape[1]
    flow.need(height + 30)
    flow.add(kind="picture", x=MARGIN, y=flow.y + 2, width=TEXT_WIDTH, height=height, pixels=pixels)
    flow.y += height + 4
    _flow_paragraph(flow, Paragraph(text=picture.caption, size=7.5, colour=SOFT))
    flow.y += 5


def _flow_key(flow: _Flow, key: Key) -> None:
    size = 7.5
    x = MARGIN
    flow.need(2 * size)
    flow.y += size * SPACING
    for colour, dashed, text in key.entries:
        width = _SAMPLE + 4 + text_width(drawable(text), size) + 12
        if x > MARGIN and x + width > PAGE_WIDTH - MARGIN:
            x = MARGIN
            flow.need(2 * size)
            flow.y += size * SPACING
        flow.add(kind="sample", x=x, y=flow.y - size * 0.35, width=_SAMPLE, colour=colour, dashed=dashed)
        flow.add(kind="text", x=x + _SAMPLE + 4, y=flow.y, text=drawable(text), size=size)
        x += width
    flow.y += 4


def _drawn(pages: list[list[Item]], *, title: str, footer: str, stamp: str | None) -> bytes:
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    facts = {"Title": title, "Creator": "sirtjax", "Producer": None, "CreationDate": None}
    # Whole fonts, so that the text can be searched and copied.
    with rc_context({"pdf.fonttype": 42}), PdfPages(buffer, metadata=facts) as document:
        for number, items in enumerate(pages, start=1):
            figure = Figure(figsize=(PAGE_WIDTH / 72, PAGE_HEIGHT / 72))
            FigureCanvasPdf(figure)
            for item in [*items, *_frame(footer, f"{number} / {len(pages)}", stamp)]:
                _draw(figure, item)
            document.savefig(figure)
    return buffer.getvalue()


def _frame(footer: str, number: str, stamp: str | None) -> list[Item]:
    """Returns the footer, page number and stamp of a page."""
    y = PAGE_HEIGHT - BOTTOM + 14
    small: dict[str, Any] = {"size": 6.5, "colour": SOFT}
    found = [Item(kind="line", x=MARGIN, y=y - 8, width=TEXT_WIDTH, colour=LINE)]
    for n, line in enumerate(broken(footer, TEXT_WIDTH - 50, small["size"])[:2]):
        found.append(Item(kind="text", x=MARGIN, y=y + 2 + 8 * n, text=line, **small))
    found.append(Item(kind="text", x=PAGE_WIDTH - MARGIN, y=y + 2, text=number, align="r", **small))
    if stamp is not None:
        found.append(Item(kind="stamp", x=PAGE_WIDTH / 2, y=PAGE_HEIGHT / 2, text=stamp))
    return found


def _draw(figure: Any, item: Item) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    x, y = item.x / PAGE_WIDTH, 1 - item.y / PAGE_HEIGHT
    width, height = item.width / PAGE_WIDTH, item.height / PAGE_HEIGHT
    style = {"family": FONT, "parse_math": False}
    if item.kind == "text":
        weight = "bold" if item.bold else "normal"
        side = "right" if item.align == "r" else "left"
        figure.text(x, y, item.text, size=item.size, color=item.colour, weight=weight, ha=side, va="baseline", **style)
    elif item.kind == "stamp":
        figure.text(
            x, y, item.text, size=120, weight="bold", color="#b42318", alpha=0.08, rotation=50,
            ha="center", va="center", **style,
        )  # fmt: skip
    elif item.kind in ("line", "sample"):
        thick = 0.5 if item.kind == "line" else 2.0
        line = Line2D([x, x + width], [y, y], color=item.colour, linewidth=thick)
        line.set_linestyle("dashed" if item.dashed else "solid")
        figure.add_artist(line)
    elif item.kind == "box":
        figure.add_artist(Rectangle((x, y - height), width, height, color=item.colour, linewidth=0, zorder=0))
    else:
        axes = figure.add_axes((x, y - height, width, height))
        axes.imshow(item.pixels, aspect="auto", interpolation="none")
        axes.set_axis_off()
