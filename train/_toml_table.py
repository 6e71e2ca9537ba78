"""Training files as nested tables: a recipe by its name or a TOML file, with changes from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import PyTree
from pydantic import ValidationError

from sirtjax.config import Table, preset_names, preset_table
from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml

Model = TypeVar("Model", bound=Table)


def training_table(
    name: str, *, folder: str, paths: Sequence[tuple[str, ...]], overrides: Sequence[str] = ()
) -> dict[str, PyTree]:
    """Reads a training file as nested tables, with paths relative to its folder.

    Args:
      name: a TOML file, or the name of a recipe that came with the package.
      folder: folder of `sirtjax.configs` that contains the recipes.
      paths: keys whose values are paths.
      overrides: "a.b=value" with a TOML value; paths in it are relative to the working folder.

    Raises:
      ConfigError: the file is missing or not TOML, or an override is not usable.
    """
    path = Path(name)
    if path.suffix != ".toml" and not path.exists():
        names = preset_names(folder)
        if name not in names:
            raise ConfigError(f"{name}: no such file or recipe; give a .toml file or one of {', '.join(names)}")
        table: dict[str, Any] = preset_table(folder, name)
    else:
        try:
            table = parse_toml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot read the training file ({getattr(error, 'strerror', error)})") from error
        except ParseError as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
        for keys in paths:
            _anchor(table, keys, path.parent)
        weights = table.get("weights")
        if isinstance(weights, str) and Path(weights).name != weights:  # a single word is the name of a model
            there = str(path.parent / weights)
            table["weights"] = f"./{there}" if Path(there).name == there else there
    for override in overrides:
        _override(table, override)
    return table


def checked_table(model: type[Model], table: Mapping[str, object], *, source: str, kinds: Sequence[str]) -> Model:
    """Checks nested tables by their model.

    Args:
      model: model of the training file.
      table: nested tables.
      source: name of the file, for the message.
      kinds: kinds of data, which the checker puts after "data" and which are not keys of the file.

    Raises:
      ConfigError: a key or value is missing, unknown or contradictory; names every one.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        problems = "; ".join(
            f"{_place(one['loc'], kinds)}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        )
        raise ConfigError(f"{source}: {problems}") from error


def _place(location: tuple[int | str, ...], kinds: Sequence[str]) -> str:
    tagged = len(location) > 1 and location[0] == "data" and location[1] in kinds
    return ".".join(str(part) for part in (location[:1] + location[2:] if tagged else location)) or "file"


def _anchor(table: dict[str, Any], keys: tuple[str, ...], folder: Path) -> None:
    *groups, last = keys
    inner: Any = table
    for group in groups:
        inner = inner.get(group) if isinstance(inner, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get(last), str):
        inner[last] = str(folder / inner[last])


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, as in --set trainer.epochs=10")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except ParseError:
        value = text.strip()  # a bare word is meant as a string
    *folders, last = key.strip().split(".")
    for folder in folders:
        inner = table.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {folder} is not a table of the training file")
        table = inner
    table[last] = value
