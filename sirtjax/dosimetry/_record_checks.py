"""Checks of the treatment record: measured activities, residual, dates and liver function."""

from __future__ import annotations

from collections.abc import Sequence

from sirtjax.dosimetry._check_rules import RULES
from sirtjax.dosimetry._checks import ROUNDING, Check, make_check
from sirtjax.dosimetry._liver_function import albi_grade
from sirtjax.dosimetry._liver_function import bilirubin_umol_per_l as to_umol_per_l
from sirtjax.dosimetry._protocol import ProtocolObjective
from sirtjax.errors import InputError


def stated_activity_checks(territory: str, *, activity_mbq: float) -> tuple[Check, ...]:
    """Returns SJ507: a stated activity that is probably in another unit.

    Args:
      territory: territory of the injection.
      activity_mbq: activity as stated; 0 is accepted.
    """
    limit = RULES["SJ507"].limit
    if not isinstance(limit, tuple) or activity_mbq == 0 or limit[0] <= activity_mbq <= limit[1]:
        return ()
    return (make_check("SJ507", where=territory, value=activity_mbq),)


def recorded_activity_checks(territory: str, *, change: float, limit: float | None = None) -> tuple[Check, ...]:
    """Returns SJ550: the activity of an injection contradicts the measurements of its vials.

    Args:
      territory: territory of the injection.
      change: activity of the case divided by the measured one, minus 1.
      limit: tolerance of the case, as a fraction of 1. Default: tolerance of the table of checks.
    """
    return _beyond("SJ550", territory, change, limit)


def recorded_residual_checks(where: str, *, change: float, limit: float | None = None) -> tuple[Check, ...]:
    """Returns SJ551: the residual of an injection contradicts the measured residual.

    Args:
      where: territory with both residuals.
      change: delivered fraction of the case divided by the measured one, minus 1.
      limit: tolerance of the case, as a fraction of 1. Default: tolerance of the table of checks.
    """
    return _beyond("SJ551", where, change, limit)


def vial_calibration_checks(where: str, *, change: float, limit: float | None = None) -> tuple[Check, ...]:
    """Returns SJ552: the activity measured in a vial differs from its calibration after decay.

    Args:
      where: name of the vial.
      change: measured activity divided by the decayed calibrated one, minus 1.
      limit: tolerance of the case, as a fraction of 1. Default: tolerance of the table of checks.
    """
    return _beyond("SJ552", where, change, limit)


def albi_checks(score: float, *, stated_score: float | None, stated_grade: int | None) -> tuple[Check, ...]:
    """Returns SJ553: the stated ALBI score or grade differs from the computed one.

    Args:
      score: score computed from bilirubin and albumin.
      stated_score: score of the case; None if it states none.
      stated_grade: grade of the case; None if it states none.
    """
    limit = RULES["SJ553"].limit
    differs = []
    if stated_score is not None and isinstance(limit, float) and abs(stated_score - score) > limit:
        differs.append(f"score {stated_score:.2f}")
    if stated_grade is not None and stated_grade != albi_grade(score):
        differs.append(f"grade {stated_grade}")
    if not differs:
        return ()
    where = f"ALBI {' and '.join(differs)} (computed: {score:.2f}, grade {albi_grade(score)})"
    return (make_check("SJ553", where=where),)


def laboratory_checks(
    *,
    bilirubin_umol_per_l: float | None,
    albumin_g_per_l: float | None,
    objectives: Sequence[ProtocolObjective] = (),
) -> tuple[Check, ...]:
    """Returns checks of the laboratory values.

    They are SJ554 for a value out of range, SJ556 for a bilirubin that contradicts a limit, and SJ557 if it is missing.

    Args:
      bilirubin_umol_per_l: total bilirubin; None if unknown.
      albumin_g_per_l: albumin; None if unknown.
      objectives: objectives of the protocol that are in use.
    """
    found: list[Check] = []
    for name, value, limit, unit in (
        ("bilirubin", bilirubin_umol_per_l, BILIRUBIN_RANGE, "umol/L"),
        ("albumin", albumin_g_per_l, ALBUMIN_RANGE, "g/L"),
    ):
        if value is not None and not limit[0] <= value <= limit[1]:
            found.append(make_check("SJ554", where=name, value=value, limit=limit, unit=unit))
    if bilirubin_umol_per_l is None:
        for row in objectives:
            for threshold, side in ((row.bilirubin_above_mg_dl, "above"), (row.bilirubin_below_mg_dl, "below")):
                if threshold is not None:
                    where = f"{_label(row)} (total bilirubin {side} {threshold:g} mg/dL)"
                    found.append(make_check("SJ557", where=where, limit=threshold))
        return tuple(found)
    mg_dl = bilirubin_umol_per_l / to_umol_per_l(1.0, unit="mg/dL")
    for row in objectives:
        low, high = row.bilirubin_above_mg_dl, row.bilirubin_below_mg_dl
        for bound, contradicts in ((low, low is not None and mg_dl < low), (high, high is not None and mg_dl > high)):
            if contradicts:
                found.append(make_check("SJ556", where=_label(row), value=mg_dl, limit=bound))
    return tuple(found)


def _label(row: ProtocolObjective) -> str:
    """The objective with the role of its VOI in words."""
    return row.objective.label.replace("whole_normal", "normal liver").replace("_", " ")


def treatment_date_checks(day: str, others: Sequence[str]) -> tuple[Check, ...]:
    """Returns SJ555: the treatment date differs from the day of an injection or a measurement.

    Args:
      day: treatment date, ISO 8601.
      others: measurements on other days, with their names.
    """
    return (make_check("SJ555", where=f"{day}; {'; '.join(others)}"),) if others else ()


# An albumin in g/dL read as g/L, or the reverse, is outside. A bilirubin in mg/dL read as umol/L is outside only below
# 2 mg/dL, and one in umol/L read as mg/dL only above 58 umol/L: values between are possible in both units.
BILIRUBIN_RANGE = (2.0, 1000.0)
ALBUMIN_RANGE = (10.0, 70.0)


def _beyond(code: str, where: str, change: float, limit: float | None) -> tuple[Check, ...]:
    threshold = RULES[code].limit if limit is None else limit
    if not isinstance(threshold, float):
        raise InputError(f"{code}: no tolerance; set record.activity_tolerance")
    if abs(change) <= threshold * (1 + ROUNDING):
        return ()
    return (make_check(code, where=where, value=change, limit=threshold),)
