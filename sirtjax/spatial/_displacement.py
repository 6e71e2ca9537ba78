from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from sirtjax.errors import GeometryError
from sirtjax.ops import namespace, sample_linear
from sirtjax.volume import Geometry

Array = Any


@partial(jax.tree_util.register_dataclass, data_fields=["array"], meta_fields=["geometry"])
@dataclass(frozen=True)
class DisplacementField:
    """A deformation of the world: reference point x goes to x + u(x) in the floating image (pull).

    Displacements between the field's voxels are interpolated linearly; outside its grid (more than half a
    voxel beyond the end voxels) a point stays where it is.

    Attributes:
      array: (i, j, k, 3) displacements in mm along the world's L, P, S axes, not along the grid's.
      geometry: where the field's voxels are, in the space of the reference image.
    """

    array: Array
    geometry: Geometry

    def __post_init__(self) -> None:
        # Tree transformations rebuild records around placeholders that have no shape.
        shape = getattr(self.array, "shape", None)
        if shape is not None and len(shape) >= 4 and tuple(shape[-4:]) != (*self.geometry.shape, 3):
            raise GeometryError(
                f"a displacement field on {self.geometry.shape} voxels needs an array of shape "
                f"{(*self.geometry.shape, 3)}, got {tuple(shape)}"
            )


def displacement_at(field: DisplacementField, points_mm: Array) -> Array:
    """Displacements (..., 3) in mm at world points (..., 3); zero outside the field. Differentiable."""
    xp = namespace(field.array, points_mm)
    affine = xp.asarray(field.geometry.voxel_from_world, points_mm.dtype)
    return sample_linear(field.array, points_mm @ affine[:3, :3].T + _row(affine[:3, 3], points_mm))


def jacobian_determinant(field: DisplacementField) -> Array:
    """Local volume ratio det(I + du/dx) at the field's voxels; below zero where the deformation folds.

    Central differences within the grid, one-sided at its faces, in world axes whatever the grid's. An axis of
    one voxel counts as constant.

    Returns:
      (i, j, k) volumes in the floating image per volume in the reference image.
    """
    xp = namespace(field.array)
    array = xp.asarray(field.array)
    slopes = [
        xp.gradient(array, axis=axis) if field.geometry.shape[axis] > 1 else xp.zeros_like(array) for axis in range(3)
    ]
    return _determinant(slopes, field.geometry)


def cell_volume_ratio(field: DisplacementField) -> Array:
    """Volume ratio of the cells between neighbouring voxels of the field: `jacobian_determinant` half way.

    Differences over one voxel instead of two: what the linearly interpolated field does to a volume, so that
    the sum over the cells is the deformed volume.

    Returns:
      (i - 1, j - 1, k - 1) ratios; an axis of one voxel keeps it.
    """
    xp = namespace(field.array)
    array = xp.asarray(field.array)
    slopes = []
    for axis in range(3):
        slope = array
        for other in range(3):
            slope = _step(slope, other) if other == axis else _middle(slope, other)
        slopes.append(slope)
    return _determinant(slopes, field.geometry)


def _determinant(slopes: list[Array], geometry: Geometry) -> Array:
    # Slopes are per voxel along the grid's axes; the inverse affine turns them into world axes.
    xp = namespace(*slopes)
    along_voxel = xp.stack(slopes, axis=-1)
    gradient = along_voxel @ xp.asarray(geometry.voxel_from_world[:3, :3], along_voxel.dtype)
    one = xp.eye(3, dtype=gradient.dtype).reshape(3, 1, 1, 1, 3)
    a, b, c = (gradient[..., row, :] + one[row] for row in range(3))
    return (xp.cross(a, b) * c).sum(axis=-1)


def _step(array: Array, axis: int) -> Array:
    if array.shape[axis] == 1:
        return array * 0
    lower, upper = _sides(array, axis)
    return upper - lower


def _middle(array: Array, axis: int) -> Array:
    if array.shape[axis] == 1:
        return array
    lower, upper = _sides(array, axis)
    return (lower + upper) / 2


def _sides(array: Array, axis: int) -> tuple[Array, Array]:
    before = (slice(None),) * axis
    return array[(*before, slice(None, -1))], array[(*before, slice(1, None))]


def _row(vector: Array, like: Array) -> Array:
    return vector.reshape((1,) * (like.ndim - 1) + (3,))
