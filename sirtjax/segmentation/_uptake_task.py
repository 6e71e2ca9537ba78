from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sirtjax.errors import ConfigError, GeometryError
from sirtjax.segmentation._reference import LiverReference, liver_reference
from sirtjax.segmentation._uptake import dilated_mask, uptake_above, uptake_of_maximum
from sirtjax.segmentation._uptake_rules import UptakeRule
from sirtjax.volume import LabelMap, Volume


@dataclass(frozen=True, kw_only=True)
class UptakeSegmentation:
    """Lesions found by uptake and how.

    Attributes:
      lesions: label map on the PET's grid, without labels if there are no lesions.
      rule: the rule applied.
      threshold: uptake above which a voxel counts; None if it differs by region.
      reference: liver sphere, if the rule uses one.
    """

    lesions: LabelMap
    rule: UptakeRule
    threshold: float | None
    reference: LiverReference | None


def segment_uptake(
    pet: Volume,
    rule: UptakeRule,
    *,
    min_volume_ml: float,
    liver: LabelMap | None = None,
    known_lesions: LabelMap | None = None,
    margin_mm: float = 0.0,
    regions: LabelMap | None = None,
    reference_centre_mm: tuple[float, float, float] | None = None,
) -> UptakeSegmentation:
    """Segments lesions of a PET by a named rule.

    Rules are a fixed threshold, a fraction of the maximum, or a liver reference.

    Args:
      pet: PET image in SUV; a fraction of the maximum accepts any unit.
      rule: rule that defines a lesion, see `uptake_rule`.
      min_volume_ml: volume below which lesions are excluded.
      liver: liver on the PET's grid. Lesions are searched in it; without it, in the whole image (not for a
        liver reference).
      known_lesions: lesions contoured in the liver, on the PET's grid. A liver sphere that is placed automatically does
        not overlap them.
      margin_mm: distance beyond the liver in which lesions can be.
      regions: one label around each lesion, needed for a fraction of the maximum.
      reference_centre_mm: LPS centre of the liver sphere. Default: placed automatically.

    Returns:
      The lesions, and the threshold and reference used.

    Raises:
      ConfigError: the rule needs a liver, regions or an image in SUV that is not given.
      GeometryError: a mask is on another grid.
      InputError: a mask is empty or the reference sphere doesn't fit.
    """
    if rule.kind != "of-maximum" and pet.unit != "SUV":
        raise ConfigError(f"uptake rule {rule.name!r} requires an image in SUV, got {pet.unit!r}; convert it first")
    for what, labels in (("liver", liver), ("known_lesions", known_lesions)):
        if labels is not None and not pet.geometry.matches(labels.geometry):
            raise GeometryError(f"{what} ({labels.geometry}) is not on the PET's grid ({pet.geometry}); resample it")
    reference: LiverReference | None = None
    if rule.fraction is not None:
        if regions is None:
            raise ConfigError(f"uptake rule {rule.name!r} requires one region around each lesion; provide them")
        lesions = uptake_of_maximum(pet, fraction=rule.fraction, regions=regions, min_volume_ml=min_volume_ml)
        return UptakeSegmentation(lesions=lesions, rule=rule, threshold=None, reference=None)
    if rule.threshold is not None:
        threshold = rule.threshold
    elif rule.mean_factor is not None and rule.sd_factor is not None and rule.sphere_diameter_mm is not None:
        if liver is None:
            raise ConfigError(f"uptake rule {rule.name!r} computes its threshold from the liver; provide a liver mask")
        reference = liver_reference(
            pet,
            liver,
            diameter_mm=rule.sphere_diameter_mm,
            centre_mm=reference_centre_mm,
            exclude=None if known_lesions is None else np.asarray(known_lesions.array) > 0,
        )
        threshold = reference.threshold(mean_factor=rule.mean_factor, sd_factor=rule.sd_factor)
    else:
        raise ConfigError(f"uptake rule {rule.name!r} of kind {rule.kind!r} lacks its values")
    search = np.ones(pet.geometry.shape, bool) if liver is None else dilated_mask(liver, margin_mm=margin_mm)
    lesions = uptake_above(pet, threshold=threshold, search=search, min_volume_ml=min_volume_ml)
    return UptakeSegmentation(lesions=lesions, rule=rule, threshold=threshold, reference=reference)
