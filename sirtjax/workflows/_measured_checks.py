"""Checks of the activity that an image shows after treatment."""

from __future__ import annotations

from sirtjax.dosimetry import CHECKS, Check, make_check
from sirtjax.workflows._coverage_checks import seen_lungs_checks

RULES = {rule.code: rule for rule in CHECKS}

# A plane edge under a Gaussian at this many FWHM; the distance in mm if the resolution is not stated.
CLEAR_FWHM, CLEAR_MM = 2.0, 20.0
# Largest difference of a lung shunt fraction, and the number of standard errors that count as a finding.
SHUNT_DIFFERENCE, SIGNIFICANT = 0.05, 3.0


def background_checks(
    *, distance_mm: float, nearest: str, resolution_fwhm_mm: float | None, error_fraction: float, liver_fraction: float
) -> tuple[Check, ...]:
    """Returns SJ530, SJ531, SJ532: a background VOI near activity, too noisy, or too high.

    Args:
      distance_mm: smallest distance of the VOI to tissue with activity.
      nearest: name of this tissue.
      resolution_fwhm_mm: resolution of the image; None if the case does not state it.
      error_fraction: standard error of the background divided by the mean of the liver before subtraction.
      liver_fraction: subtracted activity of the liver divided by its activity before subtraction.
    """
    clear_mm = CLEAR_MM if resolution_fwhm_mm is None else CLEAR_FWHM * resolution_fwhm_mm
    found: list[Check] = []
    if distance_mm < clear_mm:
        found.append(make_check("SJ530", where=nearest, value=distance_mm, limit=clear_mm))
    for code, value in (("SJ531", error_fraction), ("SJ532", abs(liver_fraction))):
        limit = RULES[code].limit
        if isinstance(limit, float) and value > limit:
            found.append(make_check(code, value=value))
    return tuple(found)


def measured_lung_checks(
    *,
    measured_fraction: float,
    standard_error: float | None,
    planned_fraction: float,
    basis: str,
    dose_gy: float,
    previous_gy: float,
    single_limit_gy: float,
    cumulative_limit_gy: float,
    seen_fraction: float,
) -> tuple[Check, ...]:
    """Returns SJ533, SJ534, SJ611: lung shunt and lung dose after treatment, lungs outside the image.

    Args:
      measured_fraction: lung activity divided by that of lungs and liver.
      standard_error: standard error of it; None if it is not known.
      planned_fraction: lung shunt fraction of the case.
      basis: part of the lungs that was measured, for the message.
      dose_gy: mean lung dose of the measured activity.
      previous_gy: mean lung dose of earlier treatments.
      single_limit_gy: limit of the protocol for one treatment.
      cumulative_limit_gy: limit of the protocol for all treatments.
      seen_fraction: fraction of the lungs that the image shows.
    """
    found: list[Check] = []
    found += seen_lungs_checks(seen_fraction)
    difference = abs(measured_fraction - planned_fraction)
    if difference > SHUNT_DIFFERENCE and difference > SIGNIFICANT * (standard_error or 0.0):
        found.append(make_check("SJ533", where=basis, value=measured_fraction, limit=planned_fraction))
    limits = (("this treatment", 0.0, single_limit_gy), ("with earlier treatments", previous_gy, cumulative_limit_gy))
    for where, earlier_gy, limit_gy in limits:
        if dose_gy + earlier_gy > limit_gy:
            found.append(make_check("SJ534", where=where, value=dose_gy + earlier_gy, limit=limit_gy))
    return tuple(found)


def balance_checks(
    found_fraction: float, *, limits: tuple[float, float] | None, source: str | None, staged: bool
) -> tuple[Check, ...]:
    """Returns SJ535: the activity of the whole image is not the injected activity.

    Args:
      found_fraction: activity of the image divided by the injected activity, both at the injection.
      limits: lowest and highest plausible fraction, from the case. Default: limits of this software.
      source: source of the limits of the case.
      staged: whether the injections were at different times, for the message.
    """
    rule = RULES["SJ535"].limit
    low, high = limits if limits is not None else rule if isinstance(rule, tuple) else (0.0, float("inf"))
    if low <= found_fraction <= high:
        return ()
    where = "staged injections, mean decay weighted by activity" if staged else "all at the time of injection"
    return (make_check("SJ535", where=where, value=found_fraction, limit=(low, high), source=source),)


def extrahepatic_checks(voi: str, *, activity_mbq: float, standard_error_mbq: float | None) -> tuple[Check, ...]:
    """Returns SJ609: an extrahepatic VOI has more activity than three standard errors.

    Args:
      voi: name of the VOI.
      activity_mbq: activity in the VOI at the injection.
      standard_error_mbq: standard error of it; None if it is not known.
    """
    if standard_error_mbq is None or activity_mbq <= SIGNIFICANT * standard_error_mbq or activity_mbq <= 0:
        return ()
    return (make_check("SJ609", where=voi, value=activity_mbq, limit=SIGNIFICANT * standard_error_mbq),)
