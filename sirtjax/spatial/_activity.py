from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ComputationError, InputError
from sirtjax.ops import FlatGrid
from sirtjax.spatial._affine import checked_matrix, identity
from sirtjax.spatial._displacement import DisplacementField, cell_volume_ratio
from sirtjax.spatial._overlap import covered_fraction
from sirtjax.spatial._resample import mean_on_grid
from sirtjax.spatial._source import to_device
from sirtjax.spatial._transform import Transform
from sirtjax.volume import Geometry, Volume


def resample_activity(volume: Volume, geometry: Geometry, *, transform: Transform | None = None) -> Volume:
    """An activity map on another grid, with its total kept over what both grids share. On the host.

    Each voxel of the result is the mean of the linearly interpolated map over that voxel (not its value at
    the centre), times the local volume ratio of the transform, as tissue that shrinks concentrates its
    activity. One factor for the whole map, close to one, then makes the total (concentration times volume)
    equal to that of the source inside the new grid. A source voxel cut by a face of the new grid counts with
    the part that is inside; activity beyond the new grid is left out, never pushed into it.

    Args:
      volume: activity concentration (per mL), or counts per voxel when the unit is "counts".
      geometry: the reference grid.
      transform: pull, from `geometry`'s space to the map's; identity by default.

    Returns:
      The map on `geometry` in the same unit, float32; zero outside the source.

    Raises:
      InputError: negative or non-finite voxels.
      GeometryError: the transform is not usable.
      ComputationError: activity inside the new grid was missed altogether.
    """
    array = np.asarray(volume.array, np.float32)
    if not np.isfinite(array).all():
        raise InputError("the activity map has voxels that are not finite; mend or mask them first")
    if array.size and float(array.min()) < 0:
        raise InputError(f"the activity map has negative voxels (down to {float(array.min()):.4g} {volume.unit})")
    transform = identity() if transform is None else transform
    values = mean_on_grid(array, volume.geometry, geometry, transform, fill=0.0, volume_ratio=_volume_ratio(transform))
    if not isinstance(transform, DisplacementField):
        values *= abs(np.linalg.det(checked_matrix(transform.floating_from_reference)[:3, :3]))
    expected = _covered_total(array, volume.geometry, geometry, transform) * volume.geometry.voxel_volume_ml
    found = float(values.sum(dtype=np.float64)) * geometry.voxel_volume_ml
    if expected > 0 and found <= 0:
        raise ComputationError(
            f"resampling lost all activity inside the new grid ({geometry}); use a grid closer to the map's "
            f"({volume.geometry})"
        )
    if found > 0:
        values *= expected / found
    if volume.unit == "counts":
        values *= geometry.voxel_volume_ml / volume.geometry.voxel_volume_ml
    return Volume(values, geometry, unit=volume.unit)


def _volume_ratio(transform: Transform) -> FlatGrid | None:
    """Local volume ratio less one of the field's cells: where the field ends, nothing is added to one."""
    if not isinstance(transform, DisplacementField):
        return None
    field = DisplacementField(np.asarray(transform.array, np.float32), transform.geometry)
    ratio: NDArray[Any] = np.maximum(cell_volume_ratio(field), 0.0) - 1.0
    return to_device(ratio.astype(np.float32), low=np.full(3, -0.5), high=np.asarray(ratio.shape) - 0.5)


def _covered_total(array: NDArray[np.float32], floating: Geometry, reference: Geometry, transform: Transform) -> float:
    covered = covered_fraction(floating, reference, transform)
    return float(np.einsum("ijk,ijk->", array, covered, dtype=np.float64))
