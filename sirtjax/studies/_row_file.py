"""A table on the disk that grows row by row and survives a killed run."""

from __future__ import annotations

import csv
import io as text_io
import os
from collections.abc import Sequence
from pathlib import Path

from sirtjax.errors import ConfigError


class RowFile:
    """A CSV table whose rows are on the disk before the next are computed.

    A run that is killed loses none of them.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)

    def create(self) -> None:
        """Writes a table without rows."""
        write_whole(self.path, _line(self.columns))

    def read(self) -> list[dict[str, str]]:
        """Returns all complete rows, and removes an incomplete last one from the file.

        Raises:
          ConfigError: the table has other columns.
        """
        from sirtjax.io import plain_cell

        text = self.path.read_text(encoding="utf-8") if self.path.exists() else _line(self.columns)
        # What a killed run was writing has no end of line.
        whole = text[: text.rfind("\n") + 1]
        rows = [[plain_cell(cell) for cell in row] for row in csv.reader(whole.splitlines())]
        if not rows or tuple(rows[0]) != self.columns:
            raise ConfigError(
                f"{self.path}: its columns are not those of this search; give the same keys, or choose another folder"
            )
        if whole != text or not self.path.exists():
            write_whole(self.path, whole)
        return [dict(zip(self.columns, row, strict=True)) for row in rows[1:] if len(row) == len(self.columns)]

    def append(self, rows: Sequence[Sequence[str]]) -> list[dict[str, str]]:
        """Adds rows and waits until they are on the disk; returns them as `read` does."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write("".join(_line(row) for row in rows))
            file.flush()
            os.fsync(file.fileno())
        return [dict(zip(self.columns, row, strict=True)) for row in rows]


def write_whole(path: Path, text: str) -> None:
    """Writes a text file at once, replacing an existing one."""
    from sirtjax import io

    with io.atomic_path(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    from sirtjax.io import CsvWriter

    buffer = text_io.StringIO()
    CsvWriter(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
