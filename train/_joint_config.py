"""The tables of a training file for a registration network, except for network, loss and data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sirtjax.config import Table
from sirtjax.train._config import Count, Fraction, Positive

All = Literal["all"]


class StageConfig(Table):
    """A part of the training in which the same cascades change.

    Attributes:
      cascade: number of the only cascade that changes, from 0; earlier ones are frozen, later ones not used. Or "all"
        for the mean loss of all cascades.
      steps: number of updates.
      learning_rate: largest learning rate.
      begin_from_previous: begin with the weights of the cascade before this one and with an output layer of zeros, in
        the first round.
    """

    cascade: Annotated[int, Field(ge=0)] | All
    steps: Count
    learning_rate: Positive
    begin_from_previous: bool = False


class CourseConfig(Table):
    """The course of the training: stages in a row, which may be repeated.

    Attributes:
      stages: the stages of one round.
      rounds: number of rounds.
    """

    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)]
    rounds: Count = 1

    @property
    def steps(self) -> int:
        """Number of updates of the whole training."""
        return self.rounds * sum(stage.steps for stage in self.stages)


class JointOptimiserConfig(Table):
    """Adam, whose moments start from zero in each stage.

    Attributes:
      clip_norm: norm to which longer gradients are scaled down; None for no limit.
      ema_decay: decay per step of the running mean of the weights, which is validated and saved.
      warmup_steps: number of steps in which the rate increases linearly from zero, in each stage.
      final: fraction of the learning rate at the end of each stage, after half a cosine; 1 for a constant rate.
      restart_count: whether Adam's bias correction also starts again in each stage. Without it, the first updates of a
        later stage are up to 6.6 times longer.
    """

    clip_norm: Positive | None = 1.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.995
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    final: Fraction = 1.0
    restart_count: bool = True


class JointTrainerConfig(Table):
    """The batch, and the intervals of validation and saving.

    Attributes:
      batch_size: number of pairs of an update, on all devices together.
      validate_every_steps: interval between validations in steps, in addition to the end of the training.
      save_every_steps: interval between saved states in steps, in addition to each validation; None for only those.
    """

    batch_size: Count = 1
    validate_every_steps: Count = 250
    save_every_steps: Count | None = None
