from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sirtjax import config
from sirtjax.config import Table
from sirtjax.errors import ConfigError
from sirtjax.parsing import ParseError, parse_toml

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Nodes = Annotated[int, Field(ge=24, le=400)]
Controls = Annotated[int, Field(ge=4, le=100)]
Stride = Annotated[int, Field(ge=1, le=8)]
Samples = Annotated[int, Field(ge=256)]
Steps = Annotated[int, Field(ge=1, le=2000)]
Similarity = Literal[
    "mutual_information", "normalised_mutual_information", "correlation_ratio", "ssd", "lncc", "descriptor"
]


class LatticeTable(Table):
    """The working lattice of every registration: a fixed number of nodes, stretched over the region.

    `region` is the covered region: the liver mask or everything that both images show, plus `margin_mm`. Nodes are
    `min_spacing_mm` apart, or further where the region is larger. Over the fraction `edge_taper` of each side the
    deformation decreases to zero, so that it continues as the affine map outside.
    """

    shape: tuple[
        Annotated[int, Field(ge=24, le=400)], Annotated[int, Field(ge=24, le=400)], Annotated[int, Field(ge=24, le=400)]
    ]
    min_spacing_mm: Positive
    region: Literal["liver", "images"]
    margin_mm: NonNegative
    edge_taper: Annotated[float, Field(ge=0, lt=0.5)]


class IntensityTable(Table):
    """The range of intensities: a window for images in HU, percentiles for any other.

    `tails` are the fractions of the scale reserved for values below the window, down to -1000 HU, and above it.
    Without a lower tail the surface of the lung appears where air is a fifth of a voxel, not a half.

    `bias_correction` first removes the bias field of MR images.
    """

    window_hu: tuple[Finite, Finite]
    tails: tuple[Annotated[float, Field(ge=0, lt=0.5)], Annotated[float, Field(ge=0, lt=0.5)]] = (0.0, 0.0)
    bias_correction: bool = False
    percentiles: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]]

    @model_validator(mode="after")
    def _ordered(self) -> IntensityTable:
        for name, (low, high) in (("window_hu", self.window_hu), ("percentiles", self.percentiles)):
            if not low < high:
                raise ValueError(f"`{name}` must go from low to high, got {low}, {high}")
        return self


class AffineLevel(Table):
    """One resolution of the affine stage: blur of both sides and size of the first steps."""

    blur_mm: NonNegative
    step_mm: Positive


class AffineTable(Table):
    """The affine stage: what it matches, and from coarse to fine how.

    Each of the `steps` of a level looks at `samples` nodes of another of the sample_stride^3 interleaved sub-lattices.
    `stiffness` is the penalty on the square of the map's strain, added to the similarity. Without it, images
    can make it stretch until only background overlaps.
    """

    model: Literal["none", "rigid", "similarity", "affine"]
    match: Literal["masks", "image", "both"]
    stiffness: NonNegative = 0.0
    sample_stride: Stride
    samples: Samples
    steps: Steps
    levels: Annotated[tuple[AffineLevel, ...], Field(min_length=1)]


class DeformableLevel(Table):
    """One resolution of the deformation: B-spline control values added to those of earlier levels."""

    control_points: tuple[Controls, Controls, Controls]
    blur_mm: NonNegative
    mask_blur_mm: NonNegative
    step_mm: Positive


class DeformableTable(Table):
    """The deformation: a displacement, or the exponential of a stationary velocity (invertible).

    Sampling is as in the affine stage; a `sample_stride` of 1 with as many `samples` as the region has nodes is full
    sampling. With 0 `steps` the deformation is that of the start: a field, or the prediction of a network.
    """

    model: Literal["none", "displacement", "velocity"]
    sample_stride: Stride
    samples: Samples
    steps: Annotated[int, Field(ge=0, le=2000)]
    levels: Annotated[tuple[DeformableLevel, ...], Field(min_length=1)]


class SimilarityTable(Table):
    """The comparison of images and its region: everywhere, the body, or the dilated liver mask.

    The liver mask of the guidance is dilated by `margin_mm`.

    `interpolation` "cubic" reads the floating side through B-splines, at several times the cost: the objective then
    has second derivatives, which derivatives of a registration need.
    """

    kind: Similarity
    bins: Annotated[int, Field(ge=8, le=256)]
    region: Literal["liver", "body", "everywhere"]
    margin_mm: Annotated[float, Field(ge=0, le=200)] = 0.0
    interpolation: Literal["linear", "cubic"] = "linear"


