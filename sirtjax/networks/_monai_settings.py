"""The settings of a MONAI network that its weights determine: sizes, levels, blocks and some choices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from sirtjax.errors import ConfigError
from sirtjax.networks._monai_names import without_copies

Architecture = Literal["segresnet", "segresnet-ds", "dynunet"]
# Names that only one architecture has, after anything that a training program puts in front of them. They
# include the encoder of a SegResNetDS without its decoder.
_MARKS: dict[Architecture, re.Pattern[str]] = {
    "segresnet": re.compile(r"(?:^|(?<=\.))(?=convInit\.|down_layers\.\d+\.\d+\.)"),
    "segresnet-ds": re.compile(r"(?:^|(?<=\.))(?=(?:encoder\.)?(?:conv_init\.|layers\.\d+\.blocks\.\d+\.conv1\.))"),
    "dynunet": re.compile(r"(?:^|(?<=\.))(?=input_block\.conv1\.|upsamples\.\d+\.transp_conv\.)"),
}
# Parts of networks that contain one of these, and more.
_LARGER = {"vae_": "SegResNetVAE", "up_layers_auto.": "SegResNetDS2"}
_STATISTICS, _NORM = re.compile(r"norm\d\.running_mean$"), re.compile(r"norm\d\.weight$")


def monai_architecture(names: Iterable[str]) -> tuple[Architecture, str] | None:
    """Returns the architecture of weights by the names of their tensors, and the text before every name.

    None if the weights are not those of a SegResNet, SegResNetDS or DynUNet.

    Raises:
      ConfigError: the weights are those of several networks.

    Examples:
      >>> from sirtjax import networks
      >>> networks.monai_architecture(["net.convInit.conv.weight", "net.down_layers.0.1.conv1.conv.weight"])
      ('segresnet', 'net.')
    """
    names = list(names)
    for architecture, mark in _MARKS.items():
        starts = sorted({name[: found.start()] for name in names if (found := mark.search(name))})
        if len(starts) > 1:
            kept = ", ".join(repr(start) for start in starts[:3])
            raise ConfigError(f"contains {len(starts)} networks (names begin with {kept}); save the weights of one")
        if starts:
            return architecture, starts[0]
    return None


def monai_settings(state: Mapping[str, Shaped[np.ndarray, "..."]], architecture: Architecture) -> dict[str, object]:
    """Returns the settings that the weights of a network determine, by the keys of its config.

    Weights do not tell group from instance normalisation, the number of groups, or the activation.

    Args:
      state: tensors by the names of MONAI.
      architecture: architecture of the network.

    Raises:
      ConfigError: the tensors that determine a setting are missing, or belong to a network that is not supported.
    """
    larger = next((name for start, name in _LARGER.items() if any(key.startswith(start) for key in state)), None)
    if larger is not None:
        raise ConfigError(f"are those of a {larger}, which is not supported; expected a SegResNet or SegResNetDS")
    if architecture == "dynunet":
        return _dynunet(without_copies(state))
    return _segresnet(state) if architecture == "segresnet" else _segresnet_ds(state)


def _segresnet(state: Mapping[str, Any]) -> dict[str, Any]:
    down, up = _numbers(state, r"down_layers\.(\d+)\.([1-9]\d*)\."), _numbers(state, r"up_layers\.(\d+)\.(\d+)\.")
    _check_decoder(up, "up_layers", down)
    features, channels = _shape(state, "convInit.conv.weight")[:2]
    return {
        "channels": channels,
        "classes": _shape(state, "conv_final.2.conv.weight")[0],
        "init_filters": features,
        "blocks_down": _highest(down, "down_layers"),
        "blocks_up": [number + 1 for number in _highest(up, "up_layers")],
        "upsample_mode": "deconv" if any(".deconv." in key for key in state) else "nontrainable",
        **_normalisation(state),
    }


def _segresnet_ds(state: Mapping[str, Any]) -> dict[str, Any]:
    down = _numbers(state, r"encoder\.layers\.(\d+)\.blocks\.(\d+)\.")
    up = _numbers(state, r"up_layers\.(\d+)\.blocks\.(\d+)\.")
    _check_decoder(up, "up_layers", down)
    features, channels = _shape(state, "encoder.conv_init.weight")[:2]
    scales = []
    for level in range(len(down)):
        key = f"encoder.layers.{level}.blocks.0.conv1.weight"
        kernel = _shape(state, key)[2:]
        if not set(kernel) <= {1, 3}:
            raise ConfigError(f"{key} has kernel {_times(kernel)}, expected sizes of 1 or 3")
        scales.append([(size + 1) // 2 for size in kernel])
    heads = {int(found[1]) for key in state if (found := re.match(r"up_layers\.(\d+)\.head\.", key))}
    return {
        "channels": channels,
        "classes": _shape(state, f"up_layers.{len(up) - 1}.head.weight")[0],
        "init_filters": features,
        "blocks_down": [number + 1 for number in _highest(down, "encoder.layers")],
        "blocks_up": [number + 1 for number in _highest(up, "up_layers")],
        "upsample_mode": "deconv" if any(".deconv." in key for key in state) else "nontrainable",
        "scales": scales,
        "dsdepth": len(up) - min(heads),
        **_normalisation(state),
    }


def _dynunet(state: Mapping[str, Any]) -> dict[str, Any]:
    inner = {int(found[1]) for key in state if (found := re.match(r"downsamples\.(\d+)\.", key))}
    up = _numbers(state, r"upsamples\.(\d+)\.()")
    _check_decoder(up, "upsamples", inner)
    _highest(up, "upsamples")
    blocks = ["input_block", *(f"downsamples.{at}" for at in range(max(inner, default=-1) + 1)), "bottleneck"]
    shapes = [_shape(state, f"{block}.conv1.conv.weight") for block in blocks]
    steps = [_shape(state, f"upsamples.{at}.transp_conv.conv.weight")[2:] for at in range(len(up))][::-1]
    return {
        "channels": shapes[0][1],
        "classes": _shape(state, "output_block.conv.conv.weight")[0],
        "filters": [shape[0] for shape in shapes],
        "kernel_size": [list(shape[2:]) for shape in shapes],
        # MONAI steps up by the size of the kernel.
        "strides": [[1, 1, 1], *(list(step) for step in steps)],
        "upsample_kernel_size": [list(step) for step in steps],
        "res_block": any(".conv3." in key for key in state),
        "trans_bias": any(key.endswith(".transp_conv.conv.bias") for key in state),
        **_normalisation(state),
    }


def _normalisation(state: Mapping[str, Any]) -> dict[str, Any]:
    if any(_STATISTICS.search(key) for key in state):
        return {"normalisation": "batch", "affine": True}
    return {"affine": any(_NORM.search(key) for key in state)}


def _numbers(state: Mapping[str, Any], pattern: str) -> dict[int, set[int]]:
    """Level -> numbers of its blocks."""
    found: dict[int, set[int]] = {}
    for key in state:
        if match := re.match(pattern, key):
            found.setdefault(int(match[1]), set()).add(int(match[2] or 0))
    return found


def _highest(levels: Mapping[int, Set[int]], name: str) -> list[int]:
    """The highest number of each level."""
    missing = [level for level in range(max(levels, default=0)) if level not in levels]
    if missing:
        raise ConfigError(f"{name}.{missing[0]} is missing")
    return [max(levels[level]) for level in range(len(levels))]


def _check_decoder(up: Mapping[int, Set[int]], name: str, down: Iterable[int]) -> None:
    if not up:
        what = "the encoder of a network" if list(down) else "part of a network"
        raise ConfigError(f"are only {what}: no tensor of {name}; a segmentation needs the decoder too")


def _shape(state: Mapping[str, Any], key: str) -> tuple[int, ...]:
    if key not in state:
        raise ConfigError(f"{key} is missing")
    shape = tuple(int(size) for size in np.shape(state[key]))
    if len(shape) != 5:
        raise ConfigError(f"{key} has shape {shape}, expected 5 axes; only networks of three dimensions are supported")
    return shape


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
