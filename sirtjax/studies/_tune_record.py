"""The results of a weight search so far: a table that grows row by row, and its settings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.errors import ConfigError, OutputError
from sirtjax.parsing import parse_json
from sirtjax.studies._row_file import RowFile, write_whole

if TYPE_CHECKING:
    from sirtjax.registration import RegistrationConfig, Trial

RESULTS, STATE = "results.csv", "tune.json"
# Files that are computed from the rows at the end of a search.
SUMMARIES = ("surface.csv", "surface.png", "surface.svg", "best.toml", "descent.csv", "descent.png")
OUTPUTS = (RESULTS, STATE, *SUMMARIES[:4], "gradients.csv", *SUMMARIES[4:])
FIGURES = (
    "rmsd_mm", "msd_mm", "mcd_mm", "dsc", "tre_mm", "folding_fraction", "deformed_rmsd_mm", "affine_rmsd_mm",
)  # fmt: skip
KEY_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case at one point of the grid.

    Attributes:
      case: name of the case.
      status: status that `sirtjax register` returns.
      figures: metrics by name, NaN if not available.
    """

    case: str
    status: str
    figures: Mapping[str, float]


def check_outputs(folder: Path, inputs: Iterable[Path | None]) -> None:
    """Checks that no file of a search is one that it reads.

    Args:
      folder: folder of the search, which need not exist.
      inputs: files and DICOM folders that the search reads; None for those that are not given.

    Raises:
      OutputError: a file of the search is an input.
    """
    from sirtjax.reports import refuse_outputs_that_are_inputs

    refuse_outputs_that_are_inputs([folder / name for name in OUTPUTS], inputs)


def remove_summaries(folder: Path) -> None:
    """Removes the files that an earlier search computed from its rows, which other rows may contradict.

    Args:
      folder: folder of the search.
    """
    for name in SUMMARIES:
        (folder / name).unlink(missing_ok=True)


class Record:
    """The rows in a folder, known by a hash of the inputs, the configuration and the swept values.

    Rows are on the disk before the next are computed, so that a run that is killed loses none of them.
    """

    def __init__(self, folder: Path, axes: Sequence[str], state: Mapping[str, object]) -> None:
        self.axes = tuple(axes)
        self.path = folder / RESULTS
        self.state = dict(state)
        self.rows: dict[str, Row] = {}
        self._table = RowFile(self.path, ["key", "case", *self.axes, "status", *FIGURES])

    def open(self, *, resume: bool, force: bool) -> None:
        """Creates a table, or opens the existing one.

        Raises:
          OutputError: there is one, or other files, and neither `resume` nor `force` is given.
          ConfigError: the table belongs to another configuration or grid.
        """
        folder = self.path.parent
        state_path = folder / STATE
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; expected the name of a folder to write")
        others = [one.name for one in folder.iterdir() if one.name not in OUTPUTS] if folder.is_dir() else []
        if others and not state_path.exists():
            raise OutputError(f"{folder}: holds other files, such as {min(others)}; choose another folder")
        if resume and state_path.exists():
            try:
                state = parse_json(state_path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise OutputError(f"{state_path}: is damaged ({error}); use --force to start over") from error
            if not isinstance(state, dict):
                raise OutputError(f"{state_path}: is not the state of a search; use --force to start over")
            self._check_state(state)
            self._take(self._table.read())
            return
        there = [name for name in OUTPUTS if (folder / name).exists()]
        if there and not force:
            raise OutputError(
                f"{folder}: already contains {there[0]}; use --resume to continue or --force to overwrite"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in there:
            (folder / name).unlink()
        self._table.create()
        write_whole(state_path, json.dumps(self.state, indent=1) + "\n")

    def key(self, fingerprint: str, settings: Mapping[str, str]) -> str:
        """Returns the key of a row."""
        told = json.dumps([fingerprint, self.state, dict(settings)], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:KEY_LENGTH]

    def add(self, case: str, trials: Sequence[tuple[str, Mapping[str, str], Trial]]) -> None:
        """Appends rows and waits until they are on the disk."""
        rows = []
        for key, settings, trial in trials:
            figures = [_cell(trial.figures[name]) for name in FIGURES]
            status = trial.status.name.lower().replace("_", " ")
            rows.append([key, case, *(settings[axis] for axis in self.axes), status, *figures])
        self._take(self._table.append(rows))

    def _check_state(self, before: Mapping[str, Any]) -> None:
        old, new = (dict(_flat(state)) for state in (before, self.state))
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if changed:
            key = changed[0]
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise ConfigError(
                f"{self.path.parent}: created with {key} = {old.get(key)}, but now it is {new.get(key)}{more}; use the "
                "same settings or another folder"
            )

    def _take(self, rows: Sequence[Mapping[str, str]]) -> None:
        for cells in rows:
            figures = {name: float(cells[name]) if cells[name] else math.nan for name in FIGURES}
            self.rows[cells["key"]] = Row(case=cells["case"], status=cells["status"], figures=figures)


def state_of(config: RegistrationConfig, axes: Sequence[str], *, seed: int, batch: int) -> dict[str, object]:
    """Returns all settings that the results depend on, except the inputs and the grid."""
    from sirtjax import __version__

    table = config.model_dump(mode="json", by_alias=True)
    for key in axes:
        at: Any = table
        *parents, last = key.split(".")
        for parent in parents:
            at = at[parent]
        at.pop(last)
    table.pop("description")
    # How many points one program solves may change the last digits of its sums.
    return {"sirtjax": __version__, "axes": list(axes), "seed": seed, "batch": batch, "config": table}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix.removeprefix("config."), value


def _cell(value: float) -> str:
    return f"{value:.7g}" if math.isfinite(value) else ""
