"""The weights that the training of a registration network begins with."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from sirtjax.errors import ModelError
from sirtjax.networks import CascadeConfig
from sirtjax.registration_networks import list_registration_models, load_registration_model
from sirtjax.train._joint_progress import JointProgress, first_progress, judged_variables
from sirtjax.train._joint_training_file import JointTrainingConfig, joint_training_from_dict
from sirtjax.train._loop import BEST
from sirtjax.train._run_folder import CONFIG, has_best, run_table
from sirtjax.train._state import Variables
from sirtjax.train._state_file import load_tree


def initial_progress(config: JointTrainingConfig) -> JointProgress:
    """Returns the progress before the first step, with sampled weights or those of `config.weights`.

    All arrays are on the host. Weights of the same network with fewer cascades can be loaded: the others begin with
    the identity.

    Raises:
      ModelError: the weights do not exist, or are those of another network.
      ImageFormatError: `config.weights` names a run whose best weights are damaged.
    """
    progress = first_progress(config)
    if config.weights is None:
        return progress
    given, found = _named(config.weights)
    more = config.network.cascades - given.cascades
    if more < 0 or given.model_copy(update={"cascades": config.network.cascades}) != config.network:
        raise ModelError(
            f"{config.weights}: holds the weights of another network; give the network table it was made with, with at "
            "least as many cascades"
        )
    # Arrays have the cascades as their first axis.
    drawn = progress.state.variables
    variables = jax.tree.map(
        lambda own, other: np.concatenate([np.asarray(own, np.float32), other[given.cascades :]]), found, drawn
    )
    average = jax.tree.map(np.array, variables["params"])
    return progress._replace(state=progress.state._replace(variables=variables, average=average))


def _named(weights: str) -> tuple[CascadeConfig, Variables]:
    """The network and the variables of a run (its best weights) or of a model."""
    if not has_best(weights, models=list_registration_models()):
        model = load_registration_model(weights)
        return model.spec.network, model.variables
    path = Path(weights)
    config = joint_training_from_dict(run_table(path), source=str(path / CONFIG))
    found, _ = load_tree(path / BEST, judged_variables(first_progress(config).state))
    return config.network, found
