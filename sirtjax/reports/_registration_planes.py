"""Planes of a registration's images: planes in world coordinates, sampled from grids of any orientation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sirtjax.spatial import DisplacementField, Transform, transform_points
from sirtjax.volume import Geometry, LabelMap, bounding_box

# World axes of a plane's columns and rows, the sign of the rows, the axis across, and the letters of its edges.
# Shown as radiologists expect: the patient's right on the left, the front on the left of a sagittal cut, head up.
_LAYOUT = {
    "axial": (0, 1, 1, 2, "RLAP"),
    "coronal": (0, 2, -1, 1, "RLHF"),
    "sagittal": (1, 2, -1, 0, "APHF"),
}
MARGIN_MM = 30.0
MIN_MM = 40.0


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A rectangle of the world, with square pixels.

    Attributes:
      name: "axial", "coronal" or "sagittal".
      column_axis: world axis along which columns run, upwards.
      row_axis: world axis along which rows run.
      row_sign: 1 if rows run up that axis, -1 if they run down.
      across_axis: world axis that is normal to the plane.
      at_mm: position of the plane along that axis.
      low_mm: (2,) lowest world position along the column and the row axis.
      size_mm: (2,) width and height.
      letters: letters of the left, right, upper and lower edge.
    """

    name: str
    column_axis: int
    row_axis: int
    row_sign: int
    across_axis: int
    at_mm: float
    low_mm: tuple[float, float]
    size_mm: tuple[float, float]
    letters: str

    def points_mm(self, step_mm: float, *, across_mm: float = 0.0) -> Float32[np.ndarray, "rows columns 3"]:
        """Returns world points (rows, columns, 3) at the centres of pixels about `step_mm` wide."""
        columns, rows = self.pixels(step_mm)
        x = self.low_mm[0] + (np.arange(columns) + 0.5) * self.size_mm[0] / columns
        y = self.low_mm[1] + (np.arange(rows) + 0.5) * self.size_mm[1] / rows
        points = np.empty((rows, columns, 3), np.float32)
        points[..., self.column_axis] = x
        points[..., self.row_axis] = y[:: self.row_sign, None]
        points[..., self.across_axis] = self.at_mm + across_mm
        return points

    def pixels(self, step_mm: float) -> tuple[int, int]:
        """Columns and rows of a picture with pixels about `step_mm` wide."""
        width, height = (max(2, round(size / step_mm)) for size in self.size_mm)
        return width, height


def planes_for(
    geometry: Geometry, masks: Mapping[str, LabelMap], transform: Transform, *, focus: str | None
) -> tuple[Plane, ...]:
    """Returns the axial, coronal and sagittal plane through the centre of the registered structure.

    Args:
      geometry: grid of the reference image, which contains the planes.
      masks: masks of the reference; the planes cut the middle of the one in focus and show all of it.
      transform: transform from the reference image; without a mask, the planes cut the middle of its field's grid.
      focus: name of the mask to cut through, None for no mask.
    """
    corners = geometry.corners_mm()
    low, high = corners.min(axis=0), corners.max(axis=0)
    if focus is not None:
        labels = masks[focus]
        centre, (first, last) = _middle_mm(labels, focus)
        box_low, box_high = first - MARGIN_MM, last + MARGIN_MM
    elif isinstance(transform, DisplacementField):
        box = transform.geometry.corners_mm()
        box_low, box_high, centre = box.min(axis=0), box.max(axis=0), transform.geometry.centre_mm
    else:
        box_low, box_high, centre = low, high, geometry.centre_mm
    low, high = np.maximum(low, box_low), np.minimum(high, box_high)
    high = np.maximum(high, low + MIN_MM)
    return tuple(_plane(name, centre, low, high) for name in _LAYOUT)


def sample_at(
    array: ArrayLike, geometry: Geometry, points_mm: Float[np.ndarray, "*shape 3"], *, fill: float
) -> Float32[np.ndarray, "*shape"]:
    """Returns an array's values (...) at world points (..., 3), linearly interpolated.

    Outside the grid it returns `fill`.
    """
    values = ndimage.map_coordinates(
        np.asarray(array),
        _voxels(geometry, points_mm),
        output=np.float32,
        order=1,
        mode="constant",
        cval=fill,
        prefilter=False,
    )
    return np.asarray(values, np.float32)