class GuidanceTable(Table):
    """The masks that guide: none, the liver, or the liver and its landmarks (lesions, vessels, clips).

    They are compared within `margin_mm` of the reference's liver.
    """

    masks: Literal["none", "liver", "liver and landmarks"]
    margin_mm: NonNegative = 15.0


class NetworkTable(Table):
    """A network whose displacement is the start of the deformable stage.

    `model` is the name of a registration network that came with the package, or the folder of one. Liver masks of the
    images, if there are any, guide the network even where they do not guide the optimisation.
    """

    model: str


class WeightsTable(Table):
    """The weights of w_I L_I + w_S L_S + L_R; traced, so that a sweep over them compiles once."""

    image: NonNegative
    masks: NonNegative
    landmarks: NonNegative
    regularisation: NonNegative
    folding: NonNegative
    volume: NonNegative


class RegularisationTable(Table):
    """L_R: its kind, the springs' neighbours, and the rigidity of the liver against its surroundings."""

    kind: Literal["spring", "bending", "diffusion"]
    stride: Stride
    neighbours: Literal[6, 18, 26] = 18
    liver_rigidity: Positive = 1.0
    outside_rigidity: Positive = 1.0


class RegistrationConfig(Table):
    """The settings of a registration: a preset of configs/registration, or one like it."""

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    name: str
    description: str
    lattice: LatticeTable
    intensity: IntensityTable
    guidance: GuidanceTable
    similarity: SimilarityTable
    affine: AffineTable
    deformable: DeformableTable
    weights: WeightsTable
    regularisation: RegularisationTable
    network: NetworkTable | None = None

    @model_validator(mode="after")
    def _consistent(self) -> RegistrationConfig:
        guided = self.guidance.masks != "none"
        if not guided and (self.lattice.region == "liver" or self.similarity.region == "liver"):
            raise ValueError(
                'without guidance there is no liver mask: lattice.region must be "images" and similarity.region '
                '"body" or "everywhere"'
            )

        if not guided and self.affine.match != "image" and self.affine.model != "none":
            raise ValueError('without guidance affine.match must be "image"')
        if self.network is not None and self.deformable.model != "displacement":
            raise ValueError('with a network deformable.model must be "displacement"')
        for stride in (self.affine.sample_stride, self.deformable.sample_stride, self.regularisation.stride):
            if any(n % stride for n in self.lattice.shape):
                raise ValueError(f"stride {stride} does not divide the lattice {self.lattice.shape}")
        return self

    def structure(self) -> RegistrationConfig:
        """Returns this preset with neutral name and weights: the key of a compiled program."""
        neutral = WeightsTable(**dict.fromkeys(WeightsTable.model_fields, 0.0))
        return self.model_copy(update={"weights": neutral, "name": "", "description": "", "network": None})


def list_presets() -> tuple[str, ...]:
    """Returns the names of the presets in `configs/registration`."""
    return config.preset_names("registration")


def load_preset(name: str) -> RegistrationConfig:
    """Returns a preset by its name.

    Raises:
      ConfigError: there is no preset of this name.

    Examples:
      >>> from sirtjax import registration
      >>> registration.load_preset("cnn").name, "image" in registration.list_presets()
      ('cnn', True)
    """
    return config.load_preset(RegistrationConfig, "registration", name)


def config_from_dict(table: Mapping[str, object], *, name: str) -> RegistrationConfig:
    """Checks a preset from nested tables.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names every one.
    """
    return config.checked_preset(RegistrationConfig, table, folder="registration", name=name)


def apply_overrides(config: RegistrationConfig, settings: Sequence[str]) -> RegistrationConfig:
    """Returns a preset with some of its values replaced, each as `table.key=value` in TOML.

    Raises:
      ConfigError: a setting is not of that form, names no key of the preset, or its value is not allowed.

    Examples:
      >>> from sirtjax import registration
      >>> config = registration.apply_overrides(registration.load_preset("cnn"), ["weights.image=0.5"])
      >>> config.weights.image
      0.5
    """
    table = config.model_dump(mode="python", by_alias=True)
    table.pop("name")
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.strip().split(".")
        at: Any = table
        for part in path[:-1]:
            at = at.get(part) if isinstance(at, dict) else None
        if not equals or not isinstance(at, dict) or path[-1] not in at:
            raise ConfigError(f"--set {setting}: expected a key of the preset, such as weights.image=0.5")
        try:
            value = parse_toml(f"value = {text}")["value"]
        except ParseError:
            value = text.strip()  # a word without quotes
        at[path[-1]] = value
    return config_from_dict(table, name=config.name)
