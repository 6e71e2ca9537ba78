"""Segmenting lesions in a PET file by their uptake, and writing the label map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sirtjax.errors import ConfigError, GeometryError
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs

if TYPE_CHECKING:
    from sirtjax.io import Image
    from sirtjax.segmentation import LesionUptake, UptakeRule, UptakeSegmentation
    from sirtjax.volume import Geometry, LabelMap

Unit = Literal["SUV", "Bq/mL"]


@dataclass(frozen=True, kw_only=True)
class SuvInputs:
    """Values for SUV that take precedence over those in a DICOM header; None to use the header.

    Attributes:
      injected_mbq: activity at injection.
      injection_to_reference_h: time from injection to the image's reference time.
      half_life_h: half-life of the nuclide.
      weight_kg: body weight.
    """

    injected_mbq: float | None = None
    injection_to_reference_h: float | None = None
    half_life_h: float | None = None
    weight_kg: float | None = None


@dataclass(frozen=True, kw_only=True)
class UptakeFile:
    """Lesions that were segmented by uptake and written.

    Attributes:
      found: the segmentation.
      lesions: uptake of each lesion.
      unit: unit of the uptake.
      output: the file.
    """

    found: UptakeSegmentation
    lesions: tuple[LesionUptake, ...]
    unit: str
    output: Path

    def to_json(self) -> dict[str, object]:
        """Returns rule, reference and lesions as nested dictionaries."""
        found = self.found
        return {
            "rule": {"name": found.rule.name, "kind": found.rule.kind, "source": found.rule.source},
            "unit": self.unit,
            "threshold": found.threshold,
            "reference": None if found.reference is None else asdict(found.reference),
            "lesions": [asdict(lesion) for lesion in self.lesions],
            "output": str(self.output),
        }


def segment_uptake_file(
    pet: Path,
    output: Path,
    *,
    min_volume_ml: float,
    rule: str | None = None,
    threshold: float | None = None,
    fraction: float | None = None,
    liver: Path | None = None,
    liver_name: str | None = None,
    margin_mm: float = 0.0,
    regions: Path | None = None,
    reference_mm: tuple[float, float, float] | None = None,
    series: str | None = None,
    unit: Unit | None = None,
    suv: SuvInputs | None = None,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> UptakeFile:
    """Segments lesions in a PET file by their uptake and writes the label map.

    Args:
      pet: NIfTI, NRRD or DICOM file, or DICOM folder.
      output: label map to write.
      min_volume_ml: smallest lesion to keep.
      rule: name of a rule; exactly one of rule, threshold and fraction is required.
      threshold: a fixed SUV.
      fraction: fraction of the maximum.
      liver: liver mask: region to search, and the reference. What it encloses and lesions contoured in it in the same
        file belong to it.
      liver_name: name of the liver mask in its file.
      margin_mm: distance beyond the liver that is also searched.
      regions: masks around each lesion, for a fraction of the maximum.
      reference_mm: (x, y, z) centre of the liver reference sphere, LPS; None for automatic.
      series: DICOM series by UID, number or description.
      unit: unit of a NIfTI file.
      suv: values for SUV.
      force: overwrite an existing file.
      on_step: called with the name of each step.

    Raises:
      ConfigError: not exactly one of rule, threshold and fraction, an option that the rule does not use, values for
        SUV of an image in SUV, or a mask name that is not there.
      GeometryError: a mask does not overlap the PET, or regions overlap each other.
    """
    from sirtjax import formats, io, segmentation

    chosen = _rule(rule, threshold, fraction)
    suv = suv or SuvInputs()
    _check_options(chosen, liver=liver, regions=regions, margin_mm=margin_mm, reference_mm=reference_mm)
    refuse_outputs_that_are_inputs([output], [pet, liver, regions])
    on_step("reading")
    image = _with_unit(formats.read_image(pet, series=series, modality="PT"), unit)
    volume = image.volume
    if volume.unit == "SUV" and suv != SuvInputs():
        raise ConfigError(
            f"{pet}: the image is in SUV already; omit --injected-mbq, --injection-to-reference-h, --half-life-h and "
            "--weight-kg"
        )
    if chosen.kind != "of-maximum" or suv != SuvInputs():
        volume = segmentation.suv_volume(
            image,
            injected_activity_bq=None if suv.injected_mbq is None else suv.injected_mbq * 1e6,
            injection_to_reference_h=suv.injection_to_reference_h,
            half_life_h=suv.half_life_h,
            weight_kg=suv.weight_kg,
        )
    on_step("segmenting")
    whole, known = (None, None) if liver is None else _liver(liver, liver_name, image)
    found = segmentation.segment_uptake(
        volume,
        chosen,
        min_volume_ml=min_volume_ml,
        liver=whole,
        known_lesions=known,
        margin_mm=margin_mm,
        regions=None if regions is None else _regions(regions, image),
        reference_centre_mm=reference_mm,
    )
    lesions = segmentation.lesion_uptake(volume, found.lesions)
    on_step("writing")
    io.write_labels(output, found.lesions, force=force)
    return UptakeFile(found=found, lesions=lesions, unit=volume.unit, output=output)


def _rule(name: str | None, threshold: float | None, fraction: float | None) -> UptakeRule:
    from sirtjax.segmentation import UptakeRule, get_uptake_rule

    if sum(value is not None for value in (name, threshold, fraction)) != 1:
        raise ConfigError("provide one of --rule, --threshold and --fraction")
    if name is not None:
        return get_uptake_rule(name)
    if threshold is not None:
        return UptakeRule(name=f"SUV {threshold:g}", kind="fixed", threshold=threshold, source="given by the user")
    return UptakeRule(
        name=f"{fraction:g} of the maximum", kind="of-maximum", fraction=fraction, source="given by the user"
    )


def _check_options(
    rule: UptakeRule,
    *,
    liver: Path | None,
    regions: Path | None,
    margin_mm: float,
    reference_mm: tuple[float, float, float] | None,
) -> None:
    """Refuses options that a rule does not use, because the search would differ from what they state."""
    of_maximum = rule.kind == "of-maximum"
    if of_maximum and liver is not None:
        raise ConfigError(f"--liver: {rule.name} is searched in its regions, not in a liver; omit it, or use --regions")
    if not of_maximum and regions is not None:
        raise ConfigError(
            f"--regions: {rule.name} is searched in the liver or the whole image, not in regions; omit it, or use "
            "--fraction or a rule of a fraction of the maximum"
        )
    if margin_mm and liver is None:
        raise ConfigError(f"--margin-mm {margin_mm:g}: a distance beyond the liver needs --liver; add it, or omit it")
    if reference_mm is not None and rule.kind != "liver-reference":
        raise ConfigError(f"--reference-mm: {rule.name} has no liver reference; omit it, or use a rule such as percist")


def _with_unit(image: Image, unit: Unit | None) -> Image:
    said = image.volume.unit
    if unit is None or unit == said:
        return image
    if said != "1":
        raise ConfigError(f"{image.source.path}: the image is in {said}, not in {unit}; omit --unit")
    return replace(image, volume=replace(image.volume, unit=unit))


def _liver(path: Path, name: str | None, image: Image) -> tuple[LabelMap, LabelMap | None]:
    """Returns the liver with its lesions, and the lesions contoured in it, on the grid of the PET."""
    from sirtjax import segmentation

    liver, lesions = segmentation.read_liver_and_lesions(path, name, image)
    grid = image.volume.geometry
    return _on_grid(liver, grid, path), None if lesions is None else _on_grid(lesions, grid, path)


def _regions(path: Path, image: Image) -> LabelMap:
    import numpy as np

    from sirtjax import formats
    from sirtjax.volume import LabelMap

    geometry = image.volume.geometry
    together = np.zeros(geometry.shape, np.uint16)
    masks = formats.read_masks(path, reference=image)
    for value, (name, mask) in enumerate(masks.items(), start=1):
        inside = np.asarray(_on_grid(mask, geometry, path).array) > 0
        if (together[inside] > 0).any():
            raise GeometryError(f"{path}: region {name!r} overlaps another; separate them")
        together[inside] = value
    return LabelMap(together, geometry, names=tuple(enumerate(masks, start=1)))


def _on_grid(labels: LabelMap, geometry: Geometry, path: Path) -> LabelMap:
    if labels.geometry.matches(geometry):
        return labels
    from sirtjax import spatial

    resampled = spatial.resample_labels(labels, geometry)
    if not (resampled.array > 0).any():
        raise GeometryError(f"{path}: the mask {labels.names[0][1]!r} does not overlap the PET ({geometry})")
    return resampled
