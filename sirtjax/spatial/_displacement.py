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
    # Slopes are per voxel along the grid's axes; the inverse affine turns them into world axes.
    along_voxel = xp.stack(slopes, axis=-1)
    gradient = along_voxel @ xp.asarray(field.geometry.voxel_from_world[:3, :3], array.dtype)
    one = xp.eye(3, dtype=array.dtype).reshape(3, 1, 1, 1, 3)
    a, b, c = (gradient[..., row, :] + one[row] for row in range(3))
    return (xp.cross(a, b) * c).sum(axis=-1)


def _row(vector: Array, like: Array) -> Array:
    return vector.reshape((1,) * (like.ndim - 1) + (3,))
