"""Checks of what the activity image shows of each VOI, and of liver in the lung."""

from __future__ import annotations

from sirtjax.dosimetry import CHECKS, Check, make_check

_LIMITS = {rule.code: rule.limit for rule in CHECKS}


def lung_overlap_checks(overlap_ml: float, *, liver_ml: float) -> tuple[Check, ...]:
    """Returns SJ112: a part of the liver is also lung.

    Args:
      overlap_ml: volume of the liver mask in the lung mask, or without one in lung by the CT.
      liver_ml: volume of the liver.
    """
    limit = _LIMITS["SJ112"]
    fraction = overlap_ml / liver_ml if liver_ml > 0 else 0.0
    if not isinstance(limit, float) or fraction <= limit:
        return ()
    return (make_check("SJ112", where=f"{overlap_ml:.0f} mL", value=fraction),)


def seen_voi_checks(voi: str, seen_fraction: float) -> tuple[Check, ...]:
    """Returns SJ113: the activity image shows only a part of a VOI."""
    return _below("SJ113", seen_fraction, voi)


def seen_lungs_checks(seen_fraction: float) -> tuple[Check, ...]:
    """Returns SJ611: the activity image shows only a part of the lungs."""
    return _below("SJ611", seen_fraction, None)


def _below(code: str, value: float, where: str | None) -> tuple[Check, ...]:
    limit = _LIMITS[code]
    return (make_check(code, where=where, value=value),) if isinstance(limit, float) and value < limit else ()
