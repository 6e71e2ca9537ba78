from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Integer, PyTree, Shaped

from sirtjax.train._config import OptimiserConfig
from sirtjax.train._optimiser import after_plateau, make_optimiser
from sirtjax.typing import Array

Variables = dict[str, PyTree]

_FIELDS = ["step", "variables", "average", "optimiser", "key", "plateau", "best_score", "best_step", "stale"]


@partial(jax.tree_util.register_dataclass, data_fields=_FIELDS, meta_fields=[])
@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that training continues from.

    Attributes:
      step: number of updates so far.
      variables: "params" and "statistics" of the network.
      average: running mean of the params; empty if it is not computed.
      optimiser: moments of the optimiser.
      key: data of the random key for all samples and dropout.
      plateau: factor of the plateaus so far on the learning rate.
      best_score: mean DSC of the best validation; minus infinity before the first.
      best_step: number of updates at the best validation.
      stale: number of validations since then.
    """

    step: np.int32 | Integer[Array, ""]
    variables: Variables
    average: PyTree
    optimiser: PyTree
    key: Shaped[Array, "..."]
    plateau: np.float32 | Float[Array, ""]
    best_score: np.float32 | Float[Array, ""]
    best_step: np.int32 | Integer[Array, ""]
    stale: np.int32 | Integer[Array, ""]

    def judged(self) -> Variables:
        """Returns the variables to validate and store: the averaged params if there is an average."""
        return {**self.variables, "params": self.average} if self.average else self.variables


def first_state(variables: Variables, *, optimiser: OptimiserConfig, seed: int) -> TrainState:
    """Returns the state before the first step."""
    params = variables["params"]
    return TrainState(
        step=np.int32(0),
        variables=variables,
        average=jax.tree.map(np.array, params) if optimiser.ema_decay is not None else {},
        optimiser=make_optimiser(optimiser).init(params),
        key=np.asarray(jax.random.key_data(jax.random.key(seed))),
        plateau=np.float32(1.0),
        best_score=np.float32(-np.inf),
        best_step=np.int32(0),
        stale=np.int32(0),
    )


def after_validation(state: TrainState, score: float, *, optimiser: OptimiserConfig) -> tuple[TrainState, bool]:
    """Returns the state after a validation, and whether it is the best so far.

    A score that is not a number (no case had the class) is not an improvement.
    """
    step = int(state.step)
    best = bool(np.float32(score) > np.float32(state.best_score))
    stale = 0 if best else int(state.stale) + 1
    plateau = after_plateau(float(state.plateau), stale, schedule=optimiser.schedule)
    return (
        replace(
            state,
            plateau=np.float32(plateau),
            best_score=np.float32(score) if best else np.float32(state.best_score),
            best_step=np.int32(step if best else int(state.best_step)),
            stale=np.int32(stale),
        ),
        best,
    )
