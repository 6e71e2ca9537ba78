"""Presets: the TOML files of `sirtjax.configs`, by folder, checked by a pydantic model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sirtjax.errors import ConfigError
from sirtjax.parsing import parse_toml

Model = TypeVar("Model", bound=BaseModel)


class Table(BaseModel):
    """A table of a preset, a case or a model's description: immutable and hashable.

    An unknown key is an error.

    Examples:
      >>> from sirtjax.config import Table
      >>> class Sphere(Table):
      ...     radius_mm: float
      >>> Sphere(radius_mm=10).radius_mm
      10.0
      >>> Sphere(radius_mm=10) == Sphere(radius_mm=10.0), len({Sphere(radius_mm=10), Sphere(radius_mm=10.0)})
      (True, 1)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class IntervalTable(Table):
    """A table whose pairs of numbers are intervals: an end below its start is an error."""

    @model_validator(mode="after")
    def _ordered(self) -> IntervalTable:
        for name, value in self:
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise ValueError(f"`{name}` must go from low to high, got {value}")
        return self


def preset_names(folder: str) -> tuple[str, ...]:
    """Lists the names of the presets in one folder of `sirtjax.configs`.

    Examples:
      >>> from sirtjax import config
      >>> "small" in config.preset_names("networks")
      True
    """
    found = (resources.files("sirtjax.configs") / folder).iterdir()
    return tuple(sorted(item.name.removesuffix(".toml") for item in found if item.name.endswith(".toml")))


def preset_table(folder: str, name: str) -> dict[str, object]:
    """Returns a preset as nested tables, unchecked.

    Raises:
      ConfigError: there is no preset of this name.

    Examples:
      >>> from sirtjax import config
      >>> config.preset_table("networks", "small")["features"]
      [12, 24, 48, 96]
    """
    names = preset_names(folder)
    if name not in names:
        raise ConfigError(f"no {folder} preset is named {name!r}; choose one of {', '.join(names)}")
    return parse_toml((resources.files("sirtjax.configs") / folder / f"{name}.toml").read_text(encoding="utf-8"))


def checked_preset(model: type[Model], table: Mapping[str, object], *, folder: str, name: str) -> Model:
    """Returns a preset validated by its model, which has a field `name`.

    Args:
      model: pydantic model of the preset.
      table: nested tables.
      folder: type of the preset, for the message.
      name: name of the preset, for the message.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names every one.
    """
    try:
        return model.model_validate({**table, "name": name})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'preset'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ConfigError(f"{folder} preset {name!r}: {problems}") from error


def load_preset(model: type[Model], folder: str, name: str) -> Model:
    """Returns the preset of a name in one folder of `sirtjax.configs`, checked by its model.

    Args:
      model: pydantic model of the preset.
      folder: folder of `sirtjax.configs`, which is the type of the preset.
      name: name of the preset.

    Raises:
      ConfigError: there is no preset of this name, or one of its keys or values is wrong.
    """
    return checked_preset(model, preset_table(folder, name), folder=folder, name=name)
