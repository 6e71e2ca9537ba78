"""Tables (CSV) with names from other programs, written so that spreadsheets do not interpret cells as formulas."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import IO

# What a spreadsheet begins a formula or a cell with (OWASP, CSV injection), the wide forms too.
_BEGINS = r"[=+\-@\t\r\n＝＋－＠]"
# A cell begins with the text, and after what another program may take for a separator; blanks and quotes don't count.
_STARTS = r"((?:^|[;\t\r\n])[ \"\u00a0\u3000\ufeff\u200b]*)"
_TO_WRITE = re.compile(rf"{_STARTS}(?='*{_BEGINS})")
_WRITTEN = re.compile(rf"{_STARTS}'(?='*{_BEGINS})")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf|nan", re.ASCII)


def csv_cell(value: object) -> object:
    """Adds an apostrophe to a text that would start a formula; numbers are unchanged.

    Args:
      value: a number, also as text, a text, or None.

    Returns:
      What to write; `plain_cell` takes the apostrophes off again.

    Reference:
      OWASP, CSV injection, https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _TO_WRITE.sub(r"\1'", value)


def plain_cell(text: str) -> str:
    """Removes the apostrophes added by `csv_cell`."""
    return _WRITTEN.sub(r"\1", text)


class CsvWriter:
    """A `csv.writer` whose cells all go through `csv_cell`.

    Args:
      file: open for text, without translation of line ends.
      lineterminator: text between the rows.
    """

    def __init__(self, file: IO[str], *, lineterminator: str = "\r\n") -> None:
        self._writer = csv.writer(file, lineterminator=lineterminator)

    def writerow(self, cells: Iterable[object]) -> None:
        """Writes one row."""
        self._writer.writerow([csv_cell(cell) for cell in cells])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Writes several rows."""
        for row in rows:
            self.writerow(row)
