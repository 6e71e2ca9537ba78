"""What a printed page is made of, and how text and tables break into lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# A4 and its margins, in points of 1/72 inch.
PAGE_WIDTH, PAGE_HEIGHT = 595.3, 841.9
MARGIN, TOP, BOTTOM = 42.0, 46.0, 44.0
TEXT_WIDTH = PAGE_WIDTH - 2 * MARGIN
INK, SOFT, LINE, BAND = "#1f2328", "#57606a", "#d0d7de", "#f6f8fa"
FONT = "DejaVu Sans"  # matplotlib brings it
SPACING = 1.32
CELL_GAP = 5.0
_MIN_TABLE = 4.0
# A column as wide as its longest word must hold that word.
_ROUNDING = 0.01


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A title: level 1 of the document, 2 of a section, 3 within one.

    At least this much, in points, must follow on the same page.
    """

    text: str
    level: int = 2
    below: float = 70.0


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Text that is broken into lines; a bullet stands before the first of a list's item."""

    text: str
    size: float = 8.5
    colour: str = INK
    bold: bool = False
    bullet: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under a header that is repeated on every page.

    Attributes:
      header: one text per column; empty texts for no header.
      rows: cells as text.
      align: per column "l" (text, broken into lines) or "r" (numbers).
      strong: numbers of the rows that stand out.
      colours: (row, column) -> colour of a cell's text.
      size: of the letters; smaller where the table would not fit.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    strong: frozenset[int] = frozenset()
    colours: tuple[tuple[tuple[int, int], str], ...] = ()
    size: float = 7.2


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as PNG over the width of the text, with a line below it."""

    png: bytes
    caption: str


@dataclass(frozen=True, kw_only=True)
class Key:
    """Samples of lines, each with its colour, whether it is dashed, and what it means."""

    entries: tuple[tuple[str, bool, str], ...]


Block = Heading | Paragraph | Table | Picture | Key


@dataclass(frozen=True)
class Cells:
    """A table broken into lines: per row (the header first) and column the lines of the cell."""

    rows: list[list[list[str]]]
    widths: list[float]
    size: float


def broken(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Returns the lines of a text; a word longer than a line, such as a UID, is broken.

    Args:
      text: one or more paragraphs, separated by line ends.
      width: of a line, points.
      size: of the letters, points.
      bold: whether the letters are bold.
    """
    lines = []
    width += _ROUNDING
    for paragraph in drawable(text).split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if text_width(longer, size, bold) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            while text_width(word, size, bold) > width and len(word) > 1:
                count = _fitting(word, width, size, bold)
                lines.append(word[:count])
                word = word[count:]
            line = word
        lines.append(line)
    return lines


def _fitting(word: str, width: float, size: float, bold: bool) -> int:
    """How many of a word's letters fit: at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(word[:middle], size, bold) <= width else (low, middle - 1)
    return low


def laid_out(table: Table) -> Cells:
    """Returns the cells of a table, broken to fit: numbers unbroken, texts in the remaining width."""
    size = table.size
    while True:
        widths = _widths(table, size)
        if widths is not None or size <= _MIN_TABLE:
            break
        size -= 0.4
    columns = len(table.align)
    widths = widths or [TEXT_WIDTH / columns] * columns
    rows = [table.header, *table.rows] if any(table.header) else list(table.rows)
    bold = [any(table.header) and n == 0 for n in range(len(rows))]
    cells = [
        [broken(cell, widths[c] - CELL_GAP, size, bold=bold[n]) for c, cell in enumerate(row)]
        for n, row in enumerate(rows)
    ]
    return Cells(cells, widths, size)


def _widths(table: Table, size: float) -> list[float] | None:
    """A width per column, or None where the numbers and the longest words don't fit beside each other."""
    wanted, least = [], []
    for c, side in enumerate(table.align):
        texts = [drawable(row[c]) for row in table.rows]
        header = drawable(table.header[c])
        whole = max([*(text_width(t, size, True) for t in texts), text_width(header, size, True), 0.0]) + CELL_GAP
        words = [word for t in ([header] if side == "r" else [header, *texts]) for word in t.split()]
        longest = max((min(text_width(word, size, True), 110.0) for word in words), default=0.0) + CELL_GAP
        numbers = max((text_width(t, size, True) for t in texts), default=0.0) + CELL_GAP
        wanted.append(max(numbers, longest) if side == "r" else whole)
        least.append(max(numbers, longest) if side == "r" else min(longest, whole))
    if sum(least) > TEXT_WIDTH:
        return None
    if sum(wanted) <= TEXT_WIDTH:
        # What is left goes to the texts, or in a table of numbers to the first column.
        texts_at = [c for c, side in enumerate(table.align) if side == "l"] or [0]
        spare = (TEXT_WIDTH - sum(wanted)) / len(texts_at)
        return [w + spare if c in texts_at else w for c, w in enumerate(wanted)]
    room, need = TEXT_WIDTH - sum(least), sum(w - low for w, low in zip(wanted, least, strict=True))
    return [low + room * (w - low) / need for w, low in zip(wanted, least, strict=True)]


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Returns the width of a line of text in points."""
    from matplotlib.textpath import TextToPath

    width, _, _ = TextToPath().get_text_width_height_descent(text, _font(size, bold), ismath=False)
    return float(width)


def drawable(text: str) -> str:
    """Returns the text with a question mark for each letter that the font does not have."""
    known = _letters()
    return "".join(letter if letter in " \n" or ord(letter) in known else "?" for letter in text)


def _font(size: float, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont(_font(10, False))).get_charmap())
