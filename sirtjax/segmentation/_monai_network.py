"""The network of MONAI weights: settings of the description, of a bundle and of the weights, which must agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from sirtjax import networks
from sirtjax.errors import ConfigError, ModelError
from sirtjax.segmentation._monai_bundle import bundle_network

Architecture = Literal["segresnet", "segresnet-ds", "dynunet"]
# Architecture -> MONAI's class.
MONAI_CLASSES = {"monai-unet": "UNet", "segresnet": "SegResNet", "segresnet-ds": "SegResNetDS", "dynunet": "DynUNet"}
# Settings with one value per axis, for which one number is short.
_PER_AXIS = ("kernel_size", "strides", "upsample_kernel_size", "scales")


def monai_network(
    weights: Mapping[str, Shaped[np.ndarray, "..."]],
    found: Architecture | None,
    described: object,
    *,
    checkpoint: Path,
    description: Path,
) -> object:
    """Returns the table of a network from its description, its bundle and its weights.

    Args:
      weights: tensors by the names of MONAI.
      found: architecture of the weights by their names; None for a UNet.
      described: table `network` of the description.
      checkpoint: file of the weights.
      description: file of the description.

    Raises:
      ModelError: two of the sources contradict each other, or the weights are not those of a supported network.
    """
    if not isinstance(described, Mapping):
        return described
    stated = described.get("architecture", found or "monai-unet")
    if not isinstance(stated, str) or stated not in MONAI_CLASSES:
        known = ", ".join(f"'{name}'" for name in MONAI_CLASSES)
        raise ModelError(f"{description}: network is {stated!r}, expected one of {known}")
    actual = found or "monai-unet"
    if stated != actual:
        raise ModelError(
            f"{description}: network.architecture is {stated!r}, but {checkpoint} has the weights of a "
            f'{MONAI_CLASSES[actual]}; set it to "{actual}", or choose other weights'
        )
    settings = _determined(weights, found, checkpoint)
    if described.get("use_conv_final", True) is False:
        settings.pop("classes", None)  # those of a layer that is not used
    sources: list[tuple[Path, str, Mapping[str, object]]] = [(description, "network.", dict(described))]
    bundle = bundle_network(checkpoint, stated=described.keys() | settings.keys())
    if bundle is not None:
        sources.append((bundle.file, "network_def: ", bundle.table))
    sources.append((checkpoint, "", settings))
    table = _agreed(sources)
    _check_normalisation(table, found, description)
    return {**table, "architecture": actual}


def _determined(weights: Mapping[str, np.ndarray], found: Architecture | None, checkpoint: Path) -> dict[str, object]:
    try:
        return {} if found is None else networks.monai_settings(weights, found)
    except ConfigError as error:
        raise ModelError(f"{checkpoint}: its weights are not usable: {error}") from error


def _agreed(sources: Sequence[tuple[Path, str, Mapping[str, object]]]) -> dict[str, Any]:
    """All settings; a setting of several sources has one value."""
    table: dict[str, Any] = {}
    origin: dict[str, tuple[Path, str]] = {}
    for file, part, settings in sources:
        for key, value in settings.items():
            if key in table and _plain(key, table[key]) != _plain(key, value):
                first, before = origin[key]
                raise ModelError(
                    f"{first}: {before}{key} is {_shown(key, table[key])}, but {file} has {_shown(key, value)}; "
                    "correct or remove it"
                )
            if key not in table:
                table[key], origin[key] = value, (file, part)
    return table


def _plain(key: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    wide = key in _PER_AXIS
    return [[one] * 3 if wide and isinstance(one, int) else _plain("", one) for one in value]


def _shown(key: str, value: Any) -> str:
    return str(_plain(key, value)).replace("'", "")


def _check_normalisation(table: Mapping[str, Any], found: Architecture | None, description: Path) -> None:
    """Weights without running statistics do not tell which normalisation is not the usual one."""
    usual = found in (None, "dynunet") or (found == "segresnet" and table["affine"])
    if not usual and "normalisation" not in table:
        raise ModelError(
            f"{description}: network.normalisation is missing, and weights do not tell it; "
            'add "instance", or "group" with the number of groups'
        )
