"""The lung shunt fraction of planar views without the counts that their blur moved between the regions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from sirtjax import dosimetry, partial_volume
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.workflows._case import LungShuntTable
from sirtjax.workflows._record_result import PlanarBlurRecord


def planar_blur(
    table: LungShuntTable,
    views: tuple[Float32[np.ndarray, "x z"], Float32[np.ndarray, "x z"]],
    organs: Mapping[str, Bool[np.ndarray, "x z"]],
    spacing_mm: tuple[float, ...],
    rois: Path,
) -> tuple[PlanarBlurRecord, tuple[Check, ...]]:
    """Returns the lung shunt fraction with and without blur, and the checks SJ208 and SJ209.

    Args:
      table: lung shunt of the case, with the resolution of the views.
      views: counts of the anterior and the posterior view.
      organs: ROIs of "lungs" and "liver".
      spacing_mm: pixel spacing along both axes of the views; another number of values if it is not known.
      rois: file of the ROIs, for messages.

    Raises:
      GeometryError: the size of the pixels is not known.
      ConfigError: the ROIs overlap.
      InputError: the blur explains all counts of the lungs, and the case applies the correction.
    """
    fwhm_mm, error = table.planar_fwhm_mm, table.planar_fwhm_uncertainty
    if fwhm_mm is None or error is None:
        raise ConfigError("lung_shunt: no planar_fwhm_mm with planar_fwhm_uncertainty; state both")
    if len(spacing_mm) != 2:
        raise GeometryError(
            "lung_shunt.planar: lung_shunt.planar_fwhm_mm requires two flat views of the same pixel spacing; "
            "export them again, or remove planar_fwhm_mm"
        )
    lungs, liver = organs["lungs"], organs["liver"]
    shared = int((lungs & liver).sum())
    if shared:
        raise ConfigError(
            f'{rois}: the ROIs "lungs" and "liver" share {shared} pixels; draw them without overlap to use '
            "lung_shunt.planar_fwhm_mm"
        )
    rest = ~(lungs | liver)
    regions = np.stack([lungs, liver, rest]) if rest.any() else np.stack([lungs, liver])

    def counts(width_mm: float | None) -> tuple[dosimetry.ConjugateCounts, ...]:
        found = [
            np.array([view[region].sum(dtype=np.float64) for region in regions])
            if width_mm is None
            else partial_volume.unblurred_region_counts(view, regions, spacing_mm, width_mm)
            for view in views
        ]
        pairs = zip(*(one[:2] for one in found), strict=True)
        return tuple(dosimetry.ConjugateCounts(anterior=float(one), posterior=float(two)) for one, two in pairs)

    def fraction(width_mm: float | None) -> float:
        return dosimetry.planar_lung_shunt_fraction(*counts(width_mm))

    before, after = _mean(counts(None)[0]), _mean(counts(fwhm_mm)[0])
    blur = PlanarBlurRecord(
        applied=table.planar_blur == "apply",
        fwhm_mm=fwhm_mm,
        fwhm_uncertainty=error,
        uncorrected=fraction(None),
        corrected=fraction(fwhm_mm),
        narrow=fraction(fwhm_mm * (1.0 - error)),
        wide=fraction(fwhm_mm * (1.0 + error)),
        explained_fraction=1.0 - after / before if before > 0 else 0.0,
    )
    if blur.applied and blur.corrected == 0.0:
        raise InputError(
            f"lung_shunt.planar_fwhm_mm: a resolution of {fwhm_mm:g} mm explains all counts of the lungs, so no lung "
            'shunt can be measured; check it and the ROIs, or use planar_blur = "show" or SPECT/CT'
        )
    return blur, _checks(blur)


def _mean(views: dosimetry.ConjugateCounts) -> float:
    return float(dosimetry.geometric_mean_counts(views.anterior, views.posterior))


def _checks(blur: PlanarBlurRecord) -> tuple[Check, ...]:
    found: list[Check] = []
    limit = next(rule.limit for rule in dosimetry.CHECKS if rule.code == "SJ208")
    if isinstance(limit, float) and blur.explained_fraction > limit:
        found.append(make_check("SJ208", value=blur.explained_fraction))
    if blur.applied:
        found.append(make_check("SJ209", value=blur.corrected, limit=blur.uncorrected))
    return tuple(found)


def planar_limit_checks(blur: PlanarBlurRecord | None, *, device: str) -> tuple[Check, ...]:
    """Returns SJ569: only the corrected fraction of planar views is below the limit of the BSA method.

    Args:
      blur: fraction with and without blur; None if the case does not state the resolution of the views.
      device: "resin", "glass" or "holmium"; the limit is for resin.
    """
    highest = next(rule.limit for rule in dosimetry.CHECKS if rule.code == "SJ302")
    if blur is None or not blur.applied or device != "resin" or not isinstance(highest, float):
        return ()
    if not blur.uncorrected > highest >= blur.corrected:
        return ()
    return (make_check("SJ569", value=blur.uncorrected, limit=highest),)
