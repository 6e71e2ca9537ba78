"""The predicted outcome and the future liver remnant in the PDF."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sirtjax.reports._figures import figure_png
from sirtjax.reports._outcome_section import CAPTION, OUTCOME_HEADER, outcome_figure, outcome_rows, outcome_sentences
from sirtjax.reports._pdf_layout import paragraph, picture, section, table
from sirtjax.reports._remnant_section import REMNANT_HEADER, remnant_rows, remnant_sentences

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import Result


def outcome_section(result: Result, *, dpi: int) -> list[Flowable]:
    """Returns the section of the predicted outcome; empty without a dose response.

    Args:
      result: plan or verification.
      dpi: resolution of the figure.
    """
    if result.outcome is None:
        return []
    data = figure_png(outcome_figure(result.outcome), dpi=dpi)
    body = paragraph(" ".join(outcome_sentences(result)))
    body += picture(base64.b64decode(data.partition(",")[2]), CAPTION)
    return section("Predicted outcome", [*body, *table(list(OUTCOME_HEADER), outcome_rows(result), "lrrrr")])


def remnant_section(result: Result) -> list[Flowable]:
    """Returns the section of the future liver remnant."""
    if result.remnant is None:
        return []
    rows = remnant_rows(result)
    body = [*(table(list(REMNANT_HEADER), rows, "lrrr") if rows else [])]
    return section("Future liver remnant", [*body, *paragraph(" ".join(remnant_sentences(result)))], level=3)
