"""The course of the training of a registration network: which cascade changes in a step, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from sirtjax import networks
from sirtjax.train._joint_config import CourseConfig, JointOptimiserConfig, StageConfig
from sirtjax.train._joint_step import JointState
from sirtjax.typing import Scalar


@dataclass(frozen=True, kw_only=True)
class StagePlace:
    """The place of a step in the course.

    Attributes:
      stage: stage of the step.
      round: number of the round, from 0.
      done: number of updates of this stage before the step.
    """

    stage: StageConfig
    round: int
    done: int

    @property
    def cascade(self) -> int | None:
        """The only cascade that changes; None for all of them."""
        return None if self.stage.cascade == "all" else self.stage.cascade

    @property
    def from_previous(self) -> bool:
        """Whether the stage begins with the weights of the cascade before."""
        return self.stage.begin_from_previous and self.round == 0


def stage_place(course: CourseConfig, step: int) -> StagePlace:
    """Returns the place of a step.

    Args:
      course: stages and rounds.
      step: number of updates so far.

    Raises:
      ValueError: the training has fewer steps.

    Examples:
      >>> from sirtjax import train
      >>> course = train.load_joint_training("joint-velocity").course
      >>> place = train.stage_place(course, 2600)
      >>> place.cascade, place.done
      (1, 100)
    """
    number, done = divmod(step, course.steps // course.rounds)
    if step >= course.steps:
        raise ValueError(f"step {step} is not one of the {course.steps} steps of the training")
    for stage in course.stages:
        if done < stage.steps:
            break
        done -= stage.steps
    return StagePlace(stage=stage, round=number, done=done)


def stage_learning_rate(place: StagePlace, *, config: JointOptimiserConfig) -> float:
    """Returns the learning rate of one step.

    Args:
      place: result of `stage_place`.
      config: length of the linear increase, and fraction at the end of the stage.

    Examples:
      >>> from sirtjax import train
      >>> config = train.load_joint_training("joint-velocity")
      >>> train.stage_learning_rate(train.stage_place(config.course, 50), config=config.optimiser)
      0.001
    """
    rate, warmup = place.stage.learning_rate, config.warmup_steps
    if place.done < warmup:
        return rate * place.done / warmup
    cosine = 0.5 * (1.0 + math.cos(math.pi * (place.done - warmup) / (place.stage.steps - warmup)))
    return rate * (config.final + (1.0 - config.final) * cosine)


def joint_optimiser(config: JointOptimiserConfig, learning_rate: Scalar) -> optax.GradientTransformation:
    """Returns Adam for one step.

    Args:
      config: length of gradients.
      learning_rate: learning rate of the step; may be traced.
    """
    clip = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    # The learning rate has no state, so that another one may follow.
    step = optax.stateless(lambda updates, _: jax.tree.map(lambda update: -learning_rate * update, updates))
    return optax.chain(*clip, optax.scale_by_adam(), step)


def begin_stage(
    state: JointState, *, cascade: int | None, from_previous: bool, config: JointOptimiserConfig
) -> JointState:
    """Returns the state at the beginning of a stage, with new moments and possibly copied weights.

    Args:
      state: state at the end of the stage before.
      cascade: the only cascade that changes; None for all of them.
      from_previous: copy the weights of the cascade before, except for the output layer, which is set to zero.
      config: optimiser.

    Raises:
      ValueError: there is no cascade before.
    """
    params, average = state.variables["params"], state.average
    if from_previous:
        if not cascade:
            raise ValueError("no cascade comes before this one, whose weights it could begin with")
        params, average = (_copied(tree, cascade) for tree in (params, average))
    moments = joint_optimiser(config, 0.0).init(params)
    if not config.restart_count:
        moments = jax.tree.map(lambda new, old: old if new.ndim == 0 else new, moments, state.optimiser)
    variables = {**state.variables, "params": params}
    return state._replace(variables=variables, average=average, optimiser=moments)


def _copied(tree: dict[str, jax.Array], cascade: int) -> dict[str, jax.Array]:
    own = networks.cascade_of(tree, cascade - 1)
    own["decoder"]["heads"] = jax.tree.map(jnp.zeros_like, own["decoder"]["heads"])
    copied: dict[str, jax.Array] = networks.with_cascade(tree, cascade, own)
    return copied
