"""The sources of pairs for registration networks, as tables of a training file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sirtjax.config import Table
from sirtjax.synthesis import PairConfig, SynthesisConfig, load_pair_preset
from sirtjax.train._config import Count
from sirtjax.train._data_config import synthesis_of_table

Fraction = Annotated[float, Field(ge=0, le=1)]
GridSize = Annotated[int, Field(ge=8, le=256, multiple_of=2)]


class StartErrors(Table):
    """Standard deviations of the errors of the affine alignment that a network starts from.

    Attributes:
      translation_mm: translation along each axis.
      rotation_deg: rotation about each axis, about the centre of the liver.
      scale: relative change of size along each axis; shears have half of it.
      large_fraction: fraction of pairs with larger errors.
      large_factor: factor on the errors of these pairs.
    """

    translation_mm: Annotated[float, Field(ge=0, le=30)] = 3.0
    rotation_deg: Annotated[float, Field(ge=0, le=20)] = 2.5
    scale: Annotated[float, Field(ge=0, le=0.1)] = 0.02
    large_fraction: Fraction = 0.25
    large_factor: Annotated[float, Field(ge=1, le=5)] = 2.5


class GuideErrors(Table):
    """Errors of the livers that a guided network is given.

    Attributes:
      reference_error_mm: bound of the error of the outline in the reference image, as `synthesis.drawn_liver` has it.
      floating_error_mm: bound of the error of the outline in the floating image.
      missing: fraction of pairs without guides. Of the others, half this fraction lack one of the two.
    """

    reference_error_mm: Annotated[float, Field(ge=0, le=20)] = 6.0
    floating_error_mm: Annotated[float, Field(ge=0, le=20)] = 3.0
    missing: Fraction = 0.2


EXACT_START = StartErrors(translation_mm=0.0, rotation_deg=0.0, scale=0.0)
EXACT_GUIDES = GuideErrors(reference_error_mm=0.0, floating_error_mm=0.0, missing=0.0)


class RandomPairsConfig(Table):
    """Digital phantoms in two poses, drawn on the training device (`synthesis.random_pair`).

    Attributes:
      kind: type of the data, "random".
      bank: file of liver shapes (`sirtjax.synthesis.save_shape_bank`); its held-back shapes are for validation.
      synthesis: preset of configs/synthesis by {preset = "name"} with keys to change, or a whole table.
      pairs: preset of configs/pairs by {preset = "name"} with keys to change, or a whole table.
      start: errors of the alignment before the network.
      guides: errors of the livers that a guided network is given.
      two_patients: fraction of steps with images of two patients, whose displacement is not known.
      uses: number of times that each pair is used.
      window: number of pairs that are kept; each is used once, then all of them again in random order.
      validation_pairs: number of pairs of held-back shapes in a validation.
    """

    kind: Literal["random"]
    bank: Path
    synthesis: SynthesisConfig
    pairs: PairConfig = Field(default_factory=lambda: load_pair_preset("spect-ct"))
    start: StartErrors = StartErrors()
    guides: GuideErrors = GuideErrors()
    two_patients: Fraction = 0.0
    uses: Count = 3
    window: Count = 32
    validation_pairs: Count = 12

    @field_validator("synthesis", mode="before")
    @classmethod
    def _of_preset(cls, value: Any) -> Any:
        return synthesis_of_table(value)

    @field_validator("pairs", mode="before")
    @classmethod
    def _of_pair_preset(cls, value: Any) -> Any:
        """The config of the poses from its table, or from a preset with changes."""
        if not isinstance(value, dict) or "preset" not in value:
            return value
        changes = dict(value)
        table = load_pair_preset(str(changes.pop("preset"))).model_dump(mode="python", by_alias=True)
        for key, new in changes.items():
            table[key] = {**table[key], **new} if isinstance(new, dict) and isinstance(table.get(key), dict) else new
        return table


class FilePairsConfig(Table):
    """Pairs of images on the disk, whose displacement is not known.

    The grid of each side is centred on its liver, so that the centres of both livers coincide at the start.

    Attributes:
      kind: type of the data, "files".
      path: CSV table with the columns reference and floating. Optional: reference_liver, floating_liver,
        reference_lesions, reference_modality, floating_modality (CT or MR) and split (train or validation).
      shape: voxels of the network's grid, even numbers.
      spacing_mm: distance between its voxels along each axis.
      start: random errors added to the start; none by default.
      guides: random errors of the livers that a guided network is given; none by default.
      two_patients: fraction of steps with the reference image of one row and the floating image of another.
      validation: fraction of the groups of rows without a stated split that is used for validation; rows with an
        image in common, directly or by other rows, are one group.
    """

    kind: Literal["files"]
    path: Path
    shape: tuple[GridSize, GridSize, GridSize] = (80, 64, 64)
    spacing_mm: Annotated[float, Field(ge=2, le=10)] = 5.0
    start: StartErrors = EXACT_START
    guides: GuideErrors = EXACT_GUIDES
    two_patients: Fraction = 0.0
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.2


class MixedPairsConfig(Table):
    """Random pairs, with pairs of images on the disk between them at even intervals.

    Attributes:
      kind: type of the data, "mix".
      fraction: fraction of pairs from files.
      random, files: the two sources, on equal grids.
    """

    kind: Literal["mix"]
    fraction: Annotated[float, Field(gt=0, lt=1)]
    random: RandomPairsConfig
    files: FilePairsConfig

    @model_validator(mode="after")
    def _equal_grids(self) -> Self:
        one = (self.random.synthesis.shape, self.random.synthesis.spacing_mm)
        two = (self.files.shape, self.files.spacing_mm)
        if one != two:
            raise ValueError(
                f"random pairs have a grid of {one[0]} voxels of {one[1]:g} mm, pairs of files one of {two[0]} "
                f"voxels of {two[1]:g} mm; set the same shape and spacing_mm"
            )
        return self


PairsConfig = Annotated[RandomPairsConfig | FilePairsConfig | MixedPairsConfig, Field(discriminator="kind")]
