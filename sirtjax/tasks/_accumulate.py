"""Dose and BED of several treatments, from dose images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from sirtjax import dosimetry, spatial
from sirtjax.errors import ConfigError, InputError
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import on_grid


@dataclass(frozen=True, kw_only=True, eq=False)
class AccumulatedDose:
    """Dose and BED of several treatments on one grid.

    Attributes:
      dose_gy: (i, j, k) sum of the doses.
      bed_gy: (i, j, k) sum of the BEDs; None without tissue parameters.
    """

    dose_gy: Volume
    bed_gy: Volume | None


def accumulate(
    doses: Sequence[Volume],
    *,
    transforms: Sequence[spatial.Transform | None] | None = None,
    reference: Geometry | None = None,
    tissue: dosimetry.TissueParameters | None = None,
    half_life_h: Sequence[float] | None = None,
) -> AccumulatedDose:
    """Adds the doses and BEDs of several treatments on the grid of the first, or on another.

    Each dose is averaged over the voxels of the grid. The BED of each treatment is computed on its own grid.

    Args:
      doses: absorbed dose of each treatment in Gy, (i, j, k), not negative.
      transforms: pull transform of each, from points of the reference to points of its image (LPS mm); None for
        identity. Default: identity for all.
      reference: grid of the sum. Default: grid of the first dose.
      tissue: parameters with alpha/beta and repair half-time. Default: no BED.
      half_life_h: half-life of the nuclide of each treatment; required with `tissue`.

    Raises:
      InputError: there is no dose, one is not in Gy, negative or not finite, or a list has another length.
      ConfigError: the BED lacks a parameter.

    Examples:
      >>> import numpy as np
      >>> import sirtjax as sj
      >>> grid = sj.Geometry.from_axes((6, 6, 6), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(0.0, 0.0, 0.0))
      >>> first, second = (sj.Volume(np.full(grid.shape, gy, np.float32), grid, unit="Gy") for gy in (60.0, 40.0))
      >>> tissue = sj.dosimetry.TissueParameters(source="example", alpha_beta_gy=2.5, repair_half_time_h=2.5)
      >>> total = sj.accumulate([first, second], tissue=tissue, half_life_h=[64.1, 26.8])
      >>> round(float(total.dose_gy.array.mean()), 1), round(float(total.bed_gy.array.mean()), 1)
      (100.0, 208.7)
    """
    moves = [None] * len(doses) if transforms is None else list(transforms)
    hours = None if half_life_h is None else list(half_life_h)
    if not doses or len(moves) != len(doses) or (hours is not None and len(hours) != len(doses)):
        raise InputError(
            f"{len(doses)} doses, {len(moves)} transforms, {'no' if hours is None else len(hours)} half-lives; "
            "provide one transform (or None) and one half-life for each dose"
        )
    for number, dose in enumerate(doses, start=1):
        values = np.asarray(dose.array)
        if dose.unit != "Gy" or not np.isfinite(values).all() or values.min() < 0:
            raise InputError(f"dose {number}: expected finite doses in Gy that are not negative; check the image")
    grid = doses[0].geometry if reference is None else reference
    moved = [_moved(dose, grid, move) for dose, move in zip(doses, moves, strict=True)]
    total = Volume(_added(moved), grid, unit="Gy")
    if tissue is None:
        return AccumulatedDose(dose_gy=total, bed_gy=None)
    ratio, repair = tissue.alpha_beta_gy, tissue.repair_half_time_h
    if hours is None or ratio is None or repair is None:
        raise ConfigError("the BED needs alpha_beta_gy and repair_half_time_h of the tissue, and half_life_h")
    beds = []
    for dose, move, half in zip(doses, moves, hours, strict=True):
        bed = dosimetry.bed_gy(dose.array, alpha_beta_gy=ratio, repair_half_time_h=repair, half_life_h=half)
        beds.append(_moved(Volume(np.asarray(bed), dose.geometry, unit="Gy"), grid, move))
    return AccumulatedDose(dose_gy=total, bed_gy=Volume(_added(beds), grid, unit="Gy"))


def _added(parts: Sequence[Float32[np.ndarray, "i j k"]]) -> Float32[np.ndarray, "i j k"]:
    return np.asarray(np.sum(parts, axis=0, dtype=np.float64), np.float32)


def _moved(dose: Volume, grid: Geometry, transform: spatial.Transform | None) -> Float32[np.ndarray, "i j k"]:
    return np.asarray(on_grid(dose, grid, spatial.identity() if transform is None else transform).array)
