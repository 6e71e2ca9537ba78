"""Uncertainty of a mean dose by the law of propagation, as in the guidance of the EANM: a simple analytic reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from sirtjax.errors import InputError
from sirtjax.partial_volume import SIGMA_PER_FWHM, sphere_recovery

# Relative step of the volume in the derivative of a recovery curve.
STEP = 0.02


@dataclass(frozen=True, kw_only=True)
class EanmUncertainty:
    """Relative standard uncertainties of a mean dose and of the quantities that it is computed from.

    Attributes:
      diameter: uncertainty of the diameter of the sphere with the volume of the VOI.
      volume: uncertainty of the volume, 3 times that of the diameter.
      counts: uncertainty of the counts in the VOI, because of its volume.
      recovery: uncertainty of the recovery coefficient, because of the volume and of the phantom measurement.
      counts_recovery_covariance: covariance of counts and recovery, relative to their product.
      activity: uncertainty of the activity in the VOI.
      activity_mass_covariance: covariance of the activity and the dose per activity, relative to their product.
      dose: uncertainty of the mean dose.
      by_source: part of the variance of the dose by source; the parts add up to 1.
    """

    diameter: float
    volume: float
    counts: float
    recovery: float
    counts_recovery_covariance: float
    activity: float
    activity_mass_covariance: float
    dose: float
    by_source: dict[str, float]


def outlined_diameter_uncertainty_mm(voxel_mm: float, fwhm_mm: float) -> float:
    """Returns the standard uncertainty of the diameter of a VOI that was outlined on an image.

    A diameter is the difference of two edges. Each has the variance of the voxels, a^2 / 12, and of the resolution,
    sigma^2 = FWHM^2 / (8 ln 2). Together u(d)^2 = a^2 / 6 + FWHM^2 / (4 ln 2).

    Args:
      voxel_mm: voxel size of the image on which the VOI was outlined.
      fwhm_mm: resolution of that image (FWHM).

    Raises:
      InputError: a number that is not above 0 and finite.

    Examples:
      >>> from sirtjax import uncertainty
      >>> round(uncertainty.outlined_diameter_uncertainty_mm(4.0, 10.0), 2)  # sqrt(16 / 6 + 100 / 2.7726)
      6.22

    Reference:
      Gear et al., Eur J Nucl Med Mol Imaging 45:2456-2474, 2018.
    """
    _positive(voxel_mm=voxel_mm, fwhm_mm=fwhm_mm)
    return math.sqrt(voxel_mm**2 / 6.0 + fwhm_mm**2 / (4.0 * math.log(2.0)))


def eanm_dose_uncertainty(
    volume_ml: float,
    *,
    diameter_uncertainty_mm: float,
    fwhm_mm: float,
    calibration_fraction: float,
    recovery_fraction: float,
    density_fraction: float,
    other: dict[str, float] | None = None,
) -> EanmUncertainty:
    """Computes the uncertainty of the mean dose of one VOI by the guidance of the EANM.

    The VOI is a sphere in tissue without activity. Its mean dose is D = Q C(v) / (R(v) v) times constants: counts C in
    the outlined volume v, calibration factor Q and recovery coefficient R. Counts, recovery and mass depend on the
    same volume, so that their uncertainties are correlated. With s = u(v) / v = 3 u(d) / d:

        u(C) / C = phi s / (2 R),  phi / 2: blurred sphere at its edge, relative to its concentration
        u(R)^2 / R^2 = (v R' / R)^2 s^2 + (uncertainty of the measured recovery)^2
        cov(C, R) / (C R) = phi / (2 R) (v R' / R) s^2
        u(A)^2 / A^2 = u(Q)^2 / Q^2 + u(C)^2 / C^2 + u(R)^2 / R^2 - 2 cov(C, R) / (C R)
        u(D)^2 / D^2 = u(A)^2 / A^2 + s^2 + u(density)^2 + 2 cov(A, S) / (A S),  cov = -(phi / (2 R) - v R' / R) s^2

    Fits of time-activity curves are omitted: microspheres stay where they are, and one image is enough.

    Args:
      volume_ml: volume of the VOI.
      diameter_uncertainty_mm: standard uncertainty of its diameter, of `outlined_diameter_uncertainty_mm` or of the
        scatter of several contours.
      fwhm_mm: resolution of the activity image (FWHM), for recovery and counts.
      calibration_fraction: relative standard uncertainty of the calibration factor.
      recovery_fraction: relative standard uncertainty of the measured recovery coefficient at this volume; 0 if it is
        computed.
      density_fraction: relative standard uncertainty of the tissue density.
      other: relative standard uncertainties of further factors of the dose, such as the delivered fraction, by name.

    Raises:
      InputError: a volume, an uncertainty of the diameter or a resolution that is not above 0 and finite, or a
        relative uncertainty that is negative.

    Examples:
      >>> from sirtjax import uncertainty
      >>> u_mm = uncertainty.outlined_diameter_uncertainty_mm(1.0, 2.0)
      >>> found = uncertainty.eanm_dose_uncertainty(
      ...     20.0,
      ...     diameter_uncertainty_mm=u_mm,
      ...     fwhm_mm=10.0,
      ...     calibration_fraction=0.05,
      ...     recovery_fraction=0.03,
      ...     density_fraction=0.01,
      ... )
      >>> [round(value, 3) for value in (found.volume, found.recovery, found.activity, found.dose)]
      [0.113, 0.034, 0.076, 0.087]

    Reference:
      Gear et al., Eur J Nucl Med Mol Imaging 45:2456-2474, 2018.
    """
    _positive(volume_ml=volume_ml, diameter_uncertainty_mm=diameter_uncertainty_mm, fwhm_mm=fwhm_mm)
    factors = {
        "calibration": calibration_fraction,
        "recovery": recovery_fraction,
        "density": density_fraction,
        **(other or {}),
    }
    for name, value in factors.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name}: expected a relative uncertainty of at least 0, got {value}")
    if len(factors) != 3 + len(other or {}) or "boundary" in factors:
        raise InputError("other: a name is that of a parameter; choose another one")
    diameter_mm = (6000.0 * volume_ml / math.pi) ** (1 / 3)
    diameter = diameter_uncertainty_mm / diameter_mm
    volume = 3.0 * diameter
    coefficient = _recovery(volume_ml, fwhm_mm)
    rise = (_recovery(volume_ml * (1 + STEP), fwhm_mm) - _recovery(volume_ml * (1 - STEP), fwhm_mm)) / (
        2 * STEP * coefficient
    )
    edge = edge_fraction(diameter_mm / 2, fwhm_mm) / coefficient
    common = volume**2
    activity = math.sqrt(calibration_fraction**2 + recovery_fraction**2 + (edge - rise) ** 2 * common)
    mass_covariance = -(edge - rise) * common
    variances = {"boundary": (edge - rise - 1.0) ** 2 * common, **{k: v**2 for k, v in factors.items()}}
    total = sum(variances.values())
    return EanmUncertainty(
        diameter=diameter,
        volume=volume,
        counts=edge * volume,
        recovery=math.hypot(rise * volume, recovery_fraction),
        counts_recovery_covariance=edge * rise * common,
        activity=activity,
        activity_mass_covariance=mass_covariance,
        dose=math.sqrt(total),
        by_source={name: value / total for name, value in variances.items()},
    )


def edge_fraction(radius_mm: float, fwhm_mm: float) -> float:
    """Returns the blurred image of a uniform sphere at its edge, relative to its concentration.

    It is half of the factor phi of the guidance, and 1/2 for a large sphere.

    Args:
      radius_mm: radius of the sphere.
      fwhm_mm: resolution of the image (FWHM).

    Raises:
      InputError: a number that is not above 0 and finite.
    """
    _positive(radius_mm=radius_mm, fwhm_mm=fwhm_mm)
    sigma = fwhm_mm * SIGMA_PER_FWHM
    decay = -math.expm1(-2.0 * (radius_mm / sigma) ** 2)
    step = float(special.erf(math.sqrt(2.0) * radius_mm / sigma))
    return 0.5 * step - sigma / (radius_mm * math.sqrt(2.0 * math.pi)) * decay


def _recovery(volume_ml: float, fwhm_mm: float) -> float:
    return float(sphere_recovery((750.0 * volume_ml / math.pi) ** (1 / 3), fwhm_mm))


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name}: expected a number above 0, got {value}")
