from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sirtjax.config import Table
from sirtjax.preprocess import AugmentConfig, FixedPreprocessing, OrganMask
from sirtjax.synthesis import SynthesisConfig, config_from_dict, load_preset
from sirtjax.train._config import Count


def synthesis_of_table(value: object) -> SynthesisConfig:
    """Returns the config of random samples from its table, or from {preset = "name"} with keys to change.

    Raises:
      ValueError: the value is not a table.
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected a table, got {value!r}")
    changes = dict(value)
    written = changes.pop("name", "default")  # of a table that a run wrote down
    name = str(changes.pop("preset", written))
    table = load_preset(name).model_dump(mode="python", by_alias=True)
    table.pop("name")
    for key, new in changes.items():
        table[key] = {**table[key], **new} if isinstance(new, dict) and isinstance(table.get(key), dict) else new
    return config_from_dict(table, name=name)


class SyntheticConfig(Table):
    """Digital phantoms, generated in each step on the training device (`synthesis.random_sample`).

    Attributes:
      kind: type of the data, "synthetic".
      bank: file of liver shapes (`sirtjax.synthesis.save_shape_bank`); its held-back shapes are for validation.
      synthesis: preset of configs/synthesis by {preset = "name"} with keys to change, or a whole table.
      validation_cases: number of samples of held-back shapes in a validation.
      patch_shape: voxels of the network's input, a random patch of the sample; None for the whole sample.
      foreground: probability that the middle of a patch is a voxel of a class.
    """

    kind: Literal["synthetic"]
    bank: Path
    synthesis: SynthesisConfig = Field(default_factory=lambda: load_preset("default"))
    validation_cases: Count = 64
    patch_shape: tuple[Count, Count, Count] | None = None
    foreground: Annotated[float, Field(ge=0, le=1)] = 0.0

    @field_validator("synthesis", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return synthesis_of_table(value)


class LiverMask(Table):
    """Restricts training to the liver: the image is masked beyond the margin and cropped to its box.

    Attributes:
      values: label values of the liver, of lesions in it among them.
      margin_mm: dilation of the liver.
    """

    values: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1)]
    margin_mm: Annotated[float, Field(ge=0)]


class FilesConfig(Table):
    """Images and label maps on the disk.

    Attributes:
      kind: type of the data, "files".
      path: dataset folder of nnU-Net (raw) or of the Medical Segmentation Decathlon, or a CSV table of cases.
      preprocessing: axes, spacing and intensity scales, same as in a model.
      patch_shape: voxels of the network's input; whole images if it is as large as they are.
      foreground: probability that the middle of a patch is a voxel of a class.
      validation: fraction of the cases without a stated split that is used for validation.
      augmentation: variation of the images.
      mask: liver mask that restricts the image; None for the full image.
      median: whether to apply a median filter of 3 x 3 x 3 voxels.
      overlap: overlap of the tiles in validation, as a fraction.
      cache: folder of the prepared cases. Default: cache folder of the user.
      threads: number of threads that read.
    """

    kind: Literal["files"]
    path: Path
    preprocessing: FixedPreprocessing
    patch_shape: tuple[Count, Count, Count]
    foreground: Annotated[float, Field(ge=0, le=1)] = 0.5
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.2
    augmentation: AugmentConfig = AugmentConfig()
    mask: LiverMask | None = None
    median: bool = False
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    cache: Path | None = None
    threads: Count = 4

    @model_validator(mode="after")
    def _one_output(self) -> FilesConfig:
        if len({(scale.output, scale.unseen) for scale in self.preprocessing.intensities}) > 1:
            raise ValueError(
                "all modalities must be mapped to the same `output` range and have the same value outside: "
                '`organ` all or none of them, or `organ.outside = "low"`'
            )
        return self

    @model_validator(mode="after")
    def _organ_given(self) -> FilesConfig:
        if self.mask is None and any(scale.organ is not None for scale in self.preprocessing.intensities):
            raise ValueError("intensities around the organ's median (`organ`) need the organ: give `mask`")
        return self

    @model_validator(mode="after")
    def _said_once(self) -> FilesConfig:
        if self.preprocessing.median or self.preprocessing.mask is not None:
            raise ValueError("`median` and `mask` belong to `data`, not to `data.preprocessing`")
        return self

    @property
    def prepared(self) -> FixedPreprocessing:
        """The preprocessing of an image before it is varied and clipped, the same as in a model of the run."""
        mask = None if self.mask is None else OrganMask(margin_mm=self.mask.margin_mm)
        return self.preprocessing.model_copy(update={"median": self.median, "mask": mask})

    @property
    def unseen(self) -> float:
        """The network's input outside the image."""
        return self.preprocessing.intensities[0].unseen

    @property
    def output(self) -> tuple[float, float]:
        """The network's range of intensities."""
        return self.preprocessing.intensities[0].output


DataConfig = Annotated[SyntheticConfig | FilesConfig, Field(discriminator="kind")]
