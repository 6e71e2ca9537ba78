from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.volume import Geometry, Volume, crop_geometry, reorient

FloatArray = NDArray[np.float32]
Box = tuple[slice, slice, slice]
# Turned by less than this, an image keeps its own axes: networks see patients that lie as askew, and no corner of the
# working grid lies outside of the image.
OBLIQUE_DEGREES = 5.0
# Voxels of the image around the part that is brought back.
MARGIN = 2


def working_grid(
    geometry: Geometry, *, spacing_mm: Sequence[float], axes: str, most_degrees: float = OBLIQUE_DEGREES
) -> Geometry:
    """A network's grid for an image: over its field of view, with voxels of one size in one order.

    Along the image's own axes, sheared as they may be; along the world's where they are further off.

    Args:
      geometry: the image's grid.
      spacing_mm: voxel size along the result's i, j, k.
      axes: where its indices grow to, such as "LPS".
      most_degrees: how far the image's axes may be off the world's to be kept.
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
    # What exceeds a whole number of voxels by the rounding of an affine is no voxel.
    shape = np.maximum(1, np.ceil(extent / spacing_mm - 1e-3)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(spacing_mm)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return Geometry.from_affine(shape.tolist(), affine)


def to_grid(volume: Volume, grid: Geometry, *, fill: float) -> FloatArray:
    """An image on the network's grid: the mean over each of its voxels, `fill` outside of the image."""
    if spatial.are_aligned(volume.geometry, grid):
        sampling = spatial.aligned_sampling(volume.geometry, grid, antialias=True)
        return spatial.sample_aligned(np.asarray(volume.array), sampling, fill=fill)
    return np.asarray(spatial.resample(volume, grid, fill=fill, antialias=True).array, np.float32)


def box_on_image(grid: Geometry, box: Box, geometry: Geometry) -> Box:
    """The voxels of the image that a box of the network's grid reaches, and a few around."""
    part = crop_geometry(grid, [s.start for s in box], [s.stop for s in box])
    ends = geometry.to_voxel(part.corners_mm())
    start = np.clip(np.floor(ends.min(axis=0)).astype(int) - MARGIN, 0, np.asarray(geometry.shape) - 1)
    stop = np.clip(np.ceil(ends.max(axis=0)).astype(int) + 1 + MARGIN, start + 1, geometry.shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return i, j, k


def slabs_on_image(
    maps: Sequence[FloatArray], grid: Geometry, geometry: Geometry, box: Box
) -> Iterator[tuple[Box, list[FloatArray]]]:
    """Maps on the network's grid, linearly interpolated to a box of the image's voxels, some planes at a time.

    Args:
      maps: (i, j, k) values each, zero outside.
      grid: theirs.
      geometry: the image's.
      box: voxels of the image.

    Yields:
      The voxels of the image, and the values of each map there.
    """
    part = crop_geometry(geometry, [s.start for s in box], [s.stop for s in box])
    sampling = spatial.aligned_sampling(grid, part) if spatial.are_aligned(grid, part) else None
    for slab in spatial.slabs(part.shape[0]):
        place = (slice(box[0].start + slab.start, box[0].start + slab.stop), box[1], box[2])
        if sampling is not None:
            yield place, [spatial.sample_slab(one, sampling, slab) for one in maps]
        else:
            here = crop_geometry(part, (slab.start, 0, 0), (slab.stop, part.shape[1], part.shape[2]))
            yield (
                place,
                [
                    np.asarray(spatial.resample(Volume(one, grid, unit="1"), here, fill=0.0).array, np.float32)
                    for one in maps
                ],
            )


def _straight(axes: str) -> NDArray[np.float64]:
    """Unit vectors of the axes named, as columns, in the LPS world."""
    columns = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row, sign = columns[letter]
        matrix[row, column] = sign
    return matrix


def on_image(volume: Volume, geometry: Geometry) -> Volume:
    """A map on a network's grid, such as a probability, linearly interpolated to an image's grid; zero outside."""
    values = np.empty(geometry.shape, np.float32)
    whole = (slice(0, geometry.shape[0]), slice(0, geometry.shape[1]), slice(0, geometry.shape[2]))
    for place, (one,) in slabs_on_image([np.asarray(volume.array)], volume.geometry, geometry, whole):
        values[place] = one
    return Volume(values, geometry, unit=volume.unit)
