"""The lung shunt and the dose next to the lung without blur, in the printed report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._format import significant
from sirtjax.reports._lung_reassignment_tables import (
    LUNG_REASSIGNMENT_HEADER,
    lung_reassignment_rows,
    lung_reassignment_sentences,
)
from sirtjax.reports._pdf_layout import paragraph, section, table

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import Result


def lung_reassignment_section(result: Result) -> list[Flowable]:
    """Returns the section; empty without the correction.

    Args:
      result: plan or verification.
    """
    found = lung_reassignment_rows(result)
    if not found:
        return []
    rows = [[cell if isinstance(cell, str) else significant(cell) for cell in row] for row in found]
    body = paragraph(" ".join(lung_reassignment_sentences(result)))
    header = [*LUNG_REASSIGNMENT_HEADER]
    return section("Blur between liver and lungs", [*body, *table(header, rows, "lrrrr")], level=3)
