"""The report of an accumulation: one self-contained HTML page, and the same as a PDF."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from sirtjax.reports._accumulation_figures import sum_dvh_figure, sum_levels_gy
from sirtjax.reports._accumulation_tables import (
    histogram_table,
    limit_table,
    sum_sentences,
    sum_table,
    transfer_table,
    transform_table,
    treatment_table,
)
from sirtjax.reports._figures import figure_png, figure_svg
from sirtjax.reports._format import amount, significant
from sirtjax.reports._html import SEVERITIES
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS
from sirtjax.reports._report_pdf import DISCLAIMER

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.workflows import AccumulatedResult

TITLE = "SIRT accumulated dose"
DVH_CAPTION = "Cumulative dose-volume histograms: each treatment (broken lines) and the sum (solid line) on one axis."
LEGEND = (
    "Dx in Gy: dose that x % of the volume receives at least. Vx: fraction of the volume that receives at least x Gy. "
    "Lungs: sum of the mean lung doses of the treatments, a compartment value."
)
TRANSFER = (
    "Mean dose that each treatment states for the VOI of this name in its own mask (own), and its dose in the VOI "
    "of the reference (here). A large difference means that masks or transform do not fit."
)
HEADLINE_KINDS = ("lesions", "normal liver", "lungs")


def accumulation_html(
    result: AccumulatedResult,
    pictures: Sequence[dict[str, str]],
    *,
    identity: str | None = None,
    pages: Sequence[tuple[str, str]] = (),
) -> str:
    """Returns the report of an accumulation as one HTML page without outside resources.

    Args:
      result: result of the accumulation.
      pictures: slices with captions.
      identity: text to print instead of the pseudonym, if requested.
      pages: name of each registered treatment, and the file of its registration's page.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["sig"] = significant
    environment.filters["amount"] = amount
    source = resources.files("sirtjax.reports").joinpath("templates/accumulation.html.jinja")
    lesions = [voi for voi in result.vois if voi.kind == "lesion"]
    headline = [voi for voi in result.vois if voi.kind in HEADLINE_KINDS]
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        title=TITLE,
        result=result,
        identity=identity,
        pages=pages,
        headline=headline if len(lesions) != 1 else [*lesions, *headline],
        missed={one.voi for one in result.limits if not one.met},
        checks=sorted(result.checks, key=lambda check: SEVERITIES.index(check.severity)),
        sentences=sum_sentences(result),
        treatments=treatment_table(result),
        transforms=transform_table(result),
        limits=limit_table(result),
        sums=sum_table(result),
        histograms=histogram_table(result),
        transfer=transfer_table(result),
        transfer_text=TRANSFER,
        legend=LEGEND,
        dvh_svg=figure_svg(sum_dvh_figure(result)),
        dvh_caption=DVH_CAPTION,
        pictures=pictures,
        isodoses=list(zip(sum_levels_gy(result), ISODOSE_COLOURS, strict=False)),
        disclaimer=DISCLAIMER,
    )


def accumulation_pdf(
    result: AccumulatedResult, pictures: Sequence[dict[str, str]], *, identity: str | None = None
) -> bytes:
    """Returns the report of an accumulation as a PDF of A4 pages; the same result gives the same bytes.

    Args:
      result: result of the accumulation.
      pictures: slices with captions.
      identity: text to print instead of the pseudonym, if requested.
    """
    from sirtjax.reports._pdf_layout import document, paragraph, picture, section, table

    patient = identity or result.patient_id
    draft = "DRAFT" if result.unreviewed_masks else None
    title = f"{TITLE} · {patient}"

    def tabled(content: tuple[list[str], list[list[str]]], texts: int = 1) -> list[Flowable]:
        header, rows = content
        return table(header, rows, "l" * texts + "r" * (len(header) - texts))

    head = paragraph(f"Patient {patient} · {result.created} · sirtjax {result.versions['sirtjax']}")
    if draft:
        head += paragraph("DRAFT: not every mask of the treatments is verified.", bold=True, colour="#b42318")
        head += [part for line in result.unreviewed_masks for part in paragraph(line, bullet=True)]
    head += [part for line in sum_sentences(result) for part in paragraph(line)]
    checks = [
        [one.code, one.severity, one.message, amount(one.value, one.unit), amount(one.limit, one.unit), one.source]
        for one in sorted(result.checks, key=lambda check: SEVERITIES.index(check.severity))
    ]
    header = ["code", "severity", "finding", "value", "limit", "source"]
    found = table(header, checks, "lllrrl") if checks else paragraph("Every check passed.")
    limits, limit_rows = limit_table(result)
    images: list[Flowable] = []
    for each in pictures:
        images += picture(base64.b64decode(each["data"].partition(",")[2]), each["caption"])
    dvh = base64.b64decode(figure_png(sum_dvh_figure(result), dpi=150).partition(",")[2])
    methods = [[one.name, one.value, one.source] for one in result.methods]
    story = [
        *section(TITLE if draft is None else f"DRAFT: {TITLE}", head, level=1),
        *section("Checks", found),
        *section("Cumulative limits", table(limits, limit_rows, "lrll")),
        *section("Treatments", [*tabled(treatment_table(result), 6), *tabled(transform_table(result), 3)]),
        *section("Dose per VOI", [*tabled(sum_table(result)), *tabled(histogram_table(result))]),
        *paragraph(LEGEND, size=7.5),
        *picture(dvh, DVH_CAPTION),
        *section(
            "Doses before and after the transform", [*tabled(transfer_table(result)), *paragraph(TRANSFER, size=7.5)]
        ),
        *section("Images", images),
        *section("Methods", table(["", "", ""], methods, "lll")),
    ]
    return document(story, title=title, footer=f"{f'{draft} · ' if draft else ''}{title}. {DISCLAIMER}", stamp=draft)
