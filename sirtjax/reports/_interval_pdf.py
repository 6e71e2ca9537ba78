"""The section on intervals, and the block of the summary about them, in the printed report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportlab.platypus import Paragraph, Spacer, Table

from sirtjax.reports._figures import figure_png
from sirtjax.reports._interval_section import TITLE, interval_figures, interval_sentences
from sirtjax.reports._interval_tables import CERTAINTY, LEVELS, interval_tables
from sirtjax.reports._pdf_layout import INK, SOFT, TEXT_WIDTH, markup, paragraph, picture, section, table, text_style
from sirtjax.reports._pdf_pictures import data_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportlab.platypus import Flowable

    from sirtjax.reports._certainty import CertaintyLine
    from sirtjax.reports._interval_tables import IntervalTable
    from sirtjax.workflows import Result

INTERVALS = "intervals"
COLOURS = {"error": "#b42318", "warning": "#9a6700", "ok": "#1a7f37", "info": SOFT, "plain": INK}
LABEL_WIDTH = 82.0


def interval_section(result: Result, *, dpi: int) -> list[Flowable]:
    """Returns the section; empty if intervals are off.

    Args:
      result: plan or verification.
      dpi: resolution of the figures.
    """
    if result.uncertainty is None:
        return []
    body: list[Flowable] = []
    for line in interval_sentences(result):
        body += paragraph(line)
    tables = interval_tables(result)
    for one in tables[:2]:
        body += _table(one)
    for title, caption, figure in interval_figures(result):
        shown = picture(data_bytes(figure_png(figure, dpi=dpi)), caption)
        body += section(title, shown, level=3) if title else shown
    for one in tables[2:]:
        body += _table(one)
    return section(TITLE, body, anchor=INTERVALS)


def _table(one: IntervalTable) -> list[Flowable]:
    colours = {
        (n, c): COLOURS[LEVELS[cell]]
        for n, row in enumerate(one.rows)
        for c, cell in enumerate(row)
        if one.header[c] == CERTAINTY
    }
    body = table(one.header, one.rows, one.align, colours=colours)
    for line in one.notes:
        body += paragraph(line, size=7.5, colour=SOFT)
    return section(one.title, body, level=3)


def certainty_block(title: str, lines: Sequence[CertaintyLine]) -> list[Flowable]:
    """Returns the block of the summary; empty without lines.

    Args:
      title: heading.
      lines: content.
    """
    if not lines:
        return []
    cells: list[list[Any]] = [
        [
            Paragraph(markup(line.label), text_style(6.8, bold=True, colour=COLOURS[line.level], leading=1.25)),
            Paragraph(markup(line.text), text_style(6.8, leading=1.25)),
        ]
        for line in lines
    ]
    style = [
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return [
        Spacer(0, 4),
        Paragraph(markup(title), text_style(8.5, bold=True, after=2.0)),
        Table(cells, colWidths=[LABEL_WIDTH, TEXT_WIDTH - LABEL_WIDTH], style=style),
    ]
