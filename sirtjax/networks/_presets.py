"""Networks from tables: the presets of configs/networks, and tables in other files."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from sirtjax.config import preset_names, preset_table
from sirtjax.errors import ConfigError
from sirtjax.networks._config import NetworkConfig

# Problems that an error names; one wrong value is often reported for each of a network's alternatives.
NAMED = 3
_ANY: TypeAdapter[NetworkConfig] = TypeAdapter(NetworkConfig)


def list_network_presets() -> tuple[str, ...]:
    """Lists the names of the networks in `configs/networks`."""
    return preset_names("networks")


def load_network_preset(name: str) -> NetworkConfig:
    """Returns a network preset by name.

    Raises:
      ConfigError: there is no preset of this name.

    Examples:
      >>> from sirtjax import networks
      >>> config = networks.load_network_preset("small")
      >>> config.features, networks.receptive_field(config)
      ((12, 24, 48, 96), (79, 79, 79))
    """
    return network_config(preset_table("networks", name))


def network_config(table: Mapping[str, object]) -> NetworkConfig:
    """Returns the config of a network from a table with the key `architecture`.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names up to three.

    Examples:
      >>> from sirtjax import networks
      >>> table = {"architecture": "plain-conv-unet", "features": [4, 8], "strides": [[1, 1, 1], [2, 2, 2]]}
      >>> table |= {"classes": 2, "convolutions": [1, 1], "decoder_convolutions": [1]}
      >>> networks.receptive_field(networks.network_config(table))  # 3, plus 2 for each of the other two convolutions
      (7, 7, 7)
    """
    try:
        return _ANY.validate_python(dict(table))
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'table'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        ]
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise ConfigError(f"network: {'; '.join(problems[:NAMED])}{more}") from error
