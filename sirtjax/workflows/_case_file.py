"""Case files: TOML, or the same tables from options, to a checked `Case`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml
from sirtjax.workflows._case import Case

Checked = TypeVar("Checked", bound=BaseModel)
# What the checker calls the alternatives of a value: "constrained-float", "literal['activity']".
UNION_BRANCH = re.compile(r"constrained-\w+|literal\[.*\]")
# Keys that hold paths, relative to the case file.
PATH_KEYS = frozenset(
    {"path", "dividing_lines", "planar", "planar_rois", "plan", "ct", "reference_points", "floating_points", "folder"}
)


def load_case(path: Path, *, overrides: Sequence[str] = (), unset: Sequence[str] = ()) -> Case:
    """Reads and checks a case file; its relative paths become relative to the file's folder.

    Args:
      path: the case file.
      overrides: "a.b=value" with a TOML value, set before the case is checked.
      unset: keys "a.b" or tables "a" that are removed before `overrides` are set.

    Raises:
      ConfigError: the file is missing, not TOML, or has a key or value it should not have; names every one.

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import workflows
      >>> text = '''
      ... schema = 2
      ... patient.id = "P001"
      ... protocol.name = "glass-hcc-lobectomy"
      ... images.activity = { path = "spect.nii.gz", unit = "counts" }
      ... masks.no_lesions = true
      ... lung_shunt = { method = "value", fraction = 0.05, source = "planar" }
      ... '''
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = Path(folder, "case.toml").write_text(text)
      ...     case = workflows.load_case(Path(folder, "case.toml"), overrides=["lung_shunt.fraction=0.08"])
      >>> case.patient.id, case.lung_shunt.fraction
      ('P001', 0.08)
    """
    table = read_toml(path, "case file")
    return case_from_dict(table, folder=path.parent, source=str(path), overrides=overrides, unset=unset)


def read_toml(path: Path, what: str) -> dict[str, object]:
    """Reads a TOML file; `what` names it in messages.

    Raises:
      ConfigError: the file cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the {what} ({_reason(error)}); use a TOML file") from error
    try:
        return parse_toml(text)
    except ParseError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def case_from_dict(
    table: dict[str, object], *, folder: Path, source: str, overrides: Sequence[str] = (), unset: Sequence[str] = ()
) -> Case:
    """Checks a case from nested tables (a parsed file, or command-line options).

    Args:
      table: the content of a case file.
      folder: folder to which relative paths refer.
      source: name of the case in error messages.
      overrides: "a.b=value" with a TOML value, set before the case is checked.
      unset: keys "a.b" or tables "a" that are removed before `overrides` are set.

    Raises:
      ConfigError: a key or value is missing, unknown or contradictory.
    """
    return checked_table(Case, table, folder=folder, source=source, overrides=overrides, unset=unset)


def checked_table(
    model: type[Checked],
    table: dict[str, object],
    *,
    folder: Path,
    source: str,
    overrides: Sequence[str] = (),
    unset: Sequence[str] = (),
) -> Checked:
    """Checks nested tables by a model, after the changes of single values.

    Args:
      model: model of the file.
      table: content of the file.
      folder: folder to which relative paths refer.
      source: name of the file in messages.
      overrides: "a.b=value" with a TOML value.
      unset: keys "a.b" or tables "a" that are removed before `overrides` are set.

    Raises:
      ConfigError: a key or value is missing, unknown or contradictory.
    """
    for key in unset:
        _unset(table, key)
    for override in overrides:
        _override(table, override)
    try:
        return model.model_validate(_anchored(table, folder))
    except ValidationError as error:
        problems = "; ".join(f"{_place(problem['loc'])}: {_message(model, problem)}" for problem in error.errors())
        raise ConfigError(f"{source}: {problems}") from error


def _message(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    """The reason for a problem; for an unknown key, the most similar key of its table."""
    if problem["type"] != "extra_forbidden":
        return f"{problem['msg'].removeprefix('Value error, ')}{_found(problem)}"
    *tables, key = problem["loc"]
    similar = difflib.get_close_matches(str(key), _keys(model, tables), n=1)
    return f"unknown key; did you mean {similar[0]!r}?" if similar else "unknown key"


def _keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The keys of the table at a location; of all possible tables, if there are several."""
    models = [model]
    for part in location:
        named = [
            found
            for one in models
            for name, field in one.model_fields.items()
            if part in (name, field.alias)
            for found in _models(field.annotation)
        ]
        models = named or [one for one in models if one.__name__ == part] or models
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _place(location: tuple[int | str, ...]) -> str:
    """The key in the case file."""
    return ".".join(str(part) for part in location if not UNION_BRANCH.fullmatch(str(part))) or "case"


def _found(problem: Mapping[str, Any]) -> str:
    """The value that was found, where it is a single one; nothing of what might name a person."""
    named = problem["loc"][:1] == ("patient",) or problem["loc"][:2] in (
        ("record", "prescriber"),
        ("record", "physicist"),
    )
    value = problem["input"]
    if named or not isinstance(value, str | int | float | date):
        return ""
    return f", found {value}" if isinstance(value, date) else f", found {value!r}"


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, as in --set dose.spacing_mm=3")
    if not text.strip():
        raise ConfigError(f"--set {override}: no value; set one, or remove the key with --unset {key.strip()}")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except ParseError:
        value = text  # a bare word is meant as a string
    *folders, last = key.strip().split(".")
    for folder in folders:
        table = table.setdefault(folder, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {folder} is not a table of the case")
    table[last] = value


def _unset(table: dict[str, Any], key: str) -> None:
    *folders, last = (part.strip() for part in key.split("."))
    for folder in folders:
        table = table.get(folder, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--unset {key}: {folder} is not a table of the case")
    if last not in table:
        raise ConfigError(f"--unset {key}: not in the case; available there: {', '.join(table) or 'nothing'}")
    del table[last]


def _anchored(value: Any, folder: Path, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _anchored(item, folder, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, list):
        return [_anchored(item, folder, key) for item in value]
    if not isinstance(value, str):
        return value
    is_file = key in ("protocol.name", "order.device") and value.partition("#")[0].endswith(".toml")
    # The treatment record has days under the names of images.
    if (key.rpartition(".")[2] in PATH_KEYS and not key.startswith("record.")) or is_file:
        return str(folder / value)
    return value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
