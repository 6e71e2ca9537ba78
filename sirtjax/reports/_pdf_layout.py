"""Parts of a printed report as flowables of reportlab, on pages that fit A4 and US Letter.

Only `report_pdf` imports this file, when a PDF is written: reportlab takes a while to load.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from reportlab import rl_config
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFInfo, PDFString
from reportlab.pdfbase.pdfmetrics import getFont, registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    HRFlowable,
    Image,
    KeepInFrame,
    PageTemplate,
    Paragraph,
    Table,
)
from reportlab.platypus.doctemplate import ActionFlowable

from sirtjax.reports._pdf_mentions import Anchor, draw_mentions

# In points of 1/72 inch. Every page uses the area that A4 and US Letter have in common, centred on the paper.
PAPERS = {"A4": A4, "Letter": LETTER}
AREA_WIDTH, AREA_HEIGHT = A4[0], LETTER[1]
MARGIN, TOP, BOTTOM = 42.0, 48.0, 50.0
TEXT_WIDTH, TEXT_HEIGHT = AREA_WIDTH - 2 * MARGIN, AREA_HEIGHT - TOP - BOTTOM
INK, SOFT, LINE, BAND = "#1f2328", "#57606a", "#d0d7de", "#f6f8fa"
STAMP_INK, KEY_GROUND = "#b42318", "#1f2328"
FONT, BOLD = "DejaVuSans", "DejaVuSans-Bold"  # matplotlib brings them
_HEADING_SIZE = {1: 17.0, 2: 12.0, 3: 9.5}
_CELL_PADDING = 3.5
_MIN_TABLE = 4.0
_MAX_WORD = 110.0
# A column as wide as its longest word must hold that word.
_ROUNDING = 0.01
# A table of at most this many rows is on one page.
_MAX_UNSPLIT_ROWS = 9
# At least this much follows a heading on its page.
_BELOW_HEADING = 60.0


def section(title: str, body: Sequence[Flowable], *, level: int = 2, anchor: str = "") -> list[Flowable]:
    """Returns a heading and its content; the heading is on the same page as the start of the content.

    Args:
      title: text of the heading.
      body: content below the heading.
      level: level of the heading: 1 for the document, 2 for a section, 3 within a section.
      anchor: name by which a `Mention` finds the page of the heading.
    """
    size = _HEADING_SIZE[level]
    style = text_style(size, bold=True, leading=1.2, before=size * 0.7, after=4.0)
    head: list[Flowable] = [Paragraph(markup(title), style)]
    if level == 2:
        head.append(HRFlowable(width="100%", thickness=0.5, color=LINE, spaceAfter=4))
    if anchor:
        head.append(Anchor(anchor))
    height = content_height(head)
    for part in body:
        height += part.height if isinstance(part, CondPageBreak) else content_height([part])
        if isinstance(part, CondPageBreak) or height > content_height(head) + _BELOW_HEADING:
            break
    return [_keep(height), *head, *body]


def paragraph(
    text: str, *, size: float = 8.5, colour: str = INK, bold: bool = False, bullet: bool = False
) -> list[Flowable]:
    """Returns a text of any length, or one entry of a bulleted list."""
    style = text_style(size, bold=bold, colour=colour, indent=9.0 if bullet else 0.0, after=3.0)
    return [Paragraph(markup(text), style, bulletText="•" if bullet else None)]


def key(entries: Sequence[tuple[str, bool, str]], *, size: float = 7.5) -> list[Flowable]:
    """Returns samples of lines on a dark ground, as in the pictures, with their meaning.

    Args:
      entries: colour, whether the line is dashed, and meaning of each line.
      size: size of the letters in points.
    """
    samples = [
        f'<font color="{colour}" backColor="{KEY_GROUND}">{"╍╍" if dashed else "━━"}</font>\N{NO-BREAK SPACE}'
        + markup(text).replace(" ", "\N{NO-BREAK SPACE}")
        for colour, dashed, text in entries
    ]
    return [Paragraph("\N{NO-BREAK SPACE}\N{NO-BREAK SPACE} ".join(samples), text_style(size, after=3.0))]


def picture(data: bytes, caption: str) -> list[Flowable]:
    """Returns a PNG or JPEG file over the width of the text, with its caption on the same page."""
    image = Image(io.BytesIO(data), mask=None)
    scale = min(TEXT_WIDTH / image.imageWidth, 0.8 * TEXT_HEIGHT / image.imageHeight)
    image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
    image.spaceBefore = image.spaceAfter = 2
    parts = [image, Paragraph(markup(caption), text_style(7.5, colour=SOFT, after=8.0))]
    return [_keep(content_height(parts)), *parts]


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: str,
    *,
    strong: Collection[int] = (),
    colours: Mapping[tuple[int, int], str] | None = None,
    size: float = 7.2,
    width: float = TEXT_WIDTH,
) -> list[Flowable]:
    """Returns a table with columns as wide as their content and a header that is repeated on every page.

    Args:
      header: one text per column; empty texts for a table without header.
      rows: texts of the cells.
      align: "l" (text) or "r" (numbers, on one line if possible) for each column.
      strong: indices of the rows in bold.
      colours: colour of the text, by row and column.
      size: size of the letters in points; smaller if the table is too wide.
      width: width of the table in points.
    """
    colours = colours or {}
    widths, size = _fitted(header, rows, align, size, width)
    headed = int(any(header))
    cells = [[_cell(text, size, side, True, SOFT) for text, side in zip(header, align, strict=True)]] * headed
    for n, row in enumerate(rows):
        inks = [colours.get((n, c)) for c in range(len(row))]
        cells.append(
            [
                _cell(text, size, side, n in strong or ink is not None, ink or INK)
                for text, side, ink in zip(row, align, inks, strict=True)
            ]
        )
    style = [
        ("FONT", (0, 0), (-1, -1), FONT, size),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), _CELL_PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), _CELL_PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ("LINEBELOW", (0, 0), (-1, -1), 0.5, LINE),
        *(("BACKGROUND", (0, n + headed), (-1, n + headed), BAND) for n in strong),
    ]
    made = Table(cells, colWidths=widths, repeatRows=headed, style=style, spaceAfter=6, longTableOptimize=0)
    made.wrap(width, TEXT_HEIGHT)
    heights = made._rowHeights
    # Rows are split only if a page does not hold them.
    made.splitInRow = int(max(heights) > TEXT_HEIGHT - headed * heights[0])
    first = len(cells) if len(cells) <= _MAX_UNSPLIT_ROWS and sum(heights) <= TEXT_HEIGHT else headed + 2
    return [_keep(sum(heights[:first])), made]


def document(
    story: Sequence[Flowable],
    *,
    title: str,
    footer: str,
    header: str = "",
    stamp: str | None = None,
    paper: Literal["A4", "Letter"] = "A4",
) -> bytes:
    """Returns a PDF whose pages have header, footer and number; the same content gives the same bytes.

    The content is the same on both papers: it is in the area that they have in common.

    Args:
      story: content, from top to bottom; it is used up.
      title: title in the properties of the document.
      footer: text at the foot of every page.
      header: text at the head of every page.
      stamp: word across every page.
      paper: paper size.
    """
    _letters()
    width, height = PAPERS[paper]
    left, low = (width - AREA_WIDTH) / 2 + MARGIN, (height - AREA_HEIGHT) / 2
    right, floor, ceiling = left + TEXT_WIDTH, low + BOTTOM, low + AREA_HEIGHT - TOP

    def frame_page(canvas: Any, template: Any) -> None:
        note = KeepInFrame(TEXT_WIDTH, 29, paragraph(footer, size=6.2, colour=SOFT), mode="shrink")
        _, high = note.wrapOn(canvas, TEXT_WIDTH, 29)
        note.drawOn(canvas, left, floor - 8 - high)
        if header:
            head = KeepInFrame(TEXT_WIDTH - 70, 22, paragraph(header, size=7.5, bold=True), mode="shrink")
            _, high = head.wrapOn(canvas, TEXT_WIDTH - 70, 22)
            head.drawOn(canvas, left, ceiling + 9)
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.5)
        canvas.line(left, floor - 6, right, floor - 6)
        canvas.line(left, ceiling + 7, right, ceiling + 7)
        canvas.doForm(f"number{canvas.getPageNumber()}")
        if stamp is not None:
            canvas.setFillColor(STAMP_INK, alpha=0.08)
            canvas.setFont(BOLD, 120)
            canvas.translate(width / 2, height / 2)
            canvas.rotate(50)
            canvas.drawCentredString(0, -44, drawable(stamp))

    def number_pages() -> None:
        """Draws what depends on the number of pages, which is known only now."""
        canvas = pages.canv
        count = canvas.getPageNumber()
        for page in range(1, count + 1):
            canvas.beginForm(f"number{page}", 0, 0, width, height)
            canvas.setFillColor(SOFT)
            canvas.setFont(FONT, 7.5)
            canvas.drawRightString(right, ceiling + 11, f"page {page} of {count}")
            canvas.endForm()
        draw_mentions(canvas)

    buffer = io.BytesIO()
    frame = Frame(left, floor, TEXT_WIDTH, TEXT_HEIGHT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    pages = BaseDocTemplate(
        buffer,
        pagesize=(width, height),
        pageTemplates=[PageTemplate(frames=[frame], onPageEnd=frame_page)],
        title=title,
        creator="sirtjax",
        invariant=1,
        initialFontName=FONT,
    )
    encoding = rl_config.useA85
    try:
        # Streams as bytes; as ASCII they are larger by a quarter, and encoding them takes most of the time.
        rl_config.useA85 = 0
        pages.handle_last = number_pages  # called by the action of this name, which needs no room on the page
        pages.build([*story, ActionFlowable("last")], canvasmaker=_canvas)
    finally:
        rl_config.useA85 = encoding
    return buffer.getvalue()


def drawable(text: str) -> str:
    """Returns the text with a question mark for each letter that the font does not have."""
    known = _letters()
    return "".join(
        letter if ord(letter) in known or letter == "\n" else " " if letter.isspace() else "?" for letter in text
    )


class _Properties(PDFInfo):  # type: ignore[misc]  # reportlab has no annotations
    """Title and program: no date, which would change the bytes, and nothing about user or machine."""

    def format(self, document: Any) -> bytes:
        facts = {"Title": PDFString(self.title), "Creator": PDFString(self.creator)}
        return bytes(PDFDictionary(facts).format(document))


def _canvas(*args: Any, **options: Any) -> Any:
    canvas = Canvas(*args, **options)
    canvas._doc.info = _Properties()
    # The ID of the document is a hash of its content only, not also of the time that the environment may state.
    canvas._doc.signature = hashlib.md5(usedforsecurity=False)
    return canvas


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    """Loads the fonts and returns the letters that both have."""
    from matplotlib import get_data_path

    for name in (FONT, BOLD):
        registerFont(TTFont(name, Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")))
    both = set.intersection(*(set(getFont(name).face.charToGlyph) for name in (FONT, BOLD)))
    # reportlab writes the table that makes text searchable with 16 bits per letter.
    return frozenset(code for code in both if 32 <= code <= 0xFFFF)


def markup(text: str) -> str:
    """Returns a text as markup of a paragraph, in which nothing of the text is markup."""
    return escape(drawable(text)).replace("\n", "<br/>")


@lru_cache(maxsize=256)
def text_style(
    size: float,
    *,
    bold: bool = False,
    colour: str = INK,
    right: bool = False,
    leading: float = 1.32,
    indent: float = 0.0,
    before: float = 0.0,
    after: float = 0.0,
) -> ParagraphStyle:
    _letters()
    font = BOLD if bold else FONT
    return ParagraphStyle(
        "",
        fontName=font,
        bulletFontName=font,
        fontSize=size,
        bulletFontSize=size,
        leading=size * leading,
        textColor=colour,
        alignment=2 if right else 0,
        leftIndent=indent,
        spaceBefore=before,
        spaceAfter=after,
    )


def _cell(text: str, size: float, side: str, bold: bool, colour: str) -> Any:
    return Paragraph(markup(text), text_style(size, bold=bold, colour=colour, right=side == "r", leading=1.22))


def _fitted(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: str, size: float, width: float
) -> tuple[list[float], float]:
    """Returns the widths of the columns, and the largest size of letters at which they fit."""
    while size > _MIN_TABLE:
        widths = _widths(header, rows, align, size, width)
        if widths is not None:
            return widths, size
        size -= 0.4
    return [width / len(align)] * len(align), size


def _widths(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: str, size: float, width: float
) -> list[float] | None:
    """Returns a width per column, or None if the numbers and the longest words don't fit next to each other."""

    def widest(texts: Sequence[str]) -> float:
        return max((stringWidth(text, BOLD, size) for text in texts), default=0.0)

    least, in_lines, whole = [], [], []
    gap = 2 * _CELL_PADDING + _ROUNDING
    for c, side in enumerate(align):
        texts = [drawable(row[c]) for row in rows]
        title = drawable(header[c])
        words = [word for text in ([title] if side == "r" else [title, *texts]) for word in text.split()]
        longest = min(widest(words), _MAX_WORD)
        least.append((max(widest(texts), longest) if side == "r" else longest) + gap)
        whole.append(max(least[c], widest([title, *texts]) + gap))
        in_lines.append(least[c] if side == "r" else whole[c])
    room = width - sum(least)
    if room < 0:
        return None
    # First the texts get what they need, then the titles of numbers; each an equal part if there is too little.
    widths = least
    for wanted in (in_lines, whole):
        lacking = [w - given for w, given in zip(wanted, widths, strict=True)]
        widths = list(widths)
        for n, c in enumerate(sorted(range(len(align)), key=lacking.__getitem__)):
            more = min(lacking[c], room / (len(align) - n))
            widths[c] += more
            room -= more
    # The remainder goes to the texts, or in a table of numbers to the first column.
    texts_at = [c for c, side in enumerate(align) if side == "l"] or [0]
    return [given + room / len(texts_at) if c in texts_at else given for c, given in enumerate(widths)]


def _keep(height: float) -> Any:
    """Continues on the next page if this height is not left."""
    return CondPageBreak(min(height, TEXT_HEIGHT) - 1e-3)


def content_height(parts: Sequence[Flowable]) -> float:
    """Returns the height of parts below each other, in points."""
    return float(sum(p.getSpaceBefore() + p.wrap(TEXT_WIDTH, TEXT_HEIGHT)[1] + p.getSpaceAfter() for p in parts))
