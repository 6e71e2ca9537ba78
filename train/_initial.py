from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from sirtjax import networks, segmentation
from sirtjax.errors import ModelError
from sirtjax.networks import NetworkConfig
from sirtjax.train._run_folder import best_variables, has_best, run_config
from sirtjax.train._state import Variables
from sirtjax.train._training_file import TrainingConfig


def initial_variables(config: TrainingConfig) -> Variables:
    """Returns the initial weights of a training, on the host: sampled from its seed, or loaded.

    Weights of the same network with fewer classes can be loaded if both have a softmax: further classes begin as parts
    of the background.

    Raises:
      ModelError: the weights that `config.weights` names do not exist, are those of another network, or have channels
        with a sigmoid for a network with a softmax or for one with more classes, or the reverse.
      ImageFormatError: `config.weights` names a run whose best weights are damaged.
    """
    if config.weights is None:
        drawn: Variables = jax.tree.map(jax.device_get, networks.initialise(config.network, seed=config.seed))
        return drawn
    if has_best(config.weights, models=[model.name for model in segmentation.list_models()]):
        path = Path(config.weights)
        given, (found, _) = run_config(path), best_variables(path)
        network, overlapping = given.network, _overlapping(given)
    else:
        model = segmentation.load_model(config.weights)
        if len(model.folds) > 1:
            raise ModelError(f"{config.weights}: is an ensemble of {len(model.folds)} networks; begin with one of them")
        network, (found,) = model.spec.network, model.folds
        overlapping = model.spec.activation == "sigmoid"
    variables: Variables = jax.tree.map(jax.device_get, found)
    more = config.network.classes - network.classes
    wider = more > 0 and network.model_copy(update={"classes": config.network.classes}) == config.network
    if not wider and networks.abstract_variables(network) != networks.abstract_variables(config.network):
        raise ModelError(
            f"{config.weights}: holds the weights of another network; give the network table it was made with"
        )
    _check_channels(config, network.classes, overlapping)
    return _with_more_classes(variables, network, more) if wider else variables


def _overlapping(config: TrainingConfig) -> bool:
    """Returns whether each channel of the network has a sigmoid."""
    return config.loss.regions or config.network.classes == 1


def _check_channels(config: TrainingConfig, count: int, overlapping: bool) -> None:
    """Refuses weights whose channels mean something else in the network of a training."""
    kinds = ("a softmax with the background first", "a sigmoid each and no background")
    wanted = config.network.classes
    if overlapping != _overlapping(config):
        raise ModelError(
            f"{config.weights}: its {count} channels have {kinds[overlapping]}, the {wanted} of this training have "
            f"{kinds[not overlapping]}; use the classes and loss.regions of these weights, or other weights"
        )
    if overlapping and wanted > count:
        raise ModelError(
            f"{config.weights}: its {count} channels have {kinds[1]}, as part of which the further ones of "
            f"network.classes = {wanted} would begin; train the same classes, or use other weights"
        )


def _with_more_classes(variables: Variables, network: NetworkConfig, more: int) -> Variables:
    """Returns weights with further classes, which begin as equal parts of the background.

    The probabilities of the other classes remain those of the given weights.
    """
    old = networks.abstract_variables(network)
    new = networks.abstract_variables(network.model_copy(update={"classes": network.classes + more}))

    def widened(path: Any, value: Any, before: Any, after: Any) -> Any:
        if before.shape == after.shape:
            return value
        background = np.asarray(value)[..., :1]
        if path[-1].key == "b":
            background = background - np.float32(np.log(1 + more))
        return np.concatenate([background, np.asarray(value)[..., 1:], *[background] * more], axis=-1)

    more_classes: Variables = jax.tree_util.tree_map_with_path(widened, variables, old, new)
    return more_classes
