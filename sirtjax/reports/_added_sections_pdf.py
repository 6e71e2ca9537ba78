"""The sections of `added_sections` in the printed report."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sirtjax.reports._added_sections import added_sections
from sirtjax.reports._before_after_pdf import MISSED_COLOUR
from sirtjax.reports._figures import figure_png
from sirtjax.reports._pdf_layout import paragraph, picture, section, table

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import Result


def added_flowables(result: Result, *, dpi: int) -> list[Flowable]:
    """Returns the sections of `added_sections` as flowables.

    Args:
      result: plan or verification.
      dpi: resolution of the figures.
    """
    story: list[Flowable] = []
    for part in added_sections(result):
        body: list[Flowable] = []
        for line in part.sentences:
            body += paragraph(line)
        if part.figure is not None:
            data = figure_png(part.figure(), dpi=dpi)
            body += picture(base64.b64decode(data.partition(",")[2]), part.caption)
        for one in part.tables:
            colours = dict.fromkeys(one.missed, MISSED_COLOUR)
            found = table(one.header, one.rows, "l" + "r" * (len(one.header) - 1), colours=colours)
            body += section(one.title, found, level=3) if one.title else found
        story += section(part.title, body)
    return story
