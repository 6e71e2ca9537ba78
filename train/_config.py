from __future__ import annotations

from typing import Annotated, Literal

from jaxtyping import PyTree
from pydantic import BaseModel, Field, model_validator

from sirtjax.config import Table

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LossTerm(Table):
    """One loss and its weight.

    Attributes:
      kind: name of a loss of `sirtjax.losses`.
      weight: factor.
      gamma: parameter of the focal loss.
      background, whole_batch, smooth: parameters of soft Dice.
      class_weights: weight of each class, background first. Default: equal.
    """

    kind: Literal["soft-dice", "focal", "cross-entropy"]
    weight: Positive = 1.0
    gamma: Annotated[float, Field(ge=0)] = 2.0
    background: bool = False
    whole_batch: bool = False
    smooth: Positive = 1.0
    class_weights: Annotated[tuple[NotNegative, ...], Field(min_length=1)] | None = None


class LossConfig(Table):
    """The training loss: a sum of losses, over one or several outputs of the network.

    Attributes:
      terms: the losses.
      regions: whether channels may overlap (a sigmoid each), as always with one channel.
      deep_supervision: weights of the outputs, finest first; scaled to a sum of 1. One number for a network of
        one output.
    """

    terms: Annotated[tuple[LossTerm, ...], Field(min_length=1)]
    regions: bool = False
    deep_supervision: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)


class ScheduleConfig(Table):
    """Schedule of the learning rate.

    Attributes:
      kind: constant; "plateau": times `factor` whenever the validation has not improved for more than `patience`
        validations; "steps": times `factor` every `every_epochs`; "cosine": down to `final` at the last step.
      factor: factor on the learning rate, for "plateau" and "steps".
      patience: number of validations without improvement before the factor applies.
      every_epochs: interval of "steps" in epochs.
      final: fraction of the first value at the end of the cosine, and smallest fraction for plateaus.
      warmup_steps: number of steps in which the rate increases linearly to its first value.
    """

    kind: Literal["constant", "plateau", "steps", "cosine"] = "constant"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Annotated[int, Field(ge=0)] = 0
    every_epochs: Count | None = None
    final: Fraction = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _complete(self) -> ScheduleConfig:
        if (self.kind == "steps") != (self.every_epochs is not None):
            raise ValueError("`every_epochs` belongs to kind = 'steps', and is needed there")
        return self


class OptimiserConfig(Table):
    """The optimiser.

    Attributes:
      kind: name of the optimiser.
      learning_rate: first learning rate.
      weight_decay: fraction of each weight of two or more axes that AdamW subtracts in a step of rate 1.
      momentum: momentum of SGD.
      nesterov: use Nesterov momentum in SGD.
      clip_norm: norm to which longer gradients are scaled down; None for no limit.
      ema_decay: decay per step of a running mean of the weights, which is then validated and saved; None for no running
        mean.
    """

    kind: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    clip_norm: Positive | None = None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    schedule: ScheduleConfig = ScheduleConfig()

    @model_validator(mode="after")
    def _fits(self) -> OptimiserConfig:
        if self.weight_decay and self.kind != "adamw":
            raise ValueError("`weight_decay` belongs to kind = 'adamw'")
        if (self.momentum or self.nesterov) and self.kind != "sgd":
            raise ValueError("`momentum` and `nesterov` belong to kind = 'sgd'")
        return self


class TrainerConfig(Table):
    """The length of the training and the intervals of validation and saving.

    Attributes:
      epochs: number of epochs.
      steps_per_epoch: number of updates in an epoch. Default for files: every training case once.
      batch_size: number of samples of an update, on all devices together.
      accumulation_steps: number of parts of an update's batch that are processed one after the other, to save memory.
      precision: precision of the network's computation; weights, losses and updates stay in float32.
      validate_every_epochs: interval between validations in epochs.
      save_every_steps: interval between saved states in steps, in addition to each validation; None for only those.
      early_stopping: number of validations without improvement after which training ends; None for no limit.
    """

    epochs: Count
    steps_per_epoch: Count | None = None
    batch_size: Count = 1
    accumulation_steps: Count = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every_epochs: Count = 1
    save_every_steps: Count | None = None
    early_stopping: Count | None = None

    @model_validator(mode="after")
    def _divides(self) -> TrainerConfig:
        if self.batch_size % self.accumulation_steps:
            raise ValueError(
                f"`batch_size` {self.batch_size} is not a multiple of `accumulation_steps` {self.accumulation_steps}"
            )
        return self


class LogConfig(Table):
    """The log of a training.

    Attributes:
      every_steps: interval in steps at which the rows of log.csv are written and progress is reported.
      tensorboard: event files for TensorBoard in the folder `tensorboard`, too.
    """

    every_steps: Count = 10
    tensorboard: bool = True


class Recipe(Table):
    """The input of the training loop: everything except the network and the data.

    Attributes:
      seed: seed of the first weights, of the samples and of dropout.
      labels: names of the classes after the background (or of the channels, if they may overlap).
      loss, optimiser, trainer, log: tables described by their classes.
    """

    seed: int = 0
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    loss: LossConfig
    optimiser: OptimiserConfig
    trainer: TrainerConfig
    log: LogConfig = LogConfig()


def plain(config: BaseModel) -> dict[str, PyTree]:
    """Returns a config as JSON-compatible values, including every default."""
    return config.model_dump(mode="json", by_alias=True)
