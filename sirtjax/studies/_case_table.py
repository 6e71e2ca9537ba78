"""Tables of cases (CSV), one row per case."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.parsing import surplus_cells


def case_rows(
    path: Path, *, guide: str, required: Sequence[str], optional: Sequence[str]
) -> list[dict[str, str | None]]:
    """Reads a table of cases with at least one row, all required columns and no other or repeated column.

    Args:
      path: the CSV file.
      guide: the page that describes its columns.
      required: names of columns that must be there.
      optional: names of those that may be.

    Raises:
      ImageFormatError: no such file, or not a table.
      ConfigError: the table contains no case, a column is missing, unknown or repeated, or a row has more cells than
        the header.
    """
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected a table of cases (CSV), see {guide}")
    try:
        reader = csv.DictReader(path.read_text("utf-8-sig").splitlines(), skipinitialspace=True)
        rows, header = list(reader), [name.strip() for name in reader.fieldnames or ()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageFormatError(f"{path}: not readable as CSV ({error}); save the table again") from error
    if not rows:
        raise ConfigError(f"{path}: holds no case; expected a row of column names and one row per case")
    known = {*required, *optional}
    if not set(required) <= set(header) <= known:
        raise ConfigError(
            f"{path}: the columns are {', '.join(header)}; expected {', '.join(required)} and any of "
            f"{', '.join(optional)}"
        )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: has the column {twice[0]!r} {header.count(twice[0])} times; remove one of them")
    for number, row in enumerate(rows, start=1):
        fault = surplus_cells(row.pop(None, ()), header)
        if fault is not None:
            raise ConfigError(f"{path}, case {number}: {fault}")
    return rows
