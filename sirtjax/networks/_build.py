"""Networks as pure functions of a config, variables and images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, PRNGKeyArray, PyTree

from sirtjax.errors import ConfigError
from sirtjax.networks._config import NetworkConfig
from sirtjax.networks._deepmedic import DeepMedic
from sirtjax.networks._dynunet import DynUNet
from sirtjax.networks._layers import Draw, he_normal, shapes_alone
from sirtjax.networks._plain_unet import PlainConvUNet
from sirtjax.networks._pooled_unet import PooledUNet
from sirtjax.networks._residual_unet import ResidualEncoderUNet
from sirtjax.networks._segresnet import SegResNet
from sirtjax.networks._strided_unet import StridedUNet
from sirtjax.typing import Array

# {"params": nested dict of arrays, "statistics": nested dict of arrays}
Variables = dict[str, PyTree]
Precision = Literal["float32", "bfloat16"]
_KINDS = {"params": nnx.Param, "statistics": nnx.BatchStat}


def initialise(config: NetworkConfig, *, seed: int) -> Variables:
    """Variables drawn at random: parameters, and the running statistics of batch normalisation."""
    module = _module(config, he_normal(np.random.default_rng(seed)))
    states = _split(module)[1:]
    return {kind: jax.tree.map(jnp.asarray, _nested(state)) for kind, state in zip(_KINDS, states, strict=True)}


def abstract_variables(config: NetworkConfig) -> Variables:
    """Returns the shapes and types of a network's variables without computing them."""
    return {kind: _nested(state) for kind, state in zip(_KINDS, _abstract(config)[1:], strict=True)}


def apply(
    config: NetworkConfig,
    variables: Variables,
    x: Float[Array, "n i j k channels"],
    *,
    precision: Precision = "float32",
) -> Float[jax.Array, "n a b c classes"]:
    """Returns the logits of images.

    Args:
      config: the network.
      variables: parameters and statistics of the network, float32 for every precision.
      x: images, (n, i, j, k, channel).
      precision: "bfloat16" stores features and computes convolutions in half precision, for accelerators. Statistics of
        normalisations stay in float32. "float32" computes in the type of `x`.

    Returns:
      (n, i', j', k', class) logits; float32 for "bfloat16".

    Raises:
      ConfigError: the precision is unknown, or the variables do not belong to the network.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision is {precision!r}; expected {' or '.join(get_args(Precision))}")
    half = precision == "bfloat16"
    images = jnp.asarray(x, jnp.bfloat16) if half else x
    logits: jax.Array = _merged(config, variables)(images, key=None, training=False)[0]
    return logits.astype(jnp.float32) if half else logits


def apply_training(
    config: NetworkConfig, variables: Variables, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray
) -> tuple[tuple[Float[jax.Array, "n _ _ _ classes"], ...], dict[str, PyTree]]:
    """Runs a network in training mode: with dropout and batch statistics.

    Args:
      config: the network.
      variables: parameters and statistics of the network.
      x: images, (n, i, j, k, channel).
      key: random key of the dropout.

    Returns:
      Logits, the finest first, then those of deeper levels where the network is supervised there; and the statistics
      to continue with.
    """
    module = _merged(config, variables)
    outputs = module(x, key=key, training=True)
    return outputs, _nested(_split(module)[2])


def parameter_count(variables: Variables) -> int:
    """Returns the number of trainable parameters.

    Examples:
      >>> from sirtjax import networks
      >>> config = networks.load_network_preset("small")
      >>> networks.parameter_count(networks.abstract_variables(config))  # without weights in memory
      788594
    """
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables["params"]))


def _module(config: NetworkConfig, draw: Draw) -> nnx.Module:
    match config.architecture:
        case "plain-conv-unet":
            return PlainConvUNet(config, draw=draw)
        case "residual-encoder-unet":
            return ResidualEncoderUNet(config, draw=draw)
        case "monai-unet" | "y90-unet":
            return StridedUNet(config, draw=draw)
        case "segresnet" | "segresnet-ds":
            return SegResNet(config, draw=draw)
        case "dynunet":
            return DynUNet(config, draw=draw)
        case "thesis-unet" | "highres-unet":
            return PooledUNet(config, draw=draw)
        case "deepmedic":
            return DeepMedic(config, draw=draw)


@lru_cache(maxsize=32)
def _abstract(config: NetworkConfig) -> tuple[Any, ...]:
    """The network's graph, and its parameters and statistics as shapes."""
    module = nnx.eval_shape(lambda: _module(config, shapes_alone))
    return _split(module)


def _split(module: nnx.Module) -> tuple[Any, ...]:
    return cast(tuple[Any, ...], nnx.split(module, *_KINDS.values()))


def _merged(config: NetworkConfig, variables: Variables) -> Any:
    graph, *states = _abstract(config)
    filled = [_filled(state, variables[kind], kind) for kind, state in zip(_KINDS, states, strict=True)]
    return nnx.merge(graph, *filled)


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """The names on the way to a leaf, without the step into the Flax variable that holds it."""
    named = (getattr(step, "key", getattr(step, "idx", None)) for step in path)
    return tuple(str(name) for name in named if name is not None)


def _nested(state: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        *folders, last = _names(path)
        place = tree
        for name in folders:
            place = place.setdefault(name, {})
        place[last] = leaf
    return tree


def _filled(state: Any, tree: Mapping[str, Any], kind: str) -> Any:
    """The state with the arrays of a nested dict in the place of its shapes."""
    paths, structure = jax.tree_util.tree_flatten_with_path(state)
    wanted = {_names(path): leaf for path, leaf in paths}
    given = {_names(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
    check_shapes(
        {".".join(name): leaf.shape for name, leaf in wanted.items()},
        {".".join(name): leaf.shape for name, leaf in given.items()},
        what=kind,
    )
    return jax.tree.unflatten(structure, [given[name] for name in wanted])


def check_shapes(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], *, what: str) -> None:
    """Compares arrays by name and shape.

    Raises:
      ConfigError: some are missing, unexpected or of another shape; names the first of each.
    """
    missing = sorted(wanted.keys() - given.keys())
    unexpected = sorted(given.keys() - wanted.keys())
    misshapen = [name for name in wanted if name in given and tuple(wanted[name]) != tuple(given[name])]
    problems = []
    for label, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problems.append(f"{label} {', '.join(names[:3])}{more}")
    if misshapen:
        name = misshapen[0]
        more = f" and {len(misshapen) - 1} more" if len(misshapen) > 1 else ""
        problems.append(f"{name} is {tuple(given[name])}, expected {tuple(wanted[name])}{more}")
    if problems:
        raise ConfigError(f"the {what} do not belong to this network: {'; '.join(problems)}; check its config")
