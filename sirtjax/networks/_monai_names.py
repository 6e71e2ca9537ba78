"""The names that MONAI gives the tensors of its SegResNet, SegResNetDS and DynUNet."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from sirtjax.errors import ConfigError
from sirtjax.networks._config_monai import DynUNetConfig, SegResNetConfig, SegResNetDSConfig

Path = tuple[str, ...]
# Ours -> PyTorch's.
LEAVES = {
    "w": "weight",
    "b": "bias",
    "scale": "weight",
    "shift": "bias",
    "slope": "weight",
    "mean": "running_mean",
    "variance": "running_var",
}
# MONAI's module around the convolution of some networks.
_CONV = {"conv1": "conv1.conv", "conv2": "conv2.conv", "conv3": "conv3.conv"}
_SKIP = re.compile(r"^skip_layers\.((?:next_layer\.)*)(downsample|upsample|super_head)\.(.+)$")


def segresnet_key(path: Path, *, config: SegResNetConfig | SegResNetDSConfig) -> str:
    """Returns the name that MONAI gives one variable of a SegResNet or SegResNetDS."""
    ds = isinstance(config, SegResNetDSConfig)
    leaf = LEAVES[path[-1]]
    match path[:-1]:
        case ("stem",):
            return f"encoder.conv_init.{leaf}" if ds else f"convInit.conv.{leaf}"
        case ("encoder", level, "entry"):
            return f"encoder.layers.{int(level) - 1}.downsample.{leaf}" if ds else f"down_layers.{level}.0.conv.{leaf}"
        case ("encoder", level, "blocks", block, layer):
            if ds:
                return f"encoder.layers.{level}.blocks.{block}.{layer}.{leaf}"
            return f"down_layers.{level}.{int(block) + 1}.{_CONV.get(layer, layer)}.{leaf}"
        case ("decoder", level, "reduce"):
            return f"up_layers.{level}.upsample.preconv.{leaf}" if ds else f"up_samples.{level}.0.conv.{leaf}"
        case ("decoder", level, "up"):
            return f"up_layers.{level}.upsample.deconv.{leaf}" if ds else f"up_samples.{level}.1.deconv.{leaf}"
        case ("decoder", level, "blocks", block, layer):
            if ds:
                return f"up_layers.{level}.blocks.{block}.{layer}.{leaf}"
            return f"up_layers.{level}.{block}.{_CONV.get(layer, layer)}.{leaf}"
        case ("final", layer):
            return f"conv_final.0.{leaf}" if layer == "norm" else f"conv_final.2.conv.{leaf}"
        case ("heads", head):
            # Ours count from the finest level up.
            return f"up_layers.{len(config.blocks_up) - 1 - int(head)}.head.{leaf}"
        case _:
            raise ConfigError(f"MONAI has no name for the parameter {'.'.join(path)}")


def dynunet_key(path: Path, *, config: DynUNetConfig) -> str:
    """Returns the name that MONAI gives one variable of a DynUNet."""
    leaf = LEAVES[path[-1]]
    match path[:-1]:
        case ("encoder", level, layer):
            at = int(level)
            block = "bottleneck" if at == len(config.filters) - 1 else f"downsamples.{at - 1}" if at else "input_block"
            return f"{block}.{_CONV.get(layer, layer)}.{leaf}"
        case ("decoder", level, "up"):
            return f"upsamples.{level}.transp_conv.conv.{leaf}"
        case ("decoder", level, "block", layer):
            return f"upsamples.{level}.conv_block.{_CONV.get(layer, layer)}.{leaf}"
        case ("head",):
            return f"output_block.conv.conv.{leaf}"
        case _:
            raise ConfigError(f"MONAI has no name for the parameter {'.'.join(path)}")


def without_copies(state: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Returns the tensors of a DynUNet without the second names that MONAI gives most of them.

    Raises:
      ConfigError: a tensor differs from its copy.
    """
    ups = 1 + max((int(key.split(".")[1]) for key in state if re.match(r"upsamples\.\d+\.", key)), default=-1)
    found = {key: array for key, array in state.items() if not _SKIP.match(key) and not _is_bottleneck_copy(key)}
    for key, array in state.items():
        if key in found:
            continue
        first = _first_name(key, ups)
        if first not in found:
            found[first] = array
        elif not np.array_equal(found[first], array, equal_nan=True):
            raise ConfigError(f"{key} differs from {first}, of which it is a copy; save the weights again")
    return found


def _is_bottleneck_copy(key: str) -> bool:
    return re.match(r"skip_layers\.(?:next_layer\.)+(?:conv|norm)\d\.", key) is not None


def _first_name(key: str, ups: int) -> str:
    """The first name of a tensor that is registered again on the way through the levels."""
    if _is_bottleneck_copy(key):
        return "bottleneck." + re.sub(r"^skip_layers\.(?:next_layer\.)+", "", key)
    match = _SKIP.match(key)
    if match is None:
        return key
    level = match[1].count("next_layer.")
    module = {
        "downsample": f"downsamples.{level - 1}" if level else "input_block",
        "upsample": f"upsamples.{ups - 1 - level}",
        "super_head": f"deep_supervision_heads.{level - 1}",
    }[match[2]]
    return f"{module}.{match[3]}"
