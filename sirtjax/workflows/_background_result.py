"""The subtracted background and the replaced label of a PET, judged with the organs of the case."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from sirtjax.dosimetry import Check
from sirtjax.errors import GeometryError, InputError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages, Relabelling
from sirtjax.workflows._measured_checks import background_checks
from sirtjax.workflows._measured_record import BackgroundResult, RelabellingResult
from sirtjax.workflows._measured_regions import MeasuredRegions

# A mean above this fraction of the mean of the liver shows that the VOI contains activity.
REFUSED_FRACTION = 0.5


def background_result(
    case: Case, images: CaseImages, regions: MeasuredRegions
) -> tuple[BackgroundResult, tuple[Check, ...]]:
    """Returns the subtracted background with its effect on the liver, and its checks.

    Args:
      case: the case.
      images: images with the background; the activity image after its subtraction.
      regions: regions of the activity image.

    Raises:
      GeometryError: the VOI overlaps liver, lesions, lungs or an extrahepatic VOI.
      InputError: more than half of the liver's activity would be background.
    """
    found = images.background
    if found is None:
        raise InputError("the case has no [masks.background]")
    organs = {"liver": regions.liver, **regions.lesions, **regions.extrahepatic}
    if regions.lungs is not None:
        organs["lungs"] = regions.lungs.weight
    path = "" if case.masks.background is None else case.masks.background.path
    distances_mm = {}
    for name, weight in organs.items():
        organ = weight >= 0.5
        if (organ & found.inside).any():
            shared_ml = float((organ & found.inside).sum()) * regions.voxel_ml
            raise GeometryError(
                f"{path}: the background VOI shares {shared_ml:.3g} mL with the {name}; contour it in a region without "
                "activity"
            )
        if organ.any():
            from_organ = ndimage.distance_transform_edt(~organ, sampling=regions.spacing_mm)
            distances_mm[name] = float(from_organ[found.inside].min())
    nearest = min(distances_mm, key=lambda name: distances_mm[name])
    voxels = float(regions.liver.sum(dtype=np.float64))
    subtracted = found.noise.mean * voxels
    before = regions.total(regions.liver) + subtracted
    if before <= 0 or abs(subtracted) > REFUSED_FRACTION * before:
        share = math.inf if before <= 0 else subtracted / before
        raise InputError(
            f"{path}: the mean of the background VOI is {100 * share:.0f} % of the mean of the liver, at most "
            f"{100 * REFUSED_FRACTION:.0f} % can be background; contour it in a region without activity"
        )
    result = BackgroundResult(
        unit=images.activity.volume.unit,
        mean=found.noise.mean,
        std=found.noise.std,
        standard_error=found.noise.standard_error,
        voxels=found.noise.voxels,
        independent_samples=found.noise.independent_samples if found.noise.standard_error > 0 else None,
        volume_ml=found.volume_ml,
        seen_fraction=min(found.seen_fraction, 1.0),
        liver_fraction=subtracted / before,
        nearest=nearest,
        distance_mm=distances_mm[nearest],
    )
    checks = background_checks(
        distance_mm=result.distance_mm,
        nearest=nearest,
        resolution_fwhm_mm=case.images.activity.resolution_fwhm_mm,
        error_fraction=found.noise.standard_error * voxels / before,
        liver_fraction=result.liver_fraction,
    )
    return result, checks


def relabelling_result(found: Relabelling) -> RelabellingResult:
    """Returns the correction of another nuclide's label as a record of the result."""
    label = found.label
    return RelabellingResult(
        nuclide=found.nuclide,
        half_life_s=label.half_life_s,
        positron_fraction=label.positron_fraction if found.positrons_replaced else None,
        decay_correction=label.decay_correction,
        in_frame_corrected=label.in_frame_corrected,
        decay_factor=label.decay_factor,
        frame_duration_s=label.frame_duration_s,
        acquisition_start=found.acquisition_start.isoformat(),
        factor=found.factor,
    )
