"""Tables of cases (CSV) that verbs read, one row a case."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from sirtjax.errors import ConfigError, ImageFormatError


def case_rows(path: Path, *, guide: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a table of cases, at least one, and the names of its columns.

    Args:
      path: the CSV file.
      guide: the page that describes its columns.

    Raises:
      ImageFormatError: no such file, or not a table.
      ConfigError: it holds no case.
    """
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected a table of cases (CSV), see {guide}")
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageFormatError(f"{path}: not readable as CSV ({error}); save the table again") from error
    if not rows:
        raise ConfigError(f"{path}: holds no case; expected a row of column names and one row per case")
    return rows, [str(name).strip() for name in rows[0] if name is not None]
