from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from sirtjax.errors import GeometryError
from sirtjax.volume._geometry import Geometry
from sirtjax.volume._volume import LabelMap, Volume

Image = TypeVar("Image", Volume, LabelMap)
Index = tuple[int, int, int]


def crop_geometry(geometry: Geometry, start: Sequence[int], stop: Sequence[int]) -> Geometry:
    """Returns the grid of the voxels from `start` to before `stop`, with unchanged world positions.

    Both may lie outside the grid, which then grows.

    Raises:
      GeometryError: no voxel is left.
    """
    first, last = np.asarray(start, int), np.asarray(stop, int)
    if first.shape != (3,) or last.shape != (3,) or (last <= first).any():
        raise GeometryError(f"a crop from {tuple(start)} to {tuple(stop)} leaves no voxel")
    affine = geometry.affine
    affine[:3, 3] = geometry.to_world(first)
    return Geometry.from_affine(tuple((last - first).tolist()), affine)


def crop(image: Image, start: Sequence[int], stop: Sequence[int]) -> Image:
    """Returns the voxels from `start` to before `stop`, with unchanged world positions.

    Args:
      image: a volume or label map.
      start: first index along i, j, k.
      stop: index after the last along i, j, k.

    Raises:
      GeometryError: no voxel is left, or the box reaches beyond the grid (see `pad`).

    Examples:
      >>> import numpy as np
      >>> from sirtjax.volume import Geometry, Volume, bounding_box, crop
      >>> grid = Geometry.from_axes((8, 8, 8), spacing_mm=(2.0, 2.0, 2.0))
      >>> image = Volume(np.arange(512.0).reshape(grid.shape), grid, unit="1")
      >>> start, stop = bounding_box(image.array > 500)
      >>> part = crop(image, start, stop)
      >>> part.geometry.shape, part.geometry.origin_mm
      ((1, 2, 8), (14.0, 12.0, 0.0))
    """
    shape = image.geometry.shape
    if min(start) < 0 or any(b > n for b, n in zip(stop, shape, strict=True)):
        raise GeometryError(f"a crop from {tuple(start)} to {tuple(stop)} leaves the grid of {shape} voxels")
    geometry = crop_geometry(image.geometry, start, stop)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return replace(image, array=image.array[i, j, k], geometry=geometry)


def pad(image: Image, before: Sequence[int], after: Sequence[int], *, fill: float = 0) -> Image:
    """Pads the image with voxels of value `fill`; its own voxels keep their world positions.

    On the host: the result holds a NumPy array.

    Args:
      image: a volume or label map.
      before: voxels added below index 0 along i, j, k.
      after: voxels added above the last index along i, j, k.
      fill: value of the added voxels.

    Raises:
      GeometryError: a negative number of voxels (see `crop`).
    """
    if min(*before, *after) < 0:
        raise GeometryError(f"padding must not be negative, got {tuple(before)} before, {tuple(after)} after")
    stop = [n + b for n, b in zip(image.geometry.shape, after, strict=True)]
    geometry = crop_geometry(image.geometry, [-int(b) for b in before], stop)
    widths = [(int(a), int(b)) for a, b in zip(before, after, strict=True)]
    padded = np.pad(np.asarray(image.array), widths, constant_values=fill)
    return replace(image, array=padded, geometry=geometry)


def bounding_box(mask: ArrayLike, *, margin: int = 0) -> tuple[Index, Index]:
    """Returns the smallest box around the mask: first indices, and indices after the last.

    Args:
      mask: (i, j, k) booleans.
      margin: voxels added on every side, as far as the grid goes.

    Raises:
      GeometryError: the mask is empty.
    """
    inside = np.asarray(mask, bool)
    start, stop = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(inside.any(axis=others))
        if found.size == 0:
            raise GeometryError("the mask is empty: it has no bounding box")
        start.append(max(0, int(found[0]) - margin))
        stop.append(min(inside.shape[axis], int(found[-1]) + 1 + margin))
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])
