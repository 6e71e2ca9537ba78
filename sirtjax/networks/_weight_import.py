"""Weights trained by other programs, from PyTorch's names and layouts to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from sirtjax.errors import ConfigError
from sirtjax.networks._build import Variables, abstract_variables, check_shapes
from sirtjax.networks._config import MonaiUNetConfig, PlainConvUNetConfig, ResidualEncoderUNetConfig
from sirtjax.networks._config_monai import DynUNetConfig, SegResNetConfig, SegResNetDSConfig
from sirtjax.networks._monai_names import LEAVES, dynunet_key, segresnet_key, without_copies

# Wrappers that add their name to every key.
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
# nnU-Net registers many tensors twice: under these names they come again.
_AGAIN = re.compile(r"\.all_modules\.|^decoder\.encoder\.")
# PyTorch's axes of a kernel in the order of ours.
_KERNEL = (2, 3, 4, 1, 0)
_TRANSPOSED_KERNEL = (2, 3, 4, 0, 1)
State = Mapping[str, Shaped[np.ndarray, "..."]]
MonaiNetworkConfig = MonaiUNetConfig | SegResNetConfig | SegResNetDSConfig | DynUNetConfig


def from_nnunet(state: State, config: PlainConvUNetConfig | ResidualEncoderUNetConfig) -> Variables:
    """Variables from the `network_weights` of an nnU-Net v2 checkpoint.

    Biases of convolutions that instance normalisation takes away again are left out.

    Raises:
      ConfigError: tensors are missing, unexpected or of another shape.
    """
    given = {_WRAPPERS.sub("", key): array for key, array in state.items()}
    given = {key: array for key, array in given.items() if not _AGAIN.search(key)}
    # The outputs of lower stages are there whether a network was trained with them or not.
    first_head = 0 if config.deep_supervision else len(config.features) - 2
    heads = "|".join(map(str, range(first_head))) or "none"
    unused = re.compile(rf"\.(?:convs\.\d+|conv[12]|skip\.\d)\.conv\.bias$|^decoder\.seg_layers\.(?:{heads})\.")
    key_of = partial(_nnunet_key, config=config, first_head=first_head)
    # Networks without biases have none in their transposed convolutions either.
    for path, leaf in _leaves(abstract_variables(config)["params"]):
        if path[:2] == ("decoder", "ups") and path[-1] == "b":
            given.setdefault(key_of(path), np.zeros(leaf.shape, np.float32))
    return _read(given, config, key_of, unused=unused)


def from_monai(state: State, config: MonaiNetworkConfig) -> Variables:
    """Variables from the state of MONAI's UNet, SegResNet, SegResNetDS or DynUNet.

    Biases of a UNet before a normalisation are taken into its running mean, or left out where it has none. The heads
    that a DynUNet has for its deep supervision are omitted.

    Raises:
      ConfigError: tensors are missing, unexpected or of another shape.
    """
    given = {_WRAPPERS.sub("", key): np.asarray(array) for key, array in state.items()}
    match config:
        case MonaiUNetConfig():
            return _from_monai_unet(given, config)
        case DynUNetConfig():
            unused = re.compile(r"\.num_batches_tracked$|^deep_supervision_heads\.\d+\.conv\.conv\.(?:weight|bias)$")
            return _read(without_copies(given), config, partial(dynunet_key, config=config), unused=unused)
        case _:
            final = isinstance(config, SegResNetDSConfig) or config.use_conv_final
            unused = re.compile(r"\.num_batches_tracked$" if final else r"\.num_batches_tracked$|^conv_final\.")
            return _read(given, config, partial(segresnet_key, config=config), unused=unused)


def _from_monai_unet(given: dict[str, Shaped[np.ndarray, "..."]], config: MonaiUNetConfig) -> Variables:
    for key in [key for key in given if key.endswith(".adn.N.running_mean")]:
        bias = key.replace(".adn.N.running_mean", ".conv.bias")
        if bias in given and given[bias].shape == given[key].shape:
            given[key] = given[key] - given[bias]
    unused = re.compile(r"\.num_batches_tracked$|\.conv\.bias$")
    return _read(given, config, partial(_monai_key, config=config), unused=unused)


def _nnunet_key(
    path: tuple[str, ...], *, config: PlainConvUNetConfig | ResidualEncoderUNetConfig, first_head: int
) -> str:
    """The name that nnU-Net has for one of our parameters."""
    leaf = LEAVES[path[-1]]
    match path[:-1]:
        case ("encoder", stage, "units", unit, layer):
            return f"encoder.stages.{stage}.0.convs.{unit}.{layer}.{leaf}"
        case ("decoder", "stages", stage, "units", unit, layer):
            return f"decoder.stages.{stage}.convs.{unit}.{layer}.{leaf}"
        case ("decoder", "ups", level):
            return f"decoder.transpconvs.{level}.{leaf}"
        case ("decoder", "heads", head):
            # Ours count from the lowest that is there.
            return f"decoder.seg_layers.{int(head) + first_head}.{leaf}"
        case ("stem", layer):
            return f"encoder.stem.convs.0.{layer}.{leaf}"
        case ("encoder", stage, block, "first", layer):
            return f"encoder.stages.{stage}.blocks.{block}.conv1.{layer}.{leaf}"
        case ("encoder", stage, block, "skip", layer):
            pooled = config.strides[int(stage)] != (1, 1, 1)
            return f"encoder.stages.{stage}.blocks.{block}.skip.{int(pooled)}.{layer}.{leaf}"
        case ("encoder", stage, block, layer):
            return f"encoder.stages.{stage}.blocks.{block}.conv2.{layer}.{leaf}"
        case _:
            raise ConfigError(f"nnU-Net has no name for the parameter {'.'.join(path)}")


def _monai_key(path: tuple[str, ...], *, config: MonaiUNetConfig) -> str:
    """The name that MONAI has for one of our variables: each level lies inside of the one above."""
    names, rest = ["model"], list(path[1:-1])
    while rest[0] == "below":
        names += ["1", "submodule"]
        rest.pop(0)
    # The lowest level is a unit itself; the others have a way down and one up.
    if rest[0] in ("down", "up", "unit"):
        names.append("0" if rest[0] == "down" else "2")
        if rest[0] != "down" and config.units:
            names.append("0" if rest[0] == "up" else "1")
        rest.pop(0)
    if rest[0] == "layers":
        names += ["conv", f"unit{rest[1]}"]
        del rest[:2]
    layer = {"conv": "conv", "norm": "adn.N", "slope": "adn.A", "around": "residual"}[rest[-1]]
    return ".".join([*names, layer, LEAVES[path[-1]]])


def _read(given: State, config: Any, key_of: Callable[[tuple[str, ...]], str], *, unused: re.Pattern[str]) -> Variables:
    """The variables of a network from tensors by their foreign names."""
    wanted = {
        kind: [(path, key_of(path), leaf.shape) for path, leaf in _leaves(tree)]
        for kind, tree in abstract_variables(config).items()
    }
    shapes = {key: _source_shape(path, shape) for entries in wanted.values() for path, key, shape in entries}
    found = {key: np.shape(array) for key, array in given.items() if key in shapes or not unused.search(key)}
    check_shapes(shapes, found, what="tensors")
    variables: Variables = {}
    for kind, entries in wanted.items():
        variables[kind] = {}
        for path, key, _ in entries:
            place = variables[kind]
            for name in path[:-1]:
                place = place.setdefault(name, {})
            array = np.asarray(given[key], np.float32)
            place[path[-1]] = jnp.asarray(array.transpose(_order(path)) if path[-1] == "w" else array)
    return variables


def _order(path: tuple[str, ...]) -> tuple[int, ...]:
    return _TRANSPOSED_KERNEL if "ups" in path or "up" in path else _KERNEL


def _source_shape(path: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    if path[-1] != "w":
        return shape
    theirs = [0] * 5
    for place, axis in enumerate(_order(path)):
        theirs[axis] = shape[place]
    return tuple(theirs)


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
