from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sirtjax import config
from sirtjax.config import IntervalTable

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Largest contrast between lesions and the liver on CT.
LARGEST_CONTRAST_HU = 80.0
# The fields at half the resolution need an even number of voxels.
Size = Annotated[int, Field(ge=16, le=256, multiple_of=2)]


class ModalityShares(IntervalTable):
    """The relative weights of CT-like, T1-like and wholly random intensities."""

    ct: NotNegative
    mr: NotNegative
    random: NotNegative

    @model_validator(mode="after")
    def _some(self) -> ModalityShares:
        if self.ct + self.mr + self.random <= 0:
            raise ValueError("at least one of ct, mr and random must be above 0")
        return self


class DeformationConfig(IntervalTable):
    """The largest differences between a patient and the sampled anatomy.

    `scale`, `shear` and the angles are bounds of uniform draws; `coarse_mm` and `fine_mm` bound the standard
    deviation of smooth displacement fields with knots about 70 mm and 30 mm apart.
    """

    scale: Annotated[float, Field(ge=0, le=0.3)]
    shear: Annotated[float, Field(ge=0, le=0.3)]
    rotation_deg: Annotated[float, Field(ge=0, le=45)]
    coarse_mm: Annotated[float, Field(ge=0, le=15)]
    fine_mm: Annotated[float, Field(ge=0, le=4)]


class ViewShares(IntervalTable):
    """Fields of view, as fractions of all samples; the rest shows the whole liver with its surroundings.

    `far` looks at another part of the body, `anywhere` moves the grid along the body without regard to the liver,
    `cut` ends the scan inside the liver, above or below; `whole_grid` is the fraction of the rest whose scan fills
    the grid.
    """

    far: Fraction
    anywhere: Fraction
    cut: Fraction
    whole_grid: Fraction


class InsideLiver(IntervalTable):
    """Samples of only the liver, for a lesion network: around a position in it, everything else excluded.

    Attributes:
      margin_mm: distance beyond the liver that is included.
      outline_mm: upper bound of the standard deviation between the outline of the crop and the liver's outline.
      reach_hu: distance from the liver's median to either end of the network's range, for CT.
      reach_fraction: the same distance as a fraction of the median, for other images.
    """

    margin_mm: NotNegative
    outline_mm: NotNegative
    reach_hu: Positive
    reach_fraction: Annotated[float, Field(gt=0, le=1)]


class UnusualAnatomy(IntervalTable):
    """Fractions of patients with anatomy and images that liver networks get wrong.

    Attributes:
      mass_fraction: fraction with a mass next to the liver, which does not belong to it.
      mass_radius_mm: bounds of the log-uniform radius of masses.
      similar_mass_fraction: fraction of masses with about the intensity of the liver.
      bulging_fraction: fraction of livers with a tumour that bulges out of the surface.
      bulging_radius_mm: bounds of the log-uniform radius of bulging tumours.
      remodelled_fraction: fraction of the bank's livers with a shrunken or elongated right and a large left lobe.
      narrowed_fraction: fraction of livers with a narrow bridge between their right and left parts.
      turned_fraction: fraction of the bank's livers whose left lobe descends, turns forward or back, or is thicker.
      nodular_fraction: fraction of livers with a nodular surface.
      full_stomach_fraction: fraction with a stomach full of contents.
      treated_fraction: fraction whose lesions contain iodised oil, on CT.
      metal_fraction: fraction of CTs with a clip, stent or coil and its streaks.
      small_field_fraction: fraction with the small field of view of SPECT/CT or cone-beam CT, off-centre.
      mirrored_fraction: fraction with the liver on the left.
    """

    mass_fraction: Fraction
    mass_radius_mm: tuple[Positive, Positive]
    similar_mass_fraction: Fraction
    bulging_fraction: Fraction
    bulging_radius_mm: tuple[Positive, Positive]
    remodelled_fraction: Fraction
    narrowed_fraction: Fraction = 0.0
    turned_fraction: Fraction = 0.0
    nodular_fraction: Fraction
    full_stomach_fraction: Fraction
    treated_fraction: Fraction
    metal_fraction: Fraction
    small_field_fraction: Fraction
    mirrored_fraction: Fraction


class SynthesisConfig(IntervalTable):
    """A preset of random training samples; see `random_sample` for the sampled values.

    Attributes:
      schema_version: version of the format, 2.
      name: name of the preset.
      shape: voxels of the sample, even numbers.
      spacing_mm: voxel spacing of the sample, which is isotropic.
      real_fraction: fraction of samples whose liver is one of the bank's.
      mixed_fraction: fraction of those whose liver is interpolated between two of the bank's.
      modality: relative weights of kinds of image.
      deformation: size of the patients' deformations.
      view: fields of view.
      lesion_fraction: fraction of livers with lesions.
      lesion_radius_mm: bounds of the log-uniform lesion radius.
      least_contrast: smallest contrast between lesion and liver, relative to the largest one (80 HU, 60 % of the
        signal).
      similar_fraction: chance of each soft tissue to have nearly the liver's intensity.
      resection_fraction: fraction of livers with a resected part.
      ascites_fraction: fraction of patients with fluid in the abdomen.
      effusion_fraction: fraction of patients with fluid or collapsed lung above the diaphragm.
      slice_mm: bounds of the log-uniform slice thickness.
      noise_hu: bounds of the CT noise, on this grid, of most scans; a sixth of them have up to three times as much.
      mottle: mottle of all tissues, relative to the usual mottle.
      inside: show only the liver; None shows the patient.
      unusual: unusual anatomy; None for none.
      neighbours: whether the labels also name the structures around the liver (`NEIGHBOURS`).
    """

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    name: str
    shape: tuple[Size, Size, Size]
    spacing_mm: Annotated[float, Field(ge=2, le=8)]
    real_fraction: Fraction
    mixed_fraction: Fraction = 0.0
    modality: ModalityShares
    deformation: DeformationConfig
    view: ViewShares
    lesion_fraction: Fraction
    lesion_radius_mm: tuple[Positive, Positive]
    least_contrast: Fraction = 0.0
    similar_fraction: Fraction
    resection_fraction: Fraction
    ascites_fraction: Fraction
    effusion_fraction: Fraction
    slice_mm: tuple[Positive, Positive]
    noise_hu: tuple[NotNegative, NotNegative]
    mottle: NotNegative = 1.0
    inside: InsideLiver | None = None
    unusual: UnusualAnatomy | None = None
    neighbours: bool = False


def list_presets() -> tuple[str, ...]:
    """Returns the names of the presets in `configs/synthesis`."""
    return config.preset_names("synthesis")


def load_preset(name: str) -> SynthesisConfig:
    """Returns a preset by its name.

    Raises:
      ConfigError: there is no preset of this name.

    Examples:
      >>> from sirtjax import synthesis
      >>> config = synthesis.load_preset("lesions")
      >>> config.name, config.inside is None  # a preset that shows only the liver
      ('lesions', False)
    """
    return config.load_preset(SynthesisConfig, "synthesis", name)


def config_from_dict(table: Mapping[str, object], *, name: str) -> SynthesisConfig:
    """Checks a preset from nested tables.

    Raises:
      ConfigError: a key or value is missing, unknown or out of range; names every one.
    """
    return config.checked_preset(SynthesisConfig, table, folder="synthesis", name=name)