def _voxels(geometry: Geometry, points_mm: NDArray[Any]) -> NDArray[np.float32]:
    """Fractional indices (3, ...) of world points (..., 3); products by element beat a matrix of three columns."""
    affine = geometry.voxel_from_world.astype(np.float32)
    x, y, z = points_mm[..., 0], points_mm[..., 1], points_mm[..., 2]
    return np.stack([row[0] * x + row[1] * y + row[2] * z + row[3] for row in affine[:3]])


def moved_points_mm(
    transform: Transform, points_mm: Float32[np.ndarray, "*shape 3"]
) -> Float32[np.ndarray, "*shape 3"]:
    """Returns world points of the reference moved to the floating image."""
    return np.asarray(transform_points(transform, points_mm), np.float32)


def enlarged(
    values: Float32[np.ndarray, "rows columns 3"], shape: tuple[int, int]
) -> Float32[np.ndarray, "more_rows more_columns 3"]:
    """Returns vectors (rows, columns, 3) of a plane interpolated linearly on more and smaller pixels."""
    ends = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, values.shape[:2], strict=True)]
    places = np.stack(np.meshgrid(*ends, indexing="ij")).astype(np.float32)
    parts = [ndimage.map_coordinates(values[..., c], places, order=1, mode="nearest") for c in range(values.shape[-1])]
    return np.asarray(np.stack(parts, axis=-1), np.float32)


def volume_ratio(
    transform: Transform, plane: Plane, step_mm: float, *, moved_mm: Float32[np.ndarray, "rows columns 3"] | None = None
) -> Float32[np.ndarray, "rows columns"]:
    """Returns the Jacobian determinant of a transform in a plane, from differences over about `step_mm`.

    Args:
      transform: transform of the plane's points.
      plane: plane of the reference.
      step_mm: pixel size of the plane.
      moved_mm: positions of the points after the transform, if they are known.
    """
    here = moved_points_mm(transform, plane.points_mm(step_mm)) if moved_mm is None else moved_mm
    below, above = (
        moved_points_mm(transform, plane.points_mm(step_mm, across_mm=offset)) for offset in (-step_mm, step_mm)
    )
    columns, rows = plane.pixels(step_mm)
    row_mm = plane.row_sign * plane.size_mm[1] / rows
    slopes = np.empty((*here.shape[:2], 3, 3), np.float32)
    slopes[..., plane.column_axis] = np.gradient(here, plane.size_mm[0] / columns, axis=1)
    slopes[..., plane.row_axis] = np.gradient(here, row_mm, axis=0)
    slopes[..., plane.across_axis] = (above - below) / (2 * step_mm)
    a, b, c = (slopes[..., row, :] for row in range(3))
    return np.asarray((np.cross(a, b) * c).sum(axis=-1), np.float32)


def _plane(name: str, centre: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> Plane:
    column, row, sign, across, letters = _LAYOUT[name]
    return Plane(
        name=name,
        column_axis=column,
        row_axis=row,
        row_sign=sign,
        across_axis=across,
        at_mm=float(centre[across]),
        low_mm=(float(low[column]), float(low[row])),
        size_mm=(float(high[column] - low[column]), float(high[row] - low[row])),
        letters=letters,
    )


def _middle_mm(
    labels: LabelMap, name: str
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """A point in the middle of a mask, and the corners of the world's box around it."""
    mask = labels.mask(name)
    start, stop = bounding_box(mask)
    sums = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    middle = [round(float((s * np.arange(len(s))).sum() / s.sum())) for s in sums]
    if not mask[tuple(middle)]:  # a hollow or bent organ: the fullest slices pass through it
        middle = [int(s.argmax()) for s in sums]
    ends = np.stack(np.meshgrid(*zip(np.asarray(start) - 0.5, np.asarray(stop) - 0.5, strict=True), indexing="ij"), -1)
    corners = labels.geometry.to_world(ends.reshape(8, 3))
    return labels.geometry.to_world(middle), (corners.min(axis=0), corners.max(axis=0))
