"""Planned and delivered dose as a section of the printed report."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sirtjax.reports._before_after_figures import agreement_figure
from sirtjax.reports._before_after_tables import before_after_sentences, before_after_tables
from sirtjax.reports._figures import figure_png
from sirtjax.reports._pdf_layout import paragraph, picture, section, table

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import Result

MISSED_COLOUR = "#b42318"


def before_after_section(result: Result, *, dpi: int) -> list[Flowable]:
    """Returns the section of planned and delivered dose; empty without a plan.

    Args:
      result: plan or verification.
      dpi: resolution of the figure.
    """
    both = result.before_after
    if both is None:
        return []
    body: list[Flowable] = []
    for line in before_after_sentences(result):
        body += paragraph(line)
    for one in before_after_tables(result):
        colours = dict.fromkeys(one.missed, MISSED_COLOUR)
        found = table(one.header, one.rows, "l" + "r" * (len(one.header) - 1), colours=colours)
        body += section(one.title, found, level=3) if one.title else found
    if both.lesions.bias_gy is not None:
        png = base64.b64decode(figure_png(agreement_figure(both), dpi=dpi).partition(",")[2])
        caption = (
            "Mean dose of each lesion: delivered against planned (dashed: equal doses), and their difference with "
            "bias and limits of agreement."
        )
        body += picture(png, caption)
    return section("Before and after treatment", body)
