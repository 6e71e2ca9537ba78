from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from sirtjax.train._config import OptimiserConfig, ScheduleConfig
from sirtjax.typing import Scalar


def make_optimiser(config: OptimiserConfig) -> optax.GradientTransformation:
    """Returns the optimiser that computes the update direction for a learning rate of 1.

    The rate is applied outside (`learning_rate`), so that a plateau of the validation can change it between steps.
    Gradients of non-finite length are not clipped into something harmless: the loop ends on them.
    """
    clip = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    match config.kind:
        case "adam":
            rule = [optax.scale_by_adam()]
        case "adamw":
            rule = [optax.scale_by_adam(), optax.add_decayed_weights(config.weight_decay, mask=_decays)]
        case "sgd":
            rule = [optax.trace(config.momentum, nesterov=config.nesterov)] if config.momentum else []
    return optax.chain(*clip, *rule, optax.scale(-1.0))


def learning_rate(
    step: Scalar | np.int32, plateau: Scalar, *, config: OptimiserConfig, steps: int, steps_per_epoch: int
) -> Float[jax.Array, ""]:
    """Returns the learning rate of one step.

    Args:
      step: number of updates so far.
      plateau: factor of the plateaus so far on the first rate.
      config: optimiser.
      steps: number of steps of the whole training.
      steps_per_epoch: number of steps of an epoch.

    Examples:
      >>> from sirtjax import train
      >>> config = train.OptimiserConfig(kind="adam", learning_rate=0.01, schedule={"kind": "cosine"})
      >>> middle = train.learning_rate(50, 1.0, config=config, steps=101, steps_per_epoch=10)
      >>> round(float(middle), 4)  # half of it after half of the steps
      0.005
    """
    schedule = config.schedule
    first = config.learning_rate * plateau
    if schedule.kind == "steps" and schedule.every_epochs is not None:
        first = first * schedule.factor ** jnp.floor(step / (schedule.every_epochs * steps_per_epoch))
    elif schedule.kind == "cosine":
        done = jnp.clip(step / max(steps - 1, 1), 0.0, 1.0)
        first = first * (schedule.final + (1 - schedule.final) * 0.5 * (1 + jnp.cos(jnp.pi * done)))
    if schedule.warmup_steps:
        first = first * jnp.minimum((step + 1) / schedule.warmup_steps, 1.0)
    return jnp.asarray(first, jnp.float32)


def after_plateau(plateau: float, stale: int, *, schedule: ScheduleConfig) -> float:
    """Updates the learning rate's factor after a validation.

    Args:
      plateau: the factor before.
      stale: validations without improvement in a row, this one counted; 0 if it has improved.
      schedule: schedule, of which only the kind "plateau" has an effect.

    Examples:
      >>> from sirtjax import train
      >>> schedule = train.ScheduleConfig(kind="plateau", factor=0.5, patience=1)
      >>> [train.after_plateau(1.0, stale, schedule=schedule) for stale in (0, 1, 2)]
      [1.0, 1.0, 0.5]
    """
    if schedule.kind != "plateau" or stale == 0 or stale % (schedule.patience + 1):
        return plateau
    return max(plateau * schedule.factor, schedule.final)


def _decays(params: Any) -> Any:
    # Biases and the scales of normalisation are vectors: pulling them to zero only shifts what they normalise.
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
