from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import ComputationError, InputError
from sirtjax.spatial._affine import identity
from sirtjax.spatial._overlap import interior_mask
from sirtjax.spatial._resample import mean_on_grid
from sirtjax.spatial._transform import Transform
from sirtjax.volume import Geometry, Volume, pad


def resample_activity(volume: Volume, geometry: Geometry, *, transform: Transform | None = None) -> Volume:
    """Resamples an activity map, preserving the total in the common region. On the host.

    Each voxel of the result is the mean of the linearly interpolated map at the centres of its parts, one for each
    voxel of the map that it spans (two along each axis through a displacement field), times the local volume ratio of
    the transform, as tissue that shrinks concentrates its activity. When all activity lies inside the new grid, one
    factor for the whole map, close to one, then makes its total (concentration times volume) that of the source.
    Activity beyond the new grid is left out, never pushed into it; when a face of the new grid cuts through activity,
    no factor is used and the total of what is shared is that of the averaging, good to one part in a hundred or
    better. Beyond its own outermost voxels the map falls to zero over one voxel, which keeps what those voxels hold.

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
        raise InputError("the activity map has voxels that are not finite; correct or mask them first")
    if array.size and float(array.min()) < 0:
        raise InputError(
            f"the activity map has negative voxels (down to {float(array.min()):.4g} {volume.unit}); set them to 0, or "
            "use an image without them"
        )
    transform = identity() if transform is None else transform
    source = pad(Volume(array, volume.geometry, unit=volume.unit), (1, 1, 1), (1, 1, 1))
    values = mean_on_grid(np.asarray(source.array), source.geometry, geometry, transform, fill=0.0, conserve=True)
    if not np.any(source.array[~interior_mask(source.geometry, geometry, transform)]):
        values *= np.float32(_correction(source, values, geometry))
    if volume.unit == "counts":
        values *= geometry.voxel_volume_ml / volume.geometry.voxel_volume_ml
    return Volume(values, geometry, unit=volume.unit)


def _correction(source: Volume, values: NDArray[np.float32], reference: Geometry) -> float:
    expected = float(source.array.sum(dtype=np.float64)) * source.geometry.voxel_volume_ml
    found = float(values.sum(dtype=np.float64)) * reference.voxel_volume_ml
    if expected > 0 and found <= 0:
        raise ComputationError(
            f"resampling lost all activity inside the new grid ({reference}); use a grid closer to the map's "
            f"({source.geometry})"
        )
    return expected / found if expected > 0 else 1.0
