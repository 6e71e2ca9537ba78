"""The network in the configuration of a MONAI bundle, as far as it consists of plain values; nothing is executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sirtjax.errors import ModelError
from sirtjax.parsing import ParseError, parse_json


def _keys(*same: str, **other: str) -> dict[str, str]:
    return {"in_channels": "channels", "out_channels": "classes", **{name: name for name in same}, **other}


# Class of MONAI -> argument -> key of our table.
_KEYS = {
    "UNet": _keys("strides", channels="features", num_res_units="units"),
    "SegResNet": _keys(
        "init_filters", "blocks_down", "blocks_up", "upsample_mode", "use_conv_final", num_groups="groups"
    ),
    "SegResNetDS": _keys("init_filters", "blocks_down", "blocks_up", "upsample_mode"),
    "DynUNet": _keys("kernel_size", "strides", "upsample_kernel_size", "filters", "res_block", "trans_bias"),
}
# Arguments of a UNet that are supported with this value only.
_FIXED = {"kernel_size": 3, "up_kernel_size": 3, "bias": True, "adn_ordering": "NDA"}
_NORMS, _ACTIVATIONS = ("norm", "norm_name"), ("act", "act_name")
# Arguments that change nothing outside of training, or that the weights determine.
_WITHOUT_EFFECT = frozenset(
    {
        "_target_",
        "spatial_dims",
        "dropout",
        "dropout_prob",
        "deep_supervision",
        "deep_supr_num",
        "dsdepth",
        "resolution",
    }
)
_ACTIVATION_NAMES = {"relu": "relu", "leakyrelu": "leaky-relu", "prelu": "prelu"}


@dataclass(frozen=True, kw_only=True)
class BundleNetwork:
    """The settings of a network in a bundle.

    Attributes:
      file: file of the configuration.
      table: settings by the keys of the network's config.
    """

    file: Path
    table: dict[str, object]


def bundle_network(checkpoint: Path, *, stated: Set[str]) -> BundleNetwork | None:
    """Returns the network of the bundle in which weights are; None if they are not in a bundle.

    Args:
      checkpoint: file of the weights, in the folder `models` of a bundle.
      stated: settings that the description has or the weights determine; here they may be code.

    Raises:
      ModelError: the configuration cannot be read, or its network has a value that is not supported.
    """
    file = checkpoint.parent.parent / "configs" / "inference.json"
    if checkpoint.parent.name != "models" or not file.is_file():
        return None
    try:
        config: Any = parse_json(file.read_bytes())
    except (OSError, ParseError) as error:
        raise ModelError(
            f"{file}: is not a readable JSON file ({error}); move the weights out of the bundle"
        ) from error
    network = config.get("network_def") if isinstance(config, Mapping) else None
    if not isinstance(network, Mapping) or "_target_" not in network:
        return None
    target = str(network["_target_"]).rpartition(".")[2]
    name = next((known for known in _KEYS if known.lower() == target.lower()), None)
    if name is None:
        raise ModelError(f"{file}: its network is a {target}, expected {', '.join(_KEYS)}")
    table: dict[str, object] = {"units": 0} if name == "UNet" and "num_res_units" not in network else {}
    for argument, given in network.items():
        for key, value in _settings(argument, _value(given, config), name, file).items():
            if not _is_code(value):
                table[key] = value
            elif key not in stated:
                raise ModelError(f"{file}: network_def: {argument} is code ({given}); add {key} to the description")
    return BundleNetwork(file=file, table=table)


def _value(given: Any, config: Mapping[str, Any]) -> Any:
    """A value, or the one that a reference to another entry names."""
    if isinstance(given, str) and given.startswith("@"):
        return config.get(given[1:], given)
    return given


def _is_code(value: Any) -> bool:
    """Whether a value contains an expression or a reference that is not resolved."""
    if isinstance(value, list | tuple):
        return any(map(_is_code, value))
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


def _settings(argument: str, value: Any, name: str, file: Path) -> dict[str, Any]:
    """The settings that one argument of a network determines."""
    if argument == "spatial_dims" and value != 3:
        raise ModelError(f"{file}: network_def: spatial_dims is {value}; only networks of 3 dimensions are supported")
    usual = name == "UNet" and argument in _FIXED and value == _FIXED[argument]
    if argument in _WITHOUT_EFFECT or value is None or usual:
        return {}
    if argument in _KEYS[name]:
        return {_KEYS[name][argument]: value}
    readers: list[tuple[tuple[str, ...], str, Callable[[str, Mapping[str, Any]], dict[str, Any] | None]]] = [
        (_NORMS, "normalisation", _normalisation),
        (_ACTIVATIONS, "activation", _activation),
    ]
    for names, key, read in readers:
        if argument in names:
            if value == "" or _is_code(value):
                return {key: value} if value else {}
            kind, options = _named(value)
            found = read(kind.lower(), options)
            if found is not None:
                return found
    raise ModelError(f"{file}: network_def: {argument} = {json.dumps(value)} is not supported for a {name}")


def _named(value: Any) -> tuple[str, Mapping[str, Any]]:
    """A name, and its options if there are any."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], Mapping):
        return str(value[0]), value[1]
    return str(value), {}


def _normalisation(kind: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = kind.removesuffix("_nvfuser")
    usual = options.get("eps", 1e-5) == 1e-5 and set(options) <= {"affine", "eps", "num_groups", "momentum"}
    if kind not in ("group", "instance", "batch") or not usual:
        return None
    return {"normalisation": kind} | ({"groups": options["num_groups"]} if "num_groups" in options else {})


def _activation(kind: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    usual = kind != "leakyrelu" or options.get("negative_slope", 0.01) == 0.01
    if kind not in _ACTIVATION_NAMES or not usual or not set(options) <= {"inplace", "negative_slope", "init"}:
        return None
    return {"activation": _ACTIVATION_NAMES[kind]}
