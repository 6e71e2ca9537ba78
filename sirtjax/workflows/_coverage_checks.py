"""Checks of what the activity image shows of each VOI, and of liver in the lung."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry import CHECKS, Check, make_check

LIMITS = {rule.code: rule.limit for rule in CHECKS}


def lung_overlap_checks(overlap_ml: float, *, liver_ml: float) -> tuple[Check, ...]:
    """Returns SJ112: a part of the liver is also lung.

    Args:
      overlap_ml: volume of the liver mask in the lung mask, or without one in lung by the CT.
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


def seen_lungs_checks(seen_fraction: float) -> tuple[Check, ...]:
    """Returns SJ611: the activity image shows only a part of the lungs."""
    return _below("SJ611", seen_fraction, None)


def uninjected_checks(
    counts: Float[np.ndarray, "i j k"],
    liver: Float[np.ndarray, "i j k"],
    injected: Sequence[Float[np.ndarray, "i j k"]],
) -> tuple[Check, ...]:
    """Returns SJ205: the liver shows activity outside the injected territories.

    Args:
      counts: activity image on the dose grid.
      liver: fraction of each voxel in the liver.
      injected: fraction of each voxel in each injected territory.
    """
    in_liver = float(np.vdot(counts, liver))
    inside = float(np.vdot(counts, np.minimum(liver, np.maximum.reduce(list(injected)))))
    limit = LIMITS["SJ205"]
    fraction = 1.0 - inside / in_liver if in_liver > 0 else 0.0
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
