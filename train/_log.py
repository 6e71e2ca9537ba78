from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sirtjax.errors import ConfigError
from sirtjax.io import CsvWriter, atomic_path, plain_cell
from sirtjax.train._scores import Scores

STEPS = "log.csv"
VALIDATIONS = "validation.csv"
STEP_COLUMNS = ("step", "epoch", "loss", "gradient_norm", "learning_rate")
VALIDATION_COLUMNS = ("step", "epoch", "case", "label", "dsc")
Row = Mapping[str, float | int | str]


def begin_logs(run: Path, *, after_step: int) -> None:
    """Creates the tables of a run, or removes rows beyond the step from which it is resumed."""
    for name, columns in ((STEPS, STEP_COLUMNS), (VALIDATIONS, VALIDATION_COLUMNS)):
        begin_table(run / name, columns, after_step=after_step)


def begin_table(path: Path, columns: Sequence[str], *, after_step: int) -> None:
    """Creates a table with the column "step", or removes rows beyond the step from which a run is resumed."""
    rows = [row for row in read_rows(path) if int(row["step"]) <= after_step] if path.is_file() else []
    with atomic_path(path, force=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.writerow(columns)
        writer.writerows([row[name] for name in columns] for row in rows)


def append_rows(path: Path, rows: Sequence[Row]) -> None:
    """Appends rows to a table of `begin_logs`."""
    append_to_table(path, STEP_COLUMNS if path.name == STEPS else VALIDATION_COLUMNS, rows)


def append_to_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Appends rows to a table of `begin_table`."""
    with path.open("a", newline="", encoding="utf-8") as file:
        CsvWriter(file).writerows([row[name] for name in columns] for row in rows)


def validation_rows(scores: Scores, *, step: int, epoch: int) -> list[Row]:
    """Returns one row per case and label."""
    return [
        {"step": step, "epoch": epoch, "case": case, "label": label, "dsc": number_cell(float(scores.dsc[at, place]))}
        for at, case in enumerate(scores.cases)
        for place, label in enumerate(scores.labels)
    ]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a table; an incomplete last row is ignored."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values() and (row["step"] or "").isdigit()]
    return [{name: plain_cell(cell) for name, cell in row.items() if name is not None} for row in rows]


def check_validated(run: Path, names: Collection[str], *, column: Literal["pair", "case"], step: int) -> None:
    """Refuses to continue a run that was validated on other images: those would now be trained with.

    Args:
      run: run folder.
      names: names of the validation cases or pairs.
      column: column of these names.
      step: number of completed updates; later validations do not count.

    Raises:
      ConfigError: the validations before were on others.
    """
    path = run / VALIDATIONS
    rows = read_rows(path) if path.is_file() else []
    before = {row[column] for row in rows if int(row["step"]) <= step}
    changed = sorted(before ^ set(names)) if before else []
    if changed:
        what = ", ".join(changed[:5]) + (" and others" if len(changed) > 5 else "")
        raise ConfigError(
            f"{path}: the training data are divided into other training and validation {column}s than before ({what}); "
            "use the data and the version that the run was begun with, or begin in another folder"
        )


def number_cell(value: float) -> str:
    """Returns the text of a number, empty for NaN."""
    return "" if math.isnan(value) else repr(value)
