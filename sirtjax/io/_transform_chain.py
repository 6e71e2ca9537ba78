"""Sequences of transform files, composed into one transform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax.errors import GeometryError
from sirtjax.io._transform_files import read_transform

if TYPE_CHECKING:
    from sirtjax.spatial import Transform
    from sirtjax.volume import Geometry


def read_composed_transform(paths: list[Path], grid: Geometry, floating: Geometry, *, invert: bool) -> Transform:
    """Reads one transform from the grid of the result to an image, composed of all files.

    Args:
      paths: the files, in the order in which an image goes through them.
      grid: grid of the result.
      floating: grid of the image.
      invert: undo the transforms: the image is in the space of their reference, the result in the other.
    """
    from sirtjax import spatial

    # Backwards it is the image that is in the space of the transforms' reference.
    chain = read_transforms(paths, floating if invert else grid)
    if invert:
        chain = [spatial.invert(step) for step in reversed(chain)]
    *rest, total = chain
    for outer in reversed(rest):
        both = isinstance(outer, spatial.DisplacementField) and isinstance(total, spatial.DisplacementField)
        total = spatial.compose(outer, total, geometry=grid if both else None)
    return total


def read_transforms(paths: list[Path], base: Geometry | None) -> list[Transform]:
    """Reads transforms; those without a grid are sampled where later ones map the base's points."""
    from sirtjax import spatial

    chain: list[Transform] = []
    for path in reversed(paths):
        cover = base
        if base is not None and chain:
            points = _lattice(base)
            for step in reversed(chain):
                points = spatial.transform_points(step, points)
            cover = _around(points, base)
        chain.insert(0, read_transform(path, reference=cover, keep_grid=True))
    return chain


def _lattice(geometry: Geometry) -> Any:
    import numpy as np

    ends = [np.linspace(-0.5, n - 0.5, 9) for n in geometry.shape]
    return geometry.to_world(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


def _around(points_mm: Any, like: Geometry) -> Geometry:
    """A grid along the world's axes over all the points, with voxels about the size of another's."""
    import numpy as np

    from sirtjax.volume import Geometry

    spacing = (like.voxel_volume_ml * 1000) ** (1 / 3)
    low, high = points_mm.min(axis=0) - 2 * spacing, points_mm.max(axis=0) + 2 * spacing
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    if np.prod(shape, dtype=float) > 2**27:
        raise GeometryError(f"the transforms spread the reference over {high - low} mm; check their order")
    return Geometry.from_axes(shape.tolist(), spacing_mm=(spacing,) * 3, origin_mm=low)
