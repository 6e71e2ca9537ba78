"""Training files of registration networks: TOML to a checked config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sirtjax import synthesis
from sirtjax.config import Table, preset_names
from sirtjax.networks import CascadeConfig
from sirtjax.preprocess import FixedPreprocessing
from sirtjax.train._config import LogConfig
from sirtjax.train._joint_config import CourseConfig, JointOptimiserConfig, JointTrainerConfig
from sirtjax.train._joint_loss import JointLossConfig
from sirtjax.train._pairs_config import FilePairsConfig, MixedPairsConfig, PairsConfig, RandomPairsConfig
from sirtjax.train._toml_table import checked_table, training_table

FOLDER = "joint"
# Keys that hold paths, relative to the training file.
_PATHS = (("data", "path"), ("data", "bank"), ("data", "files", "path"), ("data", "random", "bank"))
# A network takes an image, or an image and a guide.
_MOST_INPUTS = 2


class JointTrainingConfig(Table):
    """A training file of a registration network.

    Attributes:
      schema_version: version of the format, 1.
      seed: seed of the random numbers.
      task: type of the network, "registration".
      network: the cascades.
      data: source of the pairs.
      loss, optimiser, course, trainer, log: tables described by their classes.
      source: source of the recipe, for the model's description.
      weights: initial weights instead of random ones: the name or folder of a model, or the folder of a run.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    seed: Annotated[int, Field(ge=0, lt=2**31 - 1)] = 0
    task: Literal["registration"]
    network: CascadeConfig
    data: PairsConfig
    loss: JointLossConfig
    optimiser: JointOptimiserConfig = JointOptimiserConfig()
    course: CourseConfig
    trainer: JointTrainerConfig = JointTrainerConfig()
    log: LogConfig = LogConfig()
    source: str = ""
    weights: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.network.inputs > _MOST_INPUTS:
            raise ValueError(f"network.inputs is {self.network.inputs}; expected 1 (image), or 2 (image and liver)")
        for number, stage in enumerate(self.course.stages):
            where = f"course.stages.{number}"
            if stage.cascade != "all" and stage.cascade >= self.network.cascades:
                raise ValueError(
                    f"{where}: there is no cascade {stage.cascade}; the last of {self.network.cascades} is "
                    f"{self.network.cascades - 1}"
                )
            if stage.begin_from_previous and stage.cascade in (0, "all"):
                raise ValueError(f"{where}: begin_from_previous needs one cascade after the first")
            if stage.steps <= self.optimiser.warmup_steps:
                raise ValueError(f"{where}: {stage.steps} steps are not more than optimiser.warmup_steps")
        if bool(self.loss.segmentation) != self.network.segmentation:
            raise ValueError("network.segmentation and a weight loss.segmentation go together; set both or neither")
        if isinstance(self.data, FilePairsConfig) and self.loss.displacement:
            raise ValueError("the displacement between images of files is not known; set loss.displacement = 0")
        return self

    @property
    def grid(self) -> tuple[tuple[int, int, int], float]:
        """Voxels and voxel size (mm) of the network's grid."""
        match self.data:
            case FilePairsConfig() as files:
                return files.shape, files.spacing_mm
            case RandomPairsConfig() as random:
                return random.synthesis.shape, random.synthesis.spacing_mm
            case MixedPairsConfig() as mixed:
                return mixed.files.shape, mixed.files.spacing_mm

    @property
    def preprocessing(self) -> FixedPreprocessing:
        """Scales of intensities and spacing of the network's images."""
        if isinstance(self.data, RandomPairsConfig):
            return synthesis.learned_preprocessing(self.data.synthesis)
        spacing_mm = self.grid[1]
        return synthesis.preprocessing_for(
            synthesis.load_preset("default").model_copy(update={"spacing_mm": spacing_mm})
        )


def list_joint_training_presets() -> tuple[str, ...]:
    """Lists the names of the recipes in `configs/joint`."""
    return preset_names(FOLDER)


def load_joint_training(name: str, *, overrides: Sequence[str] = ()) -> JointTrainingConfig:
    """Reads and checks a training file of a registration network, with paths relative to its folder.

    Args:
      name: a TOML file, or the name of a recipe that came with the package.
      overrides: "a.b=value" with a TOML value; paths in it are relative to the working folder.

    Raises:
      ConfigError: the file is missing, not TOML, or has a key or value it should not have; names every one.

    Examples:
      >>> from sirtjax import train
      >>> config = train.load_joint_training("joint-velocity", overrides=["course.rounds=2"])
      >>> config.course.steps  # two rounds of three stages
      10000
    """
    table = training_table(name, folder=FOLDER, paths=_PATHS, overrides=overrides)
    return joint_training_from_dict(table, source=name)


def joint_training_from_dict(table: Mapping[str, object], *, source: str) -> JointTrainingConfig:
    """Checks a training file of a registration network in the form of nested tables.

    Raises:
      ConfigError: a key or value is missing, unknown or contradictory; names every one.
    """
    return checked_table(JointTrainingConfig, table, source=source, kinds=("files", "random", "mix"))
