"""The future liver remnant: the liver outside the injected territories, and its dose."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._remnant_record import LiverRemnant
from sirtjax.workflows._setting import DosimetryContext

# Less than this fraction of the liver is rounding at the faces of territories.
SLIVER_FRACTION = 1e-3
# Relative, of doses in single precision.
ROUNDING = 1e-5


def liver_remnant(
    case: Case, setting: DosimetryContext, dose_gy: Float32[np.ndarray, "i j k"]
) -> tuple[LiverRemnant, tuple[Check, ...]]:
    """Returns the future liver remnant and the check of its dose.

    Args:
      case: the case, with its limit on the remnant.
      setting: the mapped case.
      dose_gy: (i, j, k) dose.

    Raises:
      ConfigError: the case limits the dose of a remnant, and the injected territories contain the whole liver.
    """
    weights = {voi.name: voi.weight for voi in setting.vois}
    liver = weights["liver"]
    normal = weights.get("normal liver", np.zeros_like(liver))
    treated = np.zeros_like(liver)
    for weight in setting.treated().values():
        treated = np.minimum(treated + weight, 1.0)
    # The part of a voxel outside the territories has the tumour fraction of the voxel.
    outside = np.maximum(liver - treated, 0.0) / np.where(liver > 0, liver, 1.0)
    voxel_ml = setting.mapped.geometry.voxel_volume_ml
    parts = [_part(weight, outside, dose_gy, voxel_ml) for weight in (liver, normal)]
    (volume_ml, fraction, mean_gy), (normal_ml, normal_fraction, normal_mean_gy) = parts
    table = case.remnant
    if table is not None and normal_mean_gy is None:
        raise ConfigError("remnant.limit_gy: the injected territories contain the whole normal liver; remove [remnant]")
    found = LiverRemnant(
        volume_ml=volume_ml,
        liver_fraction=fraction,
        normal_ml=normal_ml,
        normal_fraction=normal_fraction,
        mean_gy=mean_gy,
        normal_mean_gy=normal_mean_gy,
        limit_gy=None if table is None else table.limit_gy,
        limit_source="" if table is None else table.source,
    )
    if table is None or normal_mean_gy is None:
        return found, ()
    if normal_mean_gy <= table.limit_gy * (1 + ROUNDING):
        return found, ()
    return found, (make_check("SJ309", value=normal_mean_gy, limit=table.limit_gy, source=table.source),)


def _part(
    weight: Float32[np.ndarray, "i j k"],
    outside: Float32[np.ndarray, "i j k"],
    dose_gy: Float32[np.ndarray, "i j k"],
    voxel_ml: float,
) -> tuple[float, float, float | None]:
    """Volume, fraction and mean dose of the part of a VOI outside the injected territories."""
    whole = float(weight.sum(dtype=np.float64))
    part = weight * outside
    remaining = float(part.sum(dtype=np.float64))
    if whole <= 0 or remaining <= SLIVER_FRACTION * whole:
        return 0.0, 0.0, None
    mean_gy = float((dose_gy * part).sum(dtype=np.float64) / remaining)
    return remaining * voxel_ml, remaining / whole, mean_gy
