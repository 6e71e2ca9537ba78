"""The report of a plan or a verification as a PDF, for archives that accept documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sirtjax.reports._html import page_footer, pictures_of, summary_picture_of

if TYPE_CHECKING:
    from sirtjax.workflows import Result, ResultVolumes

DISCLAIMER = (
    "Research software, not a medical device. A qualified medical physicist must review every number "
    "before clinical use."
)


def report_pdf(
    result: Result,
    maps: ResultVolumes,
    *,
    identity: str | None = None,
    pictures: Sequence[dict[str, str]] | None = None,
    summary_picture: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> bytes:
    """Returns the report of a plan or a verification as a PDF; its first page is the summary.

    Args:
      result: plan or verification.
      maps: images on the working grid.
      identity: text to print instead of the pseudonym, if requested.
      pictures: result of `pictures_of`, if it already exists.
      summary_picture: result of `summary_picture_of`, if it already exists.
      on_step: called with the name of each picture when it starts.

    Returns:
      The document; the same result gives the same bytes.
    """
    from sirtjax.reports._pdf_content import report_story
    from sirtjax.reports._pdf_layout import document

    draft = "DRAFT" if result.unreviewed_masks else None
    patient = identity or result.patient_id
    title = f"SIRT treatment {'plan' if result.kind == 'plan' else 'verification'} · {patient}"
    if pictures is None:
        pictures = pictures_of(result, maps, on_step)
    if summary_picture is None:
        summary_picture = summary_picture_of(result, maps)
    return document(
        report_story(result, patient, pictures, summary_picture),
        title=title,
        header=f"{draft} · {title}" if draft else title,
        footer=f"{page_footer(result)}\n{DISCLAIMER}",
        stamp=draft,
        paper=result.record.paper,
    )
