"""Checks of a plan: what a physicist must look at, each with a stable code, a limit and its source.

The functions take summary numbers and return the checks that apply: an empty tuple means nothing to report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sirtjax.dosimetry._check_rules import RULES, Limit, Severity
from sirtjax.dosimetry._nuclides import Y90_POSITRON_FRACTION
from sirtjax.errors import ConfigError, InputError

# Relative; what rounding makes of a value that was computed to equal its limit.
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check that applies to a case.

    Attributes:
      code: code of a row of `CHECKS`.
      severity: severity of that row.
      message: one sentence with the numbers.
      where: name of the VOI, territory or objective; None for the whole case.
      value: value found, in `unit`; None if it is not a number.
      limit: threshold, or (low, high).
      unit: unit of value and limit; "1" is a fraction.
      source: source of the limit.
    """

    code: str
    severity: Severity
    message: str
    where: str | None
    value: float | None
    limit: Limit
    unit: str
    source: str


def make_check(
    code: str,
    *,
    where: str | None = None,
    value: float | None = None,
    limit: Limit = None,
    unit: str | None = None,
    source: str | None = None,
) -> Check:
    """Returns a check with this code and its completed message.

    Args:
      code: code of a row of `CHECKS`.
      where: name of the VOI, territory or objective.
      value: value found.
      limit: threshold, or (low, high). Default: limit of the table, as for `unit` and `source`.
      unit: unit of value and limit.
      source: source of the limit.

    Raises:
      ConfigError: there is no such code.
    """
    rule = RULES.get(code)
    if rule is None:
        raise ConfigError(f"there is no check {code}; the codes are {', '.join(RULES)}")
    limit = rule.limit if limit is None else limit
    unit = rule.unit if unit is None else unit
    return Check(
        code=code,
        severity=rule.severity,
        message=rule.message.format(
            where=where, value=_format_limit(value, unit), limit=_format_limit(limit, unit), unit=unit
        ),
        where=where,
        value=value,
        limit=limit,
        unit=unit,
        source=rule.source if source is None else source,
    )


def _format_limit(value: Limit, unit: str) -> str:
    """Numbers as in a report: 4 digits, fractions as percentages."""
    if value is None:
        return "unknown"
    if isinstance(value, tuple):
        return f"{_format_limit(value[0], unit)} to {_format_limit(value[1], unit)}"
    if unit == "1":
        return f"{100 * value:.3g} %"
    return f"{value:.4g}"


def liver_volume_checks(liver_ml: float) -> tuple[Check, ...]:
    """Returns SJ101: the liver volume is outside 500 to 4500 mL."""
    rule = RULES["SJ101"].limit
    low, high = rule if isinstance(rule, tuple) else (0.0, math.inf)
    return () if low <= liver_ml <= high else (make_check("SJ101", value=_finite_number("liver volume", liver_ml)),)


def tumour_location_checks(
    tumour: str, *, fraction_outside_liver: float, fraction_outside_territories: float
) -> tuple[Check, ...]:
    """Returns SJ102 or SJ107 for tumour outside the liver, SJ103 for tumour outside all territories."""
    outside = _above("SJ107", fraction_outside_liver, tumour) or _above("SJ102", fraction_outside_liver, tumour)
    return outside + _above("SJ103", fraction_outside_territories, tumour)


def territory_overlap_checks(first: str, second: str, *, overlap_fraction: float) -> tuple[Check, ...]:
    """Returns SJ104: two territories overlap in part of the smaller one."""
    return _above("SJ104", overlap_fraction, f"{first} and {second}")


def small_lesion_checks(lesion: str, *, volume_ml: float, resolution_fwhm_mm: float | None) -> tuple[Check, ...]:
    """Returns SJ105: a lesion smaller than twice the resolution; SJ114: the resolution is unknown."""
    if resolution_fwhm_mm is None:
        return (make_check("SJ114", where="activity image"),)
    diameter_mm = 2 * (3 * 1000 * _finite_number(f"volume of {lesion}", volume_ml) / (4 * math.pi)) ** (1 / 3)
    limit = 2 * _finite_number("resolution", resolution_fwhm_mm)
    return () if diameter_mm >= limit else (make_check("SJ105", where=lesion, value=diameter_mm, limit=limit),)


def registration_checks(vois: str, *, registered: bool) -> tuple[Check, ...]:
    """Returns SJ106: VOIs contoured on another image were placed without registration."""
    return () if registered else (make_check("SJ106", where=vois),)


def accepted_registration_checks(end: str) -> tuple[Check, ...]:
    """Returns SJ108: the registration did not succeed, and the case accepts its status."""
    return (make_check("SJ108", where=end),)


def warped_volume_checks(voi: str, *, volume_change: float) -> tuple[Check, ...]:
    """Returns SJ109: the transform changes the volume of a VOI by more than a tenth."""
    return _changed("SJ109", voi, volume_change)


