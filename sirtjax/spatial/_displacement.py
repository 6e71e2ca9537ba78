from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jaxtyping import Float

from sirtjax.errors import GeometryError
from sirtjax.ops import full_precision, namespace, sample_linear
from sirtjax.typing import Array
from sirtjax.volume import Geometry


@partial(jax.tree_util.register_dataclass, data_fields=["array", "floating_from_displaced"], meta_fields=["geometry"])
@dataclass(frozen=True)
class DisplacementField:
    """A deformation of the world: reference point x maps to A (x + u(x)) in the floating image (pull).

    Displacements between the field's voxels are interpolated linearly; outside its grid (more than half a
    voxel beyond the end voxels) u is zero, so that only A applies.

    Attributes:
      array: (i, j, k, 3) displacements u in mm along the world's L, P, S axes, not along the grid's.
      geometry: grid of the field, in the space of the reference image.
      floating_from_displaced: A, the (4, 4) affine map that follows the displacement; None for none.
    """

    array: Float[Array, "*batch i j k 3"]
    geometry: Geometry
    floating_from_displaced: Float[Array, "*batch 4 4"] | None = None

    def __post_init__(self) -> None:
        # Tree transformations rebuild records around placeholders that have no shape.
        shape = getattr(self.array, "shape", None)
        if shape is not None and len(shape) >= 4 and tuple(shape[-4:]) != (*self.geometry.shape, 3):
            raise GeometryError(
                f"a displacement field on {self.geometry.shape} voxels needs an array of shape "
                f"{(*self.geometry.shape, 3)}, got {tuple(shape)}"
            )
        matrix = getattr(self.floating_from_displaced, "shape", (4, 4))
        if len(matrix) < 2 or tuple(matrix[-2:]) != (4, 4):
            raise GeometryError(f"floating_from_displaced must be a 4x4 matrix, got shape {tuple(matrix)}")


@full_precision
def sample_displacement(field: DisplacementField, points_mm: Float[Array, "*points 3"]) -> Float[Array, "*points 3"]:
    """Displacements u (..., 3) in mm at world points (..., 3); zero outside the field. Differentiable.

    Without the affine map that may follow the displacement: for where points go, use `transform_points`.
    """
    xp = namespace(field.array, points_mm)
    affine = xp.asarray(field.geometry.voxel_from_world, points_mm.dtype)
    return sample_linear(field.array, points_mm @ affine[:3, :3].T + _row(affine[:3, 3], points_mm))


def jacobian_determinant(field: DisplacementField) -> Float[Array, "i j k"]:
    """Computes det(A) det(I + du/dx) at the field's voxels; negative where the deformation folds.

    A is the affine map that follows the displacement, if there is one; one that mirrors (det A below zero) turns
    the sign round. Central differences within the grid, one-sided at its faces, in world axes whatever the
    grid's. An axis of one voxel counts as constant.

    Returns:
      (i, j, k) volumes in the floating image per volume in the reference image.
    """
    xp = namespace(field.array, field.floating_from_displaced)
    array = xp.asarray(field.array)
    steps = xp.asarray(field.geometry.affine[:3, :3], array.dtype)
    # The volume that a voxel's three edges span once displaced, over that of the voxel: no slope in world axes needed.
    edges = []
    for axis, count in enumerate(field.geometry.shape):
        each = (array[..., along] for along in range(3))
        slopes = (xp.gradient(one, axis=axis) if count > 1 else xp.zeros_like(one) for one in each)
        edges.append([slope + step for slope, step in zip(slopes, steps[:, axis], strict=True)])
    ratio: Array = _triple_product(edges) / _triple_product(steps.T)
    if field.floating_from_displaced is None:
        return ratio
    followed: Array = ratio * _triple_product(xp.asarray(field.floating_from_displaced, array.dtype)[:3, :3])
    return followed


def _triple_product(rows: Any) -> Any:
    """The determinant of three rows of three, each entry a number or an array."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _row(vector: Array, like: Array) -> Array:
    return vector.reshape((1,) * (like.ndim - 1) + (3,))
