"""Tables of cases (CSV), one row per case."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sirtjax.errors import ConfigError, ImageFormatError


def case_rows(
    path: Path, *, guide: str, required: Sequence[str], optional: Sequence[str]
) -> list[dict[str, str | None]]:
    """Reads a table of cases with at least one row, all required columns and no unknown column.

    Args:
      path: the CSV file.
      guide: the page that describes its columns.
      required: names of columns that must be there.
      optional: names of those that may be.

    Raises:
      ImageFormatError: no such file, or not a table.
      ConfigError: the table contains no case, or a column is missing or unknown.
    """
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected a table of cases (CSV), see {guide}")
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageFormatError(f"{path}: not readable as CSV ({error}); save the table again") from error
    if not rows:
        raise ConfigError(f"{path}: holds no case; expected a row of column names and one row per case")
    columns = [str(name).strip() for name in rows[0] if name is not None]
    known = {*required, *optional}
    if not set(required) <= set(columns) <= known or None in rows[0]:
        raise ConfigError(
            f"{path}: the columns are {', '.join(columns)}; expected {', '.join(required)} and any of "
            f"{', '.join(optional)}"
        )
    return rows
