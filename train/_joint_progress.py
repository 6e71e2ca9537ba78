"""Everything that the training of a registration network continues from."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Integer

from sirtjax.train._joint_course import joint_optimiser
from sirtjax.train._joint_step import JointState, first_joint_state
from sirtjax.train._joint_training_file import JointTrainingConfig
from sirtjax.train._state import Variables
from sirtjax.typing import Array


class JointProgress(NamedTuple):
    """Everything that a training continues from.

    Attributes:
      state: state of the network and of its optimiser.
      best_dsc: mean DSC of the best validation; minus infinity before the first.
      best_step: number of updates at the best validation.
    """

    state: JointState
    best_dsc: np.float32 | Float[Array, ""]
    best_step: np.int32 | Integer[Array, ""]


def first_progress(config: JointTrainingConfig) -> JointProgress:
    """Returns the progress before the first step, on the host."""
    state = first_joint_state(config.network, joint_optimiser(config.optimiser, 0.0), seed=config.seed)
    return JointProgress(jax.tree.map(np.array, state), np.float32(-np.inf), np.int32(0))


def judged_variables(state: JointState) -> Variables:
    """Returns the variables to validate and store: with the running mean of the parameters."""
    return {**state.variables, "params": state.average}
