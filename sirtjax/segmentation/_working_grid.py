from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from sirtjax import spatial
from sirtjax.volume import Geometry, Volume, bounding_box, crop_geometry

FloatArray = NDArray[np.float32]
Box = tuple[slice, slice, slice]
# Voxels of the image around the part that is brought back.
MARGIN = 2


def box_on_image(grid: Geometry, box: Box, geometry: Geometry) -> Box:
    """Returns the voxels of the image that a box of the network's grid reaches, with a small margin."""
    part = crop_geometry(grid, [s.start for s in box], [s.stop for s in box])
    ends = geometry.to_voxel(part.corners_mm())
    start = np.clip(np.floor(ends.min(axis=0)).astype(int) - MARGIN, 0, np.asarray(geometry.shape) - 1)
    stop = np.clip(np.ceil(ends.max(axis=0)).astype(int) + 1 + MARGIN, start + 1, geometry.shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return i, j, k


def slabs_on_image(
    maps: Sequence[Float32[np.ndarray, "i j k"]], grid: Geometry, geometry: Geometry, box: Box
) -> Iterator[tuple[Box, list[Float32[np.ndarray, "a b c"]]]]:
    """Interpolates a map on the network's grid linearly to a box of the image's voxels, by slabs.

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


def resample_to_image(volume: Volume, geometry: Geometry, *, step: float | None = None) -> Volume:
    """Returns a map on a network's grid, linearly interpolated to an image's grid; zero outside.

    For example a probability.

    Args:
      volume: the map.
      geometry: the image's grid.
      step: round to multiples of this, so that the map compresses well. Only the box that does not become zero is
        computed.
    """
    values = np.zeros(geometry.shape, np.float32)
    array = np.asarray(volume.array)
    box: Box | None = (slice(0, geometry.shape[0]), slice(0, geometry.shape[1]), slice(0, geometry.shape[2]))
    if step is not None:
        # Interpolated values are never larger than those around them; a little below one half for rounding errors.
        box = reach_on_image(np.abs(array) > 0.49 * step, volume.geometry, geometry)
    if box is None:
        return Volume(values, geometry, unit=volume.unit)
    for place, (one,) in slabs_on_image([array], volume.geometry, geometry, box):
        values[place] = one if step is None else np.rint(one * np.float32(1 / step)) * np.float32(step)
    return Volume(values, geometry, unit=volume.unit)


def reach_on_image(found: Bool[np.ndarray, "i j k"], grid: Geometry, geometry: Geometry) -> Box | None:
    """Returns the image voxels that interpolation from the voxels found reaches; None if there are none.

    Args:
      found: (i, j, k) voxels of the network's grid.
      grid: the network's grid.
      geometry: the image's grid.
    """
    if not found.any():
        return None
    start, stop = bounding_box(found, margin=1)
    part = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
    return box_on_image(grid, part, geometry)
