from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sirtjax.errors import GeometryError

Row = tuple[float, float, float, float]


@dataclass(frozen=True)
class Geometry:
    """A voxel grid in space: LPS world frame, millimetres, voxel centres at whole indices.

    Hashable, so that it can be the static part of a pytree. The grid may be oblique, anisotropic, flipped
    or sheared (a tilted gantry); it may not be singular.

    Attributes:
      shape: number of voxels along i, j, k.
      world_from_voxel: the 4x4 affine, as nested tuples: `(x, y, z, 1) = world_from_voxel @ (i, j, k, 1)`.

    Examples:
      >>> from sirtjax.volume import Geometry
      >>> grid = Geometry.from_axes((10, 20, 5), spacing_mm=(2.0, 2.0, 5.0), origin_mm=(100.0, 0.0, -50.0))
      >>> grid.to_world((1, 0, 2)).tolist()
      [102.0, 0.0, -40.0]
      >>> grid.to_voxel((103.0, 0.0, -50.0)).tolist()
      [1.5, 0.0, 0.0]
      >>> round(grid.voxel_volume_ml, 3)
      0.02
    """

    shape: tuple[int, int, int]
    world_from_voxel: tuple[Row, Row, Row, Row]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"shape must be three positive numbers of voxels, got {tuple(self.shape)}")
        affine = np.asarray(self.world_from_voxel, np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(f"world_from_voxel must be a finite 4x4 matrix, got {affine.tolist()}")
        if not np.array_equal(affine[3], [0.0, 0.0, 0.0, 1.0]):
            raise GeometryError(f"the last row of world_from_voxel must be 0 0 0 1, got {affine[3].tolist()}")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if spacing.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
            raise GeometryError(f"world_from_voxel is singular: its axes do not span space ({affine.tolist()})")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "world_from_voxel", tuple(tuple(float(x) for x in row) for row in affine))

    @classmethod
    def from_affine(cls, shape: Sequence[int], world_from_voxel: ArrayLike) -> Geometry:
        """Returns the geometry of an array of this shape with a 4x4 affine (LPS, mm)."""
        rows = np.asarray(world_from_voxel, np.float64).tolist()
        return cls(tuple(shape), rows)  # type: ignore[arg-type]  # __post_init__ checks and converts both

    @classmethod
    def from_axes(
        cls,
        shape: Sequence[int],
        *,
        spacing_mm: Sequence[float],
        origin_mm: Sequence[float] = (0.0, 0.0, 0.0),
        direction: ArrayLike | None = None,
    ) -> Geometry:
        """Returns the geometry from ITK's parameters.

        Args:
          shape: number of voxels along i, j, k.
          spacing_mm: distance between voxel centres along i, j, k.
          origin_mm: world position of the centre of voxel (0, 0, 0).
          direction: (3, 3) unit vectors of i, j, k in the world, as columns; the world's own axes by default.
        """
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) if direction is None else np.asarray(direction, np.float64)) * np.asarray(
            spacing_mm, np.float64
        )
        affine[:3, 3] = origin_mm
        return cls.from_affine(shape, affine)

    @property
    def affine(self) -> Float[np.ndarray, "4 4"]:
        """`world_from_voxel` as a fresh (4, 4) array."""
        return np.asarray(self.world_from_voxel, np.float64)

    @property
    def voxel_from_world(self) -> Float[np.ndarray, "4 4"]:
        """The inverse affine, (4, 4)."""
        return np.asarray(np.linalg.inv(self.affine), np.float64)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def direction(self) -> Float[np.ndarray, "3 3"]:
        """Unit vectors of the i, j, k axes in the world, as the columns of a (3, 3) matrix."""
        return np.asarray(self.affine[:3, :3] / np.asarray(self.spacing_mm), np.float64)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """World position of the centre of voxel (0, 0, 0)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres (shear taken into account)."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def centre_mm(self) -> Float[np.ndarray, "3"]:
        """World position of the middle of the grid, (3,)."""
        return self.to_world((np.asarray(self.shape) - 1) / 2)

    def to_world(self, voxel: ArrayLike) -> Float[np.ndarray, "*points 3"]:
        """Returns world positions (..., 3) in mm of voxel indices (..., 3)."""
        affine = self.affine
        return np.asarray(np.asarray(voxel, np.float64) @ affine[:3, :3].T + affine[:3, 3])

    def to_voxel(self, world_mm: ArrayLike) -> Float[np.ndarray, "*points 3"]:
        """Returns fractional voxel indices (..., 3) of world positions (..., 3) in mm."""
        affine = self.voxel_from_world
        return np.asarray(np.asarray(world_mm, np.float64) @ affine[:3, :3].T + affine[:3, 3])

    def corners_mm(self) -> Float[np.ndarray, "8 3"]:
        """Returns the eight outer corners (voxel edges, not centres) of the grid in the world, (8, 3)."""
        low, high = np.full(3, -0.5), np.asarray(self.shape) - 0.5
        ends = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1)
        return self.to_world(ends.reshape(8, 3))

    def matches(self, other: Geometry, *, tolerance_mm: float = 1e-2) -> bool:
        """Returns whether both grids have equal shapes and voxel positions within `tolerance_mm`."""
        return self.shape == other.shape and bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm)

    def __str__(self) -> str:
        size = "x".join(str(n) for n in self.shape)
        spacing = "x".join(f"{s:.4g}" for s in self.spacing_mm)
        return f"{size} voxels of {spacing} mm at ({', '.join(f'{x:.1f}' for x in self.origin_mm)}) mm LPS"
