"""Dose and BED of several treatments, from dose images in memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from sirtjax import dosimetry, spatial
from sirtjax.errors import ConfigError, GeometryError, InputError
from sirtjax.volume import Geometry, Volume
from sirtjax.workflows import on_grid

_LOG = logging.getLogger(__name__)
# Tissue with dose: more than this fraction of the largest dose of the sum. Less is the rounding of a convolution.
WITH_DOSE = 0.01
# As check SJ545 of `sirtjax accumulate`.
OUTSIDE_LIMIT = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class AccumulatedDose:
    """Dose and BED of several treatments on one grid.

    Attributes:
      dose_gy: (i, j, k) sum of the doses.
      bed_gy: (i, j, k) sum of the BEDs; None without tissue parameters.
      outside_fraction: fraction of the tissue with dose that is outside the image of each treatment, which counts as
        0 Gy there. Tissue with dose has more than 1 % of the largest dose of the sum.
    """

    dose_gy: Volume
    bed_gy: Volume | None
    outside_fraction: tuple[float, ...]


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
    Outside its image, a treatment counts as 0 Gy. Above 1 % of the tissue with dose, this is logged as a warning.

    Args:
      doses: absorbed dose of each treatment in Gy, (i, j, k), not negative.
      transforms: pull transform of each, from points of the reference to points of its image (LPS mm); None for
        identity. Default: identity for all.
      reference: grid of the sum. Default: grid of the first dose.
      tissue: parameters with alpha/beta and repair half-time. Default: no BED.
      half_life_h: half-life of the nuclide of each treatment, above 0; required with `tissue`.

    Raises:
      InputError: there is no dose, one is not in Gy, negative or not finite, a half-life is not finite or not above 0,
        or a list has another length.
      GeometryError: a dose image has no voxel on the grid.
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
    for number, half in enumerate(hours or (), start=1):
        if not (math.isfinite(half) and half > 0):
            raise InputError(f"half_life_h {number}: expected a finite number of hours above 0, got {half:g}")
    grid = doses[0].geometry if reference is None else reference
    moved = [_moved(dose, grid, move) for dose, move in zip(doses, moves, strict=True)]
    total = Volume(_added(moved), grid, unit="Gy")
    outside = _outside(doses, moves, total)
    if tissue is None:
        return AccumulatedDose(dose_gy=total, bed_gy=None, outside_fraction=outside)
    ratio, repair = tissue.alpha_beta_gy, tissue.repair_half_time_h
    if hours is None or ratio is None or repair is None:
        raise ConfigError("the BED needs alpha_beta_gy and repair_half_time_h of the tissue, and half_life_h")
    beds = []
    for dose, move, half in zip(doses, moves, hours, strict=True):
        bed = dosimetry.bed_gy(dose.array, alpha_beta_gy=ratio, repair_half_time_h=repair, half_life_h=half)
        beds.append(_moved(Volume(np.asarray(bed), dose.geometry, unit="Gy"), grid, move))
    return AccumulatedDose(dose_gy=total, bed_gy=Volume(_added(beds), grid, unit="Gy"), outside_fraction=outside)


def _outside(doses: Sequence[Volume], moves: Sequence[spatial.Transform | None], total: Volume) -> tuple[float, ...]:
    """Returns the fraction of the tissue with dose outside each image, and logs those above the limit."""
    grid, sums = total.geometry, np.asarray(total.array)
    tissue = sums > WITH_DOSE * sums.max()
    found = []
    for number, (dose, move) in enumerate(zip(doses, moves, strict=True), start=1):
        if move is None and dose.geometry.matches(grid):
            found.append(0.0)
            continue
        covered = _moved(Volume(np.ones(dose.geometry.shape, np.float32), dose.geometry, unit="1"), grid, move)
        if not covered.any():
            raise GeometryError(
                f"dose {number}: its image has no voxel on the grid of the sum; check its transform and its frame "
                "(LPS mm)"
            )
        found.append(max(0.0, 1.0 - float(covered[tissue].mean(dtype=np.float64))) if tissue.any() else 0.0)
        if found[-1] > OUTSIDE_LIMIT:
            _LOG.warning(
                "dose %d: %.1f %% of the tissue with dose is outside its image and counts as 0 Gy there",
                number,
                100.0 * found[-1],
            )
    return tuple(found)


def _added(parts: Sequence[Float32[np.ndarray, "i j k"]]) -> Float32[np.ndarray, "i j k"]:
    return np.asarray(np.sum(parts, axis=0, dtype=np.float64), np.float32)


def _moved(dose: Volume, grid: Geometry, transform: spatial.Transform | None) -> Float32[np.ndarray, "i j k"]:
    return np.asarray(on_grid(dose, grid, spatial.identity() if transform is None else transform).array)
