"""Networks from tables: the presets of configs/networks, and tables in other files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sirtjax.config import preset_names, preset_table
from sirtjax.errors import ConfigError
from sirtjax.networks._config import NetworkConfig

_ANY: TypeAdapter[NetworkConfig] = TypeAdapter(NetworkConfig)


def network_presets() -> tuple[str, ...]:
    """Lists the names of the networks in `configs/networks`."""
    return preset_names("networks")


def load_network_preset(name: str) -> NetworkConfig:
    """Returns a network preset by name.

    Raises:
      ConfigError: there is no preset of this name.
    """
    return network_config(preset_table("networks", name))


def network_config(table: Mapping[str, Any]) -> NetworkConfig:
    """Returns the config of a network from a table with the key `architecture`.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names every one.
    """
    try:
        return _ANY.validate_python(dict(table))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'table'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ConfigError(f"network: {problems}") from error
