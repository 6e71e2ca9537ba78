"""Checks of what the activity image shows of each VOI, and of liver in the lung."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from sirtjax.dosimetry import CHECKS, Check, make_check
from sirtjax.ops import weighted_sum

LIMITS = {rule.code: rule.limit for rule in CHECKS}
UNKNOWN_FWHM_MM = 15.0


def lung_overlap_checks(overlap_ml: float, *, liver_ml: float) -> tuple[Check, ...]:
    """Returns SJ112: a part of the liver is also lung.

    Args:
      overlap_ml: volume of the liver mask in the lung mask or in lung by the CT.
      liver_ml: volume of the liver.
    """
    limit = LIMITS["SJ112"]
    fraction = overlap_ml / liver_ml if liver_ml > 0 else 0.0
    if not isinstance(limit, float) or fraction <= limit:
        return ()
    return (make_check("SJ112", where=f"{overlap_ml:.0f} mL", value=fraction),)


def seen_voi_checks(voi: str, seen_fraction: float) -> tuple[Check, ...]:
    """Returns SJ113: the activity image shows only a part of a VOI."""
    return _below("SJ113", seen_fraction, voi)


def ct_lungs_checks(seen_fraction: float) -> tuple[Check, ...]:
    """Returns SJ314: the CT shows only a part of the lungs, whose mass is extended."""
    return _below("SJ314", seen_fraction, None)


def seen_lungs_checks(seen_fraction: float) -> tuple[Check, ...]:
    """Returns SJ611: the activity image shows only a part of the lungs."""
    return _below("SJ611", seen_fraction, None)


def liver_fraction_away(
    counts: Float[np.ndarray, "i j k"],
    liver: Float[np.ndarray, "i j k"],
    territories: Sequence[Float[np.ndarray, "i j k"]],
    spacing_mm: tuple[float, float, float],
    *,
    fwhm_mm: float | None,
) -> float:
    """Returns the fraction of the liver's counts that lie outside all territories, beyond their blur.

    The blur of a camera leaves a quarter of the counts of a small segment around it, but hardly any one FWHM away.

    Args:
      counts: activity image on the dose grid.
      liver: fraction of each voxel in the liver.
      territories: fraction of each voxel in each territory.
      spacing_mm: voxel spacing.
      fwhm_mm: resolution of the image; None counts as 15 mm, that of a SPECT.
    """
    in_liver = weighted_sum(counts, liver)
    inside = np.maximum.reduce(list(territories)) >= 0.5
    if in_liver <= 0 or not inside.any():
        return 0.0 if in_liver <= 0 else 1.0
    far = ndimage.distance_transform_edt(~inside, sampling=spacing_mm) > (fwhm_mm or UNKNOWN_FWHM_MM)
    return weighted_sum(counts, np.where(far, liver, 0)) / in_liver


def uninjected_checks(fraction: float) -> tuple[Check, ...]:
    """Returns SJ205: the liver shows activity outside the injected territories.

    Args:
      fraction: fraction of the liver's counts that are outside, from `liver_fraction_away`.
    """
    limit = LIMITS["SJ205"]
    return (make_check("SJ205", value=fraction),) if isinstance(limit, float) and fraction > limit else ()


def lung_density_checks(mass_g: float | None, *, volume_ml: float) -> tuple[Check, ...]:
    """Returns SJ313: the CT numbers in the lung mask are not those of lung.

    Args:
      mass_g: mass of the lungs by the CT; None without one.
      volume_ml: volume of the lungs.
    """
    limit = LIMITS["SJ313"]
    if mass_g is None or volume_ml <= 0 or not isinstance(limit, tuple):
        return ()
    density = mass_g / volume_ml
    return () if limit[0] <= density <= limit[1] else (make_check("SJ313", value=density),)


def _below(code: str, value: float, where: str | None) -> tuple[Check, ...]:
    limit = LIMITS[code]
    return (make_check(code, where=where, value=value),) if isinstance(limit, float) and value < limit else ()
