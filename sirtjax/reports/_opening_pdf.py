"""The first pages of the PDF: the summary to sign, the reasons for a draft, and the treatment record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sirtjax.reports._html import isodose_levels
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS
from sirtjax.reports._pdf_layout import STAMP_INK, paragraph, section, table
from sirtjax.reports._pdf_pictures import data_bytes, jpeg
from sirtjax.reports._record_tables import record_parts
from sirtjax.reports._summary import summary_of, summary_outlines
from sirtjax.reports._summary_pdf import summary_page

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import Result


def first_page(result: Result, patient: str, picture: str | None) -> list[Flowable]:
    """Returns the summary.

    Args:
      result: plan or verification.
      patient: printed name or pseudonym of the patient.
      picture: slice of the summary as a data URI; None to omit it.
    """
    slice_ = None if picture is None else jpeg(data_bytes(picture))
    isodoses = list(zip(isodose_levels(result), ISODOSE_COLOURS, strict=False))
    return summary_page(summary_of(result, patient), slice_, isodoses, summary_outlines(result))


def drafts_section(result: Result) -> list[Flowable]:
    """Returns the reasons why a result is a draft; nothing if it is not one."""
    if not result.unreviewed_masks:
        return []
    warning = "Not every mask is verified. Review, correct and sign each mask, then plan again."
    body = paragraph(warning, colour=STAMP_INK, bold=True)
    for line in result.unreviewed_masks:
        body += paragraph(line, bullet=True)
    return section("DRAFT", body)


def record_section(result: Result) -> list[Flowable]:
    """Returns the tables of the treatment record."""
    body = []
    for part in record_parts(result):
        body += section(part.title, table(part.header, part.rows, part.align), level=3)
    return section("Treatment record", body)
