"""Tables of training data on the disk, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sirtjax.errors import ConfigError
from sirtjax.parsing import surplus_cells


def read_csv_table(
    path: Path, *, required: Sequence[str], optional: Sequence[str], content: str
) -> tuple[tuple[int, dict[str, str]], ...]:
    """Reads the rows of a CSV table with a header; a column without a cell in a row is empty.

    Args:
      path: the table.
      required: names of the columns that it must have.
      optional: names of the other columns that it can have.
      content: description of the rows, such as "pairs", for the message.

    Returns:
      The number of each row in a spreadsheet, which counts the header and blank rows, and a dictionary with each of
      these columns, without white space around the cells.

    Raises:
      ConfigError: the table cannot be read, a column is missing, unknown or there twice, or a row has more cells than
        columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            numbered = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", error)
        raise ConfigError(f"{path}: cannot read the table of {content} ({reason})") from error
    columns, rows = (tuple(numbered[0][1]), numbered[1:]) if numbered else ((), [])
    missing = [name for name in required if name not in columns]
    unknown = [name for name in columns if name not in (*required, *optional)]
    twice = [name for name in columns if columns.count(name) > 1]
    if missing or unknown or twice:
        found = (
            f"has no column {missing[0]!r}"
            if missing
            else f"has an unknown column {unknown[0]!r}"
            if unknown
            else f"has the column {twice[0]!r} {columns.count(twice[0])} times"
        )
        raise ConfigError(f"{path}: {found}; expected {', '.join(required)} and, optionally, {', '.join(optional)}")
    for number, row in rows:
        fault = surplus_cells(row[len(columns) :], columns)
        if fault is not None:
            raise ConfigError(f"{path}, row {number}: {fault}")
    cells = [(number, dict(zip(columns, row, strict=False))) for number, row in rows]
    return tuple(
        (number, {name: row.get(name, "").strip() for name in (*required, *optional)}) for number, row in cells
    )


def is_there(path: Path) -> bool:
    """Returns whether a path exists; False also for names that the disk cannot have."""
    try:
        return path.exists()
    except OSError:
        return False
