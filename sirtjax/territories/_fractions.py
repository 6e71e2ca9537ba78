from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real, Shaped
from numpy.typing import ArrayLike

from sirtjax.errors import InputError
from sirtjax.typing import Array
from sirtjax.volume import LabelMap


@dataclass(frozen=True, kw_only=True)
class TerritoryFractions:
    """The fractions of the liver and of its activity in the territories.

    Attributes:
      names: names of the territories.
      volume_ml: volume of each territory inside the liver.
      volume_fraction: fraction of the liver's volume in each territory.
      liver_volume_ml: volume of the whole liver.
      gap_ml: volume of liver in no territory.
      overlap_ml: volume of liver that more than one territory claimed, before the overlap was resolved.
      outside_ml: volume claimed by a territory but outside the liver, and excluded.
      activity_fraction: fraction of the liver's activity in each territory; None without an activity map.
      gap_activity_fraction: fraction of the liver's activity in no territory; None without an activity map.
    """

    names: tuple[str, ...]
    volume_ml: tuple[float, ...]
    volume_fraction: tuple[float, ...]
    liver_volume_ml: float
    gap_ml: float
    overlap_ml: float = 0.0
    outside_ml: float = 0.0
    activity_fraction: tuple[float, ...] | None = None
    gap_activity_fraction: float | None = None


def activity_fractions(
    uptake: Real[Array, "i j k"], liver: Shaped[Array, "i j k"], territories: Shaped[Array, "territory i j k"]
) -> Float[jax.Array, " territory"]:
    """Computes the fraction of the liver's activity in each territory.

    Pure and differentiable; the arrays may be masks or fractions of voxels (`sirtjax.spatial.occupancy`), so
    that a coarse SPECT voxel on a boundary counts for both sides.

    Args:
      uptake: (i, j, k) counts, activity or concentration; only ratios matter.
      liver: (i, j, k) fraction of each voxel inside the liver.
      territories: (territory, i, j, k) fraction of each voxel inside each territory.

    Returns:
      (territory,) shares; they sum to 1 where the territories fill the liver. NaN without activity there.
    """
    weight = jnp.asarray(uptake, jnp.float32)
    total = jnp.sum(weight * liver)
    return jnp.sum(weight[None] * territories, axis=(1, 2, 3)) / total


def territory_fractions(
    territories: LabelMap,
    liver: LabelMap,
    *,
    uptake: ArrayLike | None = None,
    overlap_ml: float = 0.0,
    outside_ml: float = 0.0,
) -> TerritoryFractions:
    """Computes volumes and activity fractions of perfusion territories from whole voxels.

    Args:
      territories: territories on the liver's grid; voxels outside the liver are not counted.
      liver: any non-zero label is liver.
      uptake: (i, j, k) counts, activity or concentration on the same grid, 0 or more; only ratios matter.
      overlap_ml: overlap of the masks from which the territories were created, mL.
      outside_ml: volume of these masks outside the liver, mL.

    Returns:
      The fractions of each territory, in the order of its names.

    Raises:
      InputError: grids that differ, an empty liver, or an activity map that is negative, not finite, of
        another shape or without any activity in the liver.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import territories
      >>> from sirtjax.volume import Geometry, LabelMap
      >>> grid = Geometry.from_axes((4, 2, 2), spacing_mm=(10.0, 10.0, 10.0))
      >>> array = np.array([1, 1, 1, 2], np.uint8)[:, None, None] + np.zeros(grid.shape, np.uint8)
      >>> divided = LabelMap(array, grid, names=((1, "right"), (2, "left")))
      >>> liver = LabelMap.from_mask(array > 0, grid, name="liver")
      >>> territories.territory_fractions(divided, liver, uptake=np.ones(grid.shape)).activity_fraction
      (0.75, 0.25)
    """
    if not territories.geometry.matches(liver.geometry):
        raise InputError(f"territories on {territories.geometry}, liver on {liver.geometry}; resample one of them")
    inside = np.asarray(liver.array) != 0
    voxels = int(inside.sum())
    if voxels == 0:
        raise InputError("the liver mask is empty; give one with the liver in it")
    names = tuple(name for _, name in territories.names)
    masks = [territories.mask(name) & inside for name in names]
    counts = [int(mask.sum()) for mask in masks]
    voxel_ml = liver.geometry.voxel_volume_ml
    fractions: tuple[float, ...] | None = None
    gap_fraction: float | None = None
    if uptake is not None:
        values = _checked_uptake(uptake, inside)
        total = float(values[inside].sum())
        fractions = tuple(float(values[mask].sum()) / total for mask in masks)
        gap_fraction = float(values[inside & ~np.any(masks, axis=0)].sum()) / total
    return TerritoryFractions(
        names=names,
        volume_ml=tuple(count * voxel_ml for count in counts),
        volume_fraction=tuple(count / voxels for count in counts),
        liver_volume_ml=voxels * voxel_ml,
        gap_ml=(voxels - sum(counts)) * voxel_ml,
        overlap_ml=overlap_ml,
        outside_ml=outside_ml,
        activity_fraction=fractions,
        gap_activity_fraction=gap_fraction,
    )


def _checked_uptake(uptake: ArrayLike, inside: np.ndarray[Any, np.dtype[np.bool_]]) -> Array:
    values = np.asarray(uptake, np.float64)
    if values.shape != inside.shape:
        raise InputError(f"activity of shape {values.shape} on a liver of {inside.shape} voxels; resample it")
    if not np.isfinite(values[inside]).all() or values[inside].min() < 0:
        raise InputError("the activity map has negative or non-finite voxels in the liver; it must be 0 or more")
    if values[inside].sum() <= 0:
        raise InputError("there is no activity in the liver; check that the activity map overlaps the liver")
    return values