def automatic_mask_checks(vois: str, *, method: str, quality_flags: Sequence[str] = ()) -> tuple[Check, ...]:
    """Returns SJ110 for automatically segmented VOIs, SJ111 for each of their quality flags.

    Args:
      vois: names of the VOIs.
      method: the model or rule.
      quality_flags: quality flags, one sentence each.
    """
    found = make_check("SJ110", where=f"{vois}: segmented automatically by {method}")
    return (found, *(make_check("SJ111", where=doubt) for doubt in quality_flags))


def draft_quality_checks(voi: str, *, estimated_dsc: float) -> tuple[Check, ...]:
    """Returns SJ115: the estimated DSC of an automatically segmented VOI is below 0.90.

    Args:
      voi: name of the VOI.
      estimated_dsc: Dice coefficient with the true organ, as the model's calibration estimates it.
    """
    limit = RULES["SJ115"].limit
    value = _finite_number(f"estimated DSC of {voi}", estimated_dsc)
    below = isinstance(limit, float) and value < limit
    return (make_check("SJ115", where=voi, value=value),) if below else ()


def tn_ratio_checks(tumour: str, *, tn_ratio: float) -> tuple[Check, ...]:
    """Returns SJ201: the T/N ratio of a tumour is below 1.5."""
    limit = RULES["SJ201"].limit
    low = _finite_number(f"T/N ratio of {tumour}", tn_ratio) < (limit if isinstance(limit, float) else 0.0)
    return (make_check("SJ201", where=tumour, value=tn_ratio),) if low else ()


def counts_checks(
    *,
    liver_fraction_outside_territories: float,
    fraction_outside_liver_and_lungs: float,
    cold_fractions: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Check, ...]:
    """Returns SJ202, SJ203: counts outside the expected regions; SJ204: territories partly without uptake.

    Args:
      liver_fraction_outside_territories: counts of the liver outside all territories, as a fraction of the liver's.
      fraction_outside_liver_and_lungs: counts outside liver and lungs, as a fraction of all.
      cold_fractions: fraction of the normal tissue without uptake, by territory.
    """
    outside = _above("SJ202", liver_fraction_outside_territories) + _above("SJ203", fraction_outside_liver_and_lungs)
    cold = [check for name, one in cold_fractions.items() for check in _above("SJ204", one, where=name)]
    return (*outside, *cold)


def lung_shunt_checks(lung_shunt_fraction: float, *, device: str, planar: bool = False) -> tuple[Check, ...]:
    """Returns SJ301 (above 10 %) or SJ302 (above 20 %) for resin, SJ306 for a planar measurement.

    Args:
      lung_shunt_fraction: largest lung shunt fraction of all injections.
      device: "resin", "glass" or "holmium"; the limits are those of the BSA method, which is only for resin.
      planar: whether the shunt was measured on planar images without attenuation correction.
    """
    number = _finite_number("lung shunt fraction", lung_shunt_fraction)
    found = _above("SJ302", number) or _above("SJ301", number) if device == "resin" else ()
    return found + ((make_check("SJ306"),) if planar else ())


def lung_dose_checks(
    lung_dose_gy: float,
    *,
    previous_gy: float,
    single_limit_gy: float | None = None,
    cumulative_limit_gy: float | None = None,
) -> tuple[Check, ...]:
    """Returns SJ303, SJ304: mean lung dose of this treatment, and including earlier treatments.

    Args:
      lung_dose_gy: mean lung dose of this treatment, from all injections.
      previous_gy: mean lung dose of earlier treatments.
      single_limit_gy: limit of the protocol for one treatment. Default: 30 Gy.
      cumulative_limit_gy: limit of the protocol for all treatments. Default: 50 Gy.
    """
    return _above("SJ303", lung_dose_gy, limit=single_limit_gy) + _above(
        "SJ304", lung_dose_gy + _finite_number("previous lung dose", previous_gy), limit=cumulative_limit_gy
    )


def lungs_missing_checks(*, lung_mask: bool, lung_mass_g: float | None) -> tuple[Check, ...]:
    """Returns SJ305: the lungs were not segmented; states the mass used instead."""
    return () if lung_mask else (make_check("SJ305", value=lung_mass_g),)


def stated_lung_mass_checks(lung_mass_g: float | None) -> tuple[Check, ...]:
    """Returns SJ315: a stated lung mass is not that of an adult; None if it was not stated."""
    limit = RULES["SJ315"].limit
    if lung_mass_g is None or not isinstance(limit, tuple) or limit[0] <= lung_mass_g <= limit[1]:
        return ()
    return (make_check("SJ315", value=_finite_number("lung mass", lung_mass_g)),)


def calibration_checks(image: str, *, reference_time_known: bool) -> tuple[Check, ...]:
    """Returns SJ601: an absolute activity image without reference time."""
    return () if reference_time_known else (make_check("SJ601", where=image),)


