"""Training files: TOML to a checked config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sirtjax import networks
from sirtjax.config import Table, preset_names
from sirtjax.train._classes import ClassConfig
from sirtjax.train._config import LogConfig, LossConfig, OptimiserConfig, Recipe, TrainerConfig
from sirtjax.train._data_config import DataConfig
from sirtjax.train._toml_table import checked_table, training_table

FOLDER = "training"
# Keys that hold paths, relative to the training file.
_PATHS = (("data", "path"), ("data", "bank"), ("data", "cache"))


class TrainingConfig(Table):
    """A training file.

    Attributes:
      schema_version: version of the format, 2.
      seed: seed of the random numbers.
      task: task of the model, such as "liver" or "lesions".
      network: `sirtjax.networks` config; in the file its table, or {preset = "name"} with keys to change.
      classes: classes that the network learns. `network.classes` is their number plus one for the background; it is
        their number with `loss.regions`, and 1 also for a single class without background.
      data: source of the samples.
      loss, optimiser, trainer, log: tables described by their classes.
      weights: initial weights instead of random ones: the name or folder of a model, or the folder of a run.
      source: source of the recipe, for the model's card.
    """

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    task: str
    network: networks.NetworkConfig
    classes: Annotated[tuple[ClassConfig, ...], Field(min_length=1)]
    data: DataConfig
    loss: LossConfig
    optimiser: OptimiserConfig
    trainer: TrainerConfig
    log: LogConfig = LogConfig()
    weights: str | None = None
    source: str = ""

    @field_validator("network", mode="before")
    @classmethod
    def _of_preset(cls, value: Any) -> Any:
        """A preset's table with changes."""
        if not isinstance(value, dict) or "preset" not in value:
            return value
        changes = dict(value)
        preset = networks.load_network_preset(str(changes.pop("preset")))
        return {**preset.model_dump(mode="python"), **changes} if changes else preset

    @model_validator(mode="after")
    def _apart(self) -> TrainingConfig:
        values = [value for one in self.classes for value in one.values]
        if len({one.name for one in self.classes}) < len(self.classes):
            raise ValueError("two classes have the same name")
        if len(set(values)) < len(values) and not self.loss.regions:
            raise ValueError("a label value belongs to two classes; that takes loss.regions = true")
        return self

    @model_validator(mode="after")
    def _channels_fit(self) -> TrainingConfig:
        found, count = self.network.classes, len(self.classes)
        if self.loss.regions and found != count:
            raise ValueError(
                f"network.classes is {found} for {count} classes with loss.regions = true; write network.classes = "
                f"{count}"
            )
        # A single channel has a sigmoid and needs no background.
        if not self.loss.regions and found != count + 1 and not found == count == 1:
            remedy = "network.classes = 1 for a sigmoid" if count == 1 else "loss.regions = true if they may overlap"
            raise ValueError(
                f"network.classes is {found} for {count} classes; write network.classes = {count + 1} (background "
                f"first), or {remedy}"
            )
        return self

    @model_validator(mode="after")
    def _weights_fit(self) -> TrainingConfig:
        channels = self.network.classes
        for term in self.loss.terms:
            if term.class_weights is None:
                continue
            if len(term.class_weights) != channels:
                raise ValueError(
                    f"class_weights of {term.kind} are {len(term.class_weights)} numbers for network.classes = "
                    f"{channels}; write one for each"
                )
            skips = term.kind == "soft-dice" and not (term.background or self.loss.regions or channels == 1)
            if not any(term.class_weights[1 if skips else 0 :]):
                remedy = ", or background = true" if skips else ""
                raise ValueError(
                    f"class_weights of {term.kind} give no counted class a weight above 0; write one for a class"
                    f"{' after the background' if skips else ''}{remedy}"
                )
        return self

    def recipe(self) -> Recipe:
        """Returns the settings of the training loop."""
        return Recipe(
            seed=self.seed,
            labels=tuple(one.name for one in self.classes),
            loss=self.loss,
            optimiser=self.optimiser,
            trainer=self.trainer,
            log=self.log,
        )


def list_training_presets() -> tuple[str, ...]:
    """Lists the names of the recipes in `configs/training`."""
    return preset_names(FOLDER)


def load_training(name: str, *, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Reads and checks a training file, with paths relative to its folder.

    Args:
      name: a TOML file, or the name of a recipe that came with the package.
      overrides: "a.b=value" with a TOML value; paths in it are relative to the working folder.

    Raises:
      ConfigError: the file is missing, not TOML, or has a key or value it should not have; names every one.

    Examples:
      >>> from sirtjax import train
      >>> config = train.load_training(train.list_training_presets()[0], overrides=["trainer.epochs=3"])
      >>> config.trainer.epochs
      3
    """
    table = training_table(name, folder=FOLDER, paths=_PATHS, overrides=overrides)
    return training_from_dict(table, source=name)


def training_from_dict(table: Mapping[str, object], *, source: str) -> TrainingConfig:
    """Checks a training file in the form of nested tables.

    Raises:
      ConfigError: a key or value is missing, unknown or contradictory; names every one.
    """
    return checked_table(TrainingConfig, table, source=source, kinds=("files", "synthetic"))
