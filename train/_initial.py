from __future__ import annotations

from pathlib import Path

import jax

from sirtjax import networks, segmentation
from sirtjax.errors import ModelError
from sirtjax.train._loop import BEST
from sirtjax.train._run_folder import best_variables, run_config
from sirtjax.train._state import Variables
from sirtjax.train._training_file import TrainingConfig


def initial_variables(config: TrainingConfig) -> Variables:
    """Returns the initial weights of a training, on the host: sampled from its seed, or loaded.

    Raises:
      ModelError: the weights that `config.weights` names do not exist or are those of another network.
      ImageFormatError: `config.weights` names a run whose best weights are damaged.
    """
    if config.weights is None:
        drawn: Variables = jax.tree.map(jax.device_get, networks.initialise(config.network, seed=config.seed))
        return drawn
    path = Path(config.weights)
    if (path / BEST).is_file():
        network, (found, _) = run_config(path).network, best_variables(path)
    else:
        model = segmentation.load_model(config.weights)
        if len(model.folds) > 1:
            raise ModelError(f"{config.weights}: is an ensemble of {len(model.folds)} networks; begin with one of them")
        network, (found,) = model.spec.network, model.folds
    if networks.abstract_variables(network) != networks.abstract_variables(config.network):
        raise ModelError(
            f"{config.weights}: holds the weights of another network; give the network table it was made with"
        )
    variables: Variables = jax.tree.map(jax.device_get, found)
    return variables