def positron_fraction_checks(
    stated: float | None, *, calibrated: bool, relative_tolerance: float = 0.05
) -> tuple[Check, ...]:
    """Returns SJ606: a PET was calibrated with another positron fraction than that of 90Y.

    Args:
      stated: positrons per decay in the header; None if it states none.
      calibrated: whether the case states a calibration factor, which accounts for it.
      relative_tolerance: largest relative difference without a check; the published value has two digits.
    """
    if stated is None or calibrated or abs(stated / Y90_POSITRON_FRACTION - 1.0) <= relative_tolerance:
        return ()
    return (make_check("SJ606", value=stated, limit=Y90_POSITRON_FRACTION),)


def constant_checks(
    name: str, *, used: float, protocol: float, unit: str, relative_tolerance: float = 1e-4
) -> tuple[Check, ...]:
    """Returns SJ602: a dose constant, density or lung mass differs from the protocol's.

    Args:
      name: name of the constant.
      used: value used.
      protocol: value of the protocol.
      unit: unit of both values.
      relative_tolerance: largest relative difference that counts as rounding.
    """
    if math.isclose(used, protocol, rel_tol=relative_tolerance):
        return ()
    return (make_check("SJ602", where=name, value=used, limit=protocol, unit=unit),)


def dose_method_checks(*, used: str, protocol: str) -> tuple[Check, ...]:
    """Returns SJ604: the dose method is not the one that the limits of the protocol belong to."""
    if used == protocol:
        return ()
    return (make_check("SJ604", where=f"dose method {used} here, {protocol} in the protocol"),)


def voxel_size_checks(lesion: str, *, voxel_mm: float, limit_mm: float) -> tuple[Check, ...]:
    """Returns SJ605: voxels of the dose grid are too wide for a lesion.

    Args:
      lesion: name of the lesion.
      voxel_mm: widest side of a voxel.
      limit_mm: widest side that suits the lesion.
    """
    if voxel_mm <= limit_mm * (1 + 1e-4):
        return ()
    return (make_check("SJ605", where=lesion, value=voxel_mm, limit=limit_mm),)


def unverified_checks(*names: str) -> tuple[Check, ...]:
    """Returns SJ603: numbers that the protocol marks as unverified."""
    return tuple(make_check("SJ603", where=name) for name in names)


def delivered_activity_checks(territory: str, *, planned_mbq: float, delivered_mbq: float) -> tuple[Check, ...]:
    """Returns SJ522: delivered and planned activity of a territory differ by more than 10 %.

    Args:
      territory: territory of the injection.
      planned_mbq: activity in the patient at injection by the plan, above 0.
      delivered_mbq: activity in the patient at injection.
    """
    return _changed("SJ522", territory, delivered_mbq / planned_mbq - 1.0)


def injected_territory_checks(
    *, planned_mbq: Mapping[str, float], delivered_mbq: Mapping[str, float]
) -> tuple[Check, ...]:
    """Returns SJ523 for unplanned injections, SJ524 for planned territories without injection.

    Args:
      planned_mbq: activity by territory in the plan.
      delivered_mbq: activity by territory that was injected.
    """
    unplanned = [name for name in delivered_mbq if name not in planned_mbq]
    missed = [name for name in planned_mbq if name not in delivered_mbq]
    return (
        *(make_check("SJ523", where=name, value=delivered_mbq[name]) for name in unplanned),
        *(make_check("SJ524", where=name, value=planned_mbq[name]) for name in missed),
    )


def planned_volume_checks(voi: str, *, planned_ml: float, found_ml: float) -> tuple[Check, ...]:
    """Returns SJ517: the volume of a VOI differs from its volume in the plan by more than a tenth."""
    return _changed("SJ517", voi, found_ml / planned_ml - 1.0)


def plan_position_checks(*, dice: float, centroid_mm: float) -> tuple[Check, ...]:
    """Returns SJ529: the warped liver of the plan overlaps the liver after treatment too little.

    Args:
      dice: Dice coefficient of both livers.
      centroid_mm: distance of their centroids, mm.
    """
    limit = RULES["SJ529"].limit
    low = isinstance(limit, float) and _finite_number("DSC", dice) < limit
    return (make_check("SJ529", where=f"{centroid_mm:.1f} mm", value=dice),) if low else ()


def staged_activity_checks(fraction_outside: float) -> tuple[Check, ...]:
    """Returns SJ407: staged injections, with liver activity outside the injected territories."""
    return _above("SJ407", fraction_outside)


def _changed(code: str, where: str, change: float) -> tuple[Check, ...]:
    """The check of a relative change: its limit is on the size, its value has the sign."""
    return (make_check(code, where=where, value=change),) if _above(code, abs(change), where) else ()


def _above(code: str, value: float, where: str | None = None, *, limit: float | None = None) -> tuple[Check, ...]:
    threshold = RULES[code].limit if limit is None else limit
    # An activity chosen at a limit meets it up to rounding.
    over = isinstance(threshold, float) and _finite_number(RULES[code].title, value) > threshold * (1 + ROUNDING)
    return (make_check(code, where=where, value=value, limit=limit),) if over else ()


def _finite_number(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InputError(f"{name} is {value}; a check needs a finite number")
    return value
