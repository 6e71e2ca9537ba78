from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.volume import Geometry, Volume, reorient

FloatArray = NDArray[np.float32]
# Turned by less than this, an image keeps its own axes: networks see patients that lie as askew, and no corner of the
# working grid lies outside of the image.
OBLIQUE_DEGREES = 5.0


def working_grid(
    geometry: Geometry, *, spacing_mm: Sequence[float], axes: str, most_degrees: float = OBLIQUE_DEGREES
) -> Geometry:
    """Returns a network's grid for an image: its field of view with fixed voxel size and axes.

    It follows the image's own axes, even if sheared, or the world's if the angle between them is too large.

    Args:
      geometry: grid of the image.
      spacing_mm: voxel size along the result's i, j, k.
      axes: directions of increasing indices, such as "LPS".
      most_degrees: largest angle between the image's axes and the world's at which the image's axes are used.

    Examples:
      >>> from sirtjax import preprocess
      >>> from sirtjax.volume import Geometry
      >>> ct = Geometry.from_axes((100, 100, 40), spacing_mm=(0.8, 0.8, 5.0))
      >>> preprocess.working_grid(ct, spacing_mm=(2.0, 2.0, 2.0), axes="LPS").shape  # 80 x 80 x 200 mm
      (40, 40, 100)
    """
    own = reorient(Volume(np.broadcast_to(np.float32(0), geometry.shape), geometry, unit="1"), axes).geometry
    straight = _straight(axes)
    cosines = np.abs(np.sum(own.direction * straight, axis=0))
    if np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))) <= most_degrees:
        direction, extent = own.direction, np.asarray(own.shape) * own.spacing_mm
        middle = own.centre_mm
    else:
        corners = geometry.corners_mm() @ straight
        direction, extent = straight, corners.max(axis=0) - corners.min(axis=0)
        middle = straight @ (corners.max(axis=0) + corners.min(axis=0)) / 2
    # What exceeds a whole number of voxels by the rounding of an affine is not a voxel.
    shape = np.maximum(1, np.ceil(extent / spacing_mm - 1e-3)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(spacing_mm)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return Geometry.from_affine(shape.tolist(), affine)


def to_grid(volume: Volume, grid: Geometry, *, fill: float) -> Float[np.ndarray, "i j k"]:
    """Averages an image over each voxel of the network's grid, `fill` outside of the image."""
    if spatial.are_aligned(volume.geometry, grid):
        sampling = spatial.aligned_sampling(volume.geometry, grid, antialias=True)
        return spatial.sample_aligned(np.asarray(volume.array), sampling, fill=fill)
    return np.asarray(spatial.resample(volume, grid, fill=fill, antialias=True).array, np.float32)


def _straight(axes: str) -> NDArray[np.float64]:
    """Unit vectors of the axes named, as columns, in the LPS world."""
    columns = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row, sign = columns[letter]
        matrix[row, column] = sign
    return matrix
