from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from sirtjax import config
from sirtjax.config import IntervalTable
from sirtjax.phantom._tissues import MAX_LESIONS

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=8, le=1024)]
Shape = tuple[Size, Size, Size]
Spacing = tuple[Positive, Positive, Positive]
Interval = tuple[Positive, Positive]


class LesionConfig(IntervalTable):
    """The number and size of lesions, and the number of necrotic ones."""

    count: tuple[Annotated[int, Field(ge=0, le=MAX_LESIONS)], Annotated[int, Field(ge=0, le=MAX_LESIONS)]]
    volume_ml: tuple[Annotated[float, Field(ge=0.2)], Annotated[float, Field(le=150.0)]]
    necrotic_above_ml: Positive
    necrotic_fraction: Annotated[float, Field(ge=0, le=1)]
    contrast_hu: tuple[float, float]


class MotionConfig(IntervalTable):
    """The differences of each later session from the diagnostic CT."""

    breathing_shift_mm: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(le=30)]]
    rotation_deg: Annotated[float, Field(ge=0, le=5)]
    translation_mm: Annotated[float, Field(ge=0, le=20)]
    deformation_mm: Annotated[float, Field(ge=0, le=5)]


class GridConfig(IntervalTable):
    """A voxel grid around the patient."""

    shape: Shape
    spacing_mm: Spacing


class CtConfig(GridConfig):
    """A CT and the standard deviation of its noise."""

    noise_hu: Annotated[float, Field(ge=0)]


class MrConfig(GridConfig):
    """A T1-weighted MR image: its tilt against the scanner's axes, its noise and its bias field."""

    tilt_deg: float
    noise: Annotated[float, Field(ge=0)]
    bias: Annotated[float, Field(ge=0, lt=1)]


class SpectConfig(GridConfig):
    """A SPECT: one Gaussian resolution and the counts in the whole image."""

    fwhm_mm: Positive
    counts: Positive


class MaaConfig(IntervalTable):
    """The 99mTc-MAA and its distribution; values are sampled uniformly from the intervals."""

    activity_mbq: Positive
    right_to_left: Interval
    tumour_to_normal: Interval
    necrosis_to_normal: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
    lung_shunt_fraction: tuple[Fraction, Fraction]
    extrahepatic_fraction: tuple[Fraction, Fraction]


class PlanarConfig(IntervalTable):
    """The anterior and posterior views."""

    fwhm_mm: Positive
    counts: Positive
    attenuation_corrected: bool


class PetConfig(GridConfig):
    """A PET: resolution, injected activity (at injection), time of the scan and noise."""

    fwhm_mm: Positive
    activity_mbq: Positive
    delay_h: Annotated[float, Field(ge=0)]
    half_life_h: Positive
    counts_per_bq: Positive


class Y90Config(PetConfig):
    """A 90Y PET after treatment; `agreement` is the spread of each lesion's uptake about the MAA's."""

    agreement: Annotated[float, Field(ge=0, le=0.5)]


class FdgConfig(PetConfig):
    """An FDG PET with the SUV of the liver and of the tumours."""

    liver_suv: Interval
    tumour_suv: Interval


class PhantomConfig(IntervalTable):
    """A preset of the digital phantom: its lesions, its motion and its acquisitions."""

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    name: str
    lesions: LesionConfig
    motion: MotionConfig
    diagnostic_ct: CtConfig
    spect_ct: CtConfig
    y90_ct: CtConfig
    mr: MrConfig
    spect: SpectConfig
    maa: MaaConfig
    planar: PlanarConfig
    y90_pet: Y90Config
    fdg_pet: FdgConfig


def list_presets() -> tuple[str, ...]:
    """Lists the names of the presets in `configs/phantom`."""
    return config.preset_names("phantom")


def load_preset(name: str) -> PhantomConfig:
    """Returns a preset by name.

    Raises:
      ConfigError: there is no preset of this name.

    Examples:
      >>> from sirtjax import phantom
      >>> phantom.load_preset("small").name, "many-lesions" in phantom.list_presets()
      ('small', True)
    """
    return config.load_preset(PhantomConfig, "phantom", name)


def config_from_dict(table: Mapping[str, object], *, name: str) -> PhantomConfig:
    """Validates a preset in the form of nested tables.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names every one.
    """
    return config.checked_preset(PhantomConfig, table, folder="phantom", name=name)
