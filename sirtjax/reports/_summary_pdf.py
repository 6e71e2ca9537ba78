"""The first page of the PDF: the summary, in the area that A4 and US Letter have in common.

Lesions and checks that do not fit are counted, with the page that lists them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reportlab.lib.units import inch
from reportlab.platypus import HRFlowable, Image, PageBreak, Paragraph, Spacer, Table

from sirtjax.reports._format import counted
from sirtjax.reports._interval_pdf import INTERVALS, certainty_block
from sirtjax.reports._interval_verdicts import CERTAINTY_WORDS, NOT_MET_UNCORRECTED
from sirtjax.reports._pdf_layout import (
    BOLD,
    FONT,
    INK,
    LINE,
    SOFT,
    TEXT_HEIGHT,
    TEXT_WIDTH,
    content_height,
    key,
    markup,
    paragraph,
    table,
    text_style,
)
from sirtjax.reports._pdf_mentions import Mention

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

    from sirtjax.reports._summary import Summary

COLOURS = {"error": "#b42318", "warning": "#9a6700", "ok": "#1a7f37"}
VERDICTS = {
    NOT_MET_UNCORRECTED: COLOURS["warning"],
    "met": COLOURS["ok"],
    CERTAINTY_WORDS["met"]: COLOURS["ok"],
    "not met": COLOURS["error"],
    CERTAINTY_WORDS["open"]: COLOURS["warning"],
    CERTAINTY_WORDS["not met"]: COLOURS["error"],
}
FACT_COLUMNS = 4
GAP = 8.0
# Parts of the summary are shortened to this first.
LEAST_ROWS = 3
IMAGE_WIDTH, IMAGE_HEIGHT = 0.45 * TEXT_WIDTH, 3.4 * inch
# The picture becomes smaller before rows are left out.
LEAST_SCALE, SCALES = 0.7, (0.8, 0.9, 1.0, 1.15)
PARTS = ("lesions", "problems", "territories")
SIGNATURE_HEIGHT, SIGNATURE_PARTS = 32.0, 2
# The doses that the sections of the report list in full.
DOSES, CHECKS, ACTIVITIES = "doses", "checks", "activities"


def summary_page(
    summary: Summary, picture: bytes | None, isodoses: Sequence[tuple[float, str]], outlines: Sequence[tuple[str, str]]
) -> list[Flowable]:
    """Returns the summary as flowables that fill at most one page, and the start of the next page.

    Args:
      summary: content.
      picture: JPEG or PNG file of the slice; None to omit it.
      isodoses: dose in Gy and colour of each isodose line.
      outlines: meaning and colour of each outline.
    """
    whole = Shown(len(summary.activity_rows), len(summary.lesion_rows), len(summary.problems), picture is not None)

    def free(shown: Shown) -> float:
        return float(TEXT_HEIGHT - content_height(_page(summary, picture, isodoses, outlines, shown)) - 1.0)

    shown = replace(whole, scale=LEAST_SCALE)
    while free(shown) < 0 and (fewer := shown.fewer()) is not None:
        shown = fewer
    # Rows next to the picture may have been left out in vain, and there may be room for a larger picture.
    for name in PARTS:
        while (more := shown.more(name, whole)) is not None and free(more) >= 0:
            shown = more
    for scale in SCALES:
        larger = replace(shown, scale=scale)
        shown = larger if free(larger) >= 0 else shown
    page, room = _page(summary, picture, isodoses, outlines, shown), free(shown)
    # The lines to sign are at the bottom.
    page.insert(len(page) - SIGNATURE_PARTS, Spacer(0, max(room, 0.0)))
    return [*page, PageBreak()]


@dataclass(frozen=True)
class Shown:
    """The rows of each part of the summary, whether it has a picture, and the scale of the picture."""

    territories: int
    lesions: int
    problems: int
    picture: bool
    scale: float = 1.0

    def fewer(self) -> Shown | None:
        """Returns one row less, of the longest part that has some to spare; None if nothing can be left out."""
        for least in (LEAST_ROWS, 1, 0):
            sizes = {name: getattr(self, name) for name in PARTS}
            longest = max(sizes, key=lambda name: sizes[name])
            if sizes[longest] > least:
                return replace(self, **{longest: sizes[longest] - 1})
        return replace(self, picture=False) if self.picture else None

    def more(self, name: str, whole: Shown) -> Shown | None:
        """Returns one row more of a part; None if it has all rows."""
        count = getattr(self, name) + 1
        return replace(self, **{name: count}) if count <= getattr(whole, name) else None


def _page(
    summary: Summary,
    picture: bytes | None,
    isodoses: Sequence[tuple[float, str]],
    outlines: Sequence[tuple[str, str]],
    shown: Shown,
) -> list[Flowable]:
    return [
        *_head(summary),
        _facts(summary),
        Spacer(0, 5),
        *_activities(summary, shown.territories),
        *_certainty(summary),
        *_doses(summary, shown.lesions),
        _checks_and_image(
            _checks(summary, shown.problems), picture if shown.picture else None, isodoses, outlines, shown.scale
        ),
        *_signatures(summary),
    ]


def _head(summary: Summary) -> list[Flowable]:
    title = Paragraph(markup(summary.title), text_style(15.0, bold=True, leading=1.2))
    status = Paragraph(
        markup(summary.status), text_style(8.5, bold=True, colour=COLOURS[summary.level], right=True, leading=1.2)
    )
    row = Table([[title, status]], colWidths=[0.5 * TEXT_WIDTH, 0.5 * TEXT_WIDTH], style=[*_PLAIN, _BOTTOM])
    return [row, HRFlowable(width="100%", thickness=0.8, color=INK, spaceBefore=2, spaceAfter=3)]


_PLAIN: list[Any] = [
    ("FONT", (0, 0), (-1, -1), FONT, 6),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]
_BOTTOM = ("VALIGN", (0, 0), (-1, -1), "BOTTOM")


def _facts(summary: Summary) -> Table:
    """Labels and values in columns; an empty value is a line to write on."""
    cells: list[list[Any]] = []
    for label, value in summary.facts:
        name = Paragraph(markup(label), text_style(6.2, colour=SOFT, leading=1.15))
        text = Paragraph(markup(value), text_style(8.0, bold=True, leading=1.2)) if value else _line()
        cells.append([name, text])
    rows: list[list[Any]] = [cells[n : n + FACT_COLUMNS] for n in range(0, len(cells), FACT_COLUMNS)]
    rows[-1] += [""] * (FACT_COLUMNS - len(rows[-1]))
    width = (TEXT_WIDTH - (FACT_COLUMNS - 1) * GAP) / FACT_COLUMNS
    style = [*_PLAIN, ("BOTTOMPADDING", (0, 0), (-1, -1), 3), ("RIGHTPADDING", (0, 0), (-2, -1), GAP)]
    return Table(rows, colWidths=[width + GAP] * (FACT_COLUMNS - 1) + [width], style=style)


def _line() -> HRFlowable:
    """A line to write on, as high as a value."""
    return HRFlowable(width="100%", thickness=0.5, color=INK, spaceBefore=11, spaceAfter=0, vAlign="BOTTOM")


def _activities(summary: Summary, shown: int) -> list[Flowable]:
    align = "".join("l" if title in ("territory", "limited by") else "r" for title in summary.activity_header)
    made = table(summary.activity_header, summary.activity_rows[:shown], align, strong=range(shown))[1:]
    hidden = len(summary.activity_rows) - shown
    if hidden:
        made.append(_more(f"{hidden} more {'territory' if hidden == 1 else 'territories'}", ACTIVITIES))
    return [*made, *paragraph(summary.activity_note, size=6.8, colour=SOFT)]


def _more(text: str, anchor: str) -> Mention:
    return Mention(text, anchor, font=FONT, size=7.2, colour=SOFT)


def _doses(summary: Summary, lesions: int) -> list[Flowable]:
    rows = [*summary.group_rows, *summary.lesion_rows[:lesions]]
    last = len(summary.dose_header) - 1
    made: list[Flowable] = table(
        summary.dose_header,
        rows,
        "l" + "r" * (last - 1) + "l",
        strong=range(len(summary.group_rows)),
        colours={(n, last): VERDICTS[row[last]] for n, row in enumerate(rows) if row[last] in VERDICTS},
    )[1:]
    hidden = len(summary.lesion_rows) - lesions
    if hidden:
        made.append(_more(counted(hidden, "more lesion"), DOSES))
    return [*made, *paragraph(summary.dose_note, size=6.8, colour=SOFT)]


def _checks_and_image(
    checks: list[Flowable],
    picture: bytes | None,
    isodoses: Sequence[tuple[float, str]],
    outlines: Sequence[tuple[str, str]],
    size: float,
) -> Table:
    """The checks to the left of the slice."""
    if picture is None:
        return Table([[checks]], colWidths=[TEXT_WIDTH], style=_PLAIN)
    image = Image(io.BytesIO(picture), mask=None)
    width = size * IMAGE_WIDTH
    scale = min(width / image.imageWidth, size * IMAGE_HEIGHT / image.imageHeight)
    image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
    entries = [(colour, text == "territories", text) for text, colour in outlines]
    entries += [(colour, False, f"{level:g} Gy") for level, colour in isodoses]
    right = [Spacer(0, 6), image, Spacer(0, 2), *key(entries, size=6.2)]
    style = [*_PLAIN, ("RIGHTPADDING", (0, 0), (0, 0), GAP)]
    return Table([[checks, right]], colWidths=[TEXT_WIDTH - width, width], style=style)


def _certainty(summary: Summary) -> list[Flowable]:
    made = certainty_block(summary.certainty_title, summary.certainty)
    return [*made, _more("Sources, budgets and histograms", INTERVALS), Spacer(0, 4)] if made else []


def _checks(summary: Summary, shown: int) -> list[Flowable]:
    found = {severity for _, severity, _ in summary.problems}
    head = f"Checks: {summary.check_counts}"
    level = next((level for level in ("error", "warning") if level in found), "ok")
    parts: list[Any] = [
        Spacer(0, 4),
        Paragraph(markup(head), text_style(8.5, bold=True, colour=COLOURS[level], after=2.0)),
    ]
    for code, severity, message in summary.problems[:shown]:
        text = f'<font name="{BOLD}" color="{COLOURS[severity]}">{code} {severity}</font> {markup(message)}'
        parts.append(Paragraph(text, text_style(6.8, leading=1.25, after=1.0)))
    hidden = len(summary.problems) - shown
    if hidden:
        parts.append(_more(counted(hidden, "more problem"), CHECKS))
    return parts


def _signatures(summary: Summary) -> list[Flowable]:
    cells, lines = [], []
    for n, (role, name) in enumerate(summary.signatures):
        cells.append([_signed(role), _signed(name, bold=True), "", _signed("date"), "", "", _signed("signature"), ""])
        lines += [("LINEBELOW", (c, n), (c, n), 0.6, INK) for c in (1, 4, 7)]
    widths = [92.0, 140.0, GAP, 24.0, 66.0, GAP, 46.0]
    made = Table(
        cells,
        colWidths=[*widths, TEXT_WIDTH - sum(widths)],
        rowHeights=[SIGNATURE_HEIGHT] * len(cells),
        style=[*_PLAIN, _BOTTOM, ("BOTTOMPADDING", (0, 0), (-1, -1), 2), *lines],
    )
    return [HRFlowable(width="100%", thickness=0.5, color=LINE, spaceBefore=6), made]


def _signed(text: str, *, bold: bool = False) -> Paragraph:
    return Paragraph(markup(text), text_style(7.5, bold=bold, colour=INK if bold else SOFT, leading=1.15))
