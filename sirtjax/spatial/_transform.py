from __future__ import annotations

from typing import Any

import numpy as np

from sirtjax.ops import namespace
from sirtjax.spatial._affine import AffineTransform
from sirtjax.spatial._displacement import DisplacementField, displacement_at
from sirtjax.volume import Geometry

Array = Any
Transform = AffineTransform | DisplacementField


def transform_points(transform: Transform, points_mm: Array) -> Array:
    """World points of the reference image taken to the floating image.

    Points are carried against the direction in which images are resampled: to carry points of the floating
    image to the reference, use `invert(transform)`. NumPy points and transform give NumPy without compiling;
    JAX arrays are differentiable in points and transform.

    Args:
      transform: the pull transform.
      points_mm: (..., 3) LPS world points, mm.

    Returns:
      (..., 3) LPS world points, mm.
    """
    if isinstance(transform, DisplacementField):
        xp = namespace(transform.array, points_mm)
        points = xp.asarray(points_mm, None if hasattr(points_mm, "dtype") else "float64")
        return points + displacement_at(transform, points)
    xp = namespace(transform.floating_from_reference, points_mm)
    points = xp.asarray(points_mm)
    matrix = xp.asarray(transform.floating_from_reference)
    return points @ matrix[:3, :3].T + matrix[:3, 3].reshape((1,) * (points.ndim - 1) + (3,))


def compose(outer: Transform, inner: Transform, *, geometry: Geometry | None = None) -> Transform:
    """The transform that applies `inner` first, then `outer`: x -> outer(inner(x)).

    Two affine transforms give an affine one. With a field, the result is a field sampled on `geometry`, by
    default the inner field's grid, or the outer field's grid carried back by an inner affine (exact there).
    A field is the identity outside its grid, so give a `geometry` that covers the images to be resampled
    wherever one of the two is affine and moves points beyond the field.

    Args:
      outer: applied last, from the intermediate to the floating image.
      inner: applied first, from the reference to the intermediate image.
      geometry: grid of the resulting field; not used for two affine transforms.

    Returns:
      An affine transform or a displacement field.
    """
    if isinstance(outer, AffineTransform) and isinstance(inner, AffineTransform):
        xp = namespace(outer.floating_from_reference, inner.floating_from_reference)
        product = xp.asarray(outer.floating_from_reference) @ xp.asarray(inner.floating_from_reference)
        return AffineTransform(product)
    if geometry is None:
        geometry = _result_grid(outer, inner)
    points = voxel_centres_mm(geometry)
    moved = transform_points(outer, transform_points(inner, points))
    return DisplacementField((moved - points).astype("float32"), geometry)


def voxel_centres_mm(geometry: Geometry) -> np.ndarray[Any, np.dtype[np.float64]]:
    """World positions of all voxel centres, (i, j, k, 3) in mm."""
    affine = geometry.affine
    i, j, k = (np.arange(n, dtype=np.float64)[:, None] * affine[:3, a] for a, n in enumerate(geometry.shape))
    return i[:, None, None] + j[None, :, None] + k[None, None, :] + affine[:3, 3]


def _result_grid(outer: Transform, inner: Transform) -> Geometry:
    if isinstance(inner, DisplacementField):
        return inner.geometry
    if isinstance(outer, AffineTransform):
        raise TypeError("two affine transforms compose to an affine one, which has no grid")
    back = np.linalg.inv(np.asarray(inner.floating_from_reference, np.float64))
    return Geometry.from_affine(outer.geometry.shape, back @ outer.geometry.affine)
