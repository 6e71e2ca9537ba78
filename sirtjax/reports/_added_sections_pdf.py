"""The sections of `added_sections` in the printed report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._added_sections import added_sections
from sirtjax.reports._before_after_pdf import MISSED_COLOUR
from sirtjax.reports._pdf_layout import paragraph, section, table

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import Result


def added_flowables(result: Result) -> list[Flowable]:
    """Returns the sections of `added_sections` as flowables."""
    story: list[Flowable] = []
    for part in added_sections(result):
        body: list[Flowable] = []
        for line in part.sentences:
            body += paragraph(line)
        for one in part.tables:
            colours = dict.fromkeys(one.missed, MISSED_COLOUR)
            found = table(one.header, one.rows, "l" + "r" * (len(one.header) - 1), colours=colours)
            body += section(one.title, found, level=3) if one.title else found
        story += section(part.title, body)
    return story
