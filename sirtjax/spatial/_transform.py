from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Real
from numpy.typing import NDArray

from sirtjax.ops import full_precision, namespace
from sirtjax.spatial._affine import AffineTransform, checked_matrix
from sirtjax.spatial._displacement import DisplacementField, sample_displacement
from sirtjax.typing import Array
from sirtjax.volume import Geometry

Transform = AffineTransform | DisplacementField


def transform_points(
    transform: Transform, points_mm: Real[Array, "*points 3"] | Sequence[Sequence[float]]
) -> Float[Array, "*points 3"]:
    """Transforms world points of the reference image to the floating image.

    Points move against the direction in which images are resampled. To transform points of the floating image to
    the reference, use `invert(transform)`. NumPy points and transform give NumPy without compiling;
    JAX arrays are differentiable in points and transform.

    Args:
      transform: the pull transform.
      points_mm: (..., 3) LPS world points, mm.

    Returns:
      (..., 3) LPS world points, mm.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import spatial
      >>> quarter_turn = spatial.rigid_matrix((0.0, 0.0, np.pi / 2), (5.0, 0.0, 0.0), (0.0, 0.0, 0.0))
      >>> transform = spatial.AffineTransform(quarter_turn)
      >>> moved = spatial.transform_points(transform, np.array([[10.0, 0.0, 0.0]]))
      >>> np.asarray(moved).round(3).tolist()  # x turns to y, then moves by 5 mm along x
      [[5.0, 10.0, 0.0]]
    """
    if isinstance(transform, DisplacementField):
        xp = namespace(transform.array, transform.floating_from_displaced, points_mm)
        points = xp.asarray(points_mm, None if hasattr(points_mm, "dtype") else "float64")
        displaced = points + sample_displacement(transform, points)
        matrix = transform.floating_from_displaced
        return displaced if matrix is None else _through(matrix, displaced)
    return _through(transform.floating_from_reference, points_mm)


def compose(outer: Transform, inner: Transform, *, geometry: Geometry | None = None) -> Transform:
    """Returns the transform that applies `inner` first, then `outer`: x -> outer(inner(x)).

    Two affine transforms give an affine one. An affine after a field, or a field after an affine, gives an exact
    field: in the first case on the field's grid, in the second on this grid transformed by the inverse affine.
    Two fields give a field sampled on the grid of the inner one. With a `geometry` the result is sampled on this
    grid instead. Beyond the grid of the result the displacement is zero and only the affine maps apply, so provide
    a `geometry` that covers both fields.

    Args:
      outer: applied last, from the intermediate to the floating image.
      inner: applied first, from the reference to the intermediate image.
      geometry: grid of the resulting field; not used for two affine transforms.

    Returns:
      An affine transform or a displacement field.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import spatial
      >>> shift = spatial.AffineTransform(spatial.rigid_matrix((0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
      >>> turn = spatial.AffineTransform(spatial.rigid_matrix((0.0, 0.0, np.pi / 2), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
      >>> both = spatial.compose(turn, shift)  # shifts first, so that the shift is turned
      >>> spatial.affine_part(both)[:3, 3].round(3).tolist()
      [0.0, 5.0, 0.0]
    """
    first, last = _affine_map(inner), _affine_map(outer)
    product = last if first is None else first if last is None else _product(last, first)
    if isinstance(inner, AffineTransform):
        if isinstance(outer, AffineTransform):
            return AffineTransform(_product(outer.floating_from_reference, inner.floating_from_reference))
        if geometry is None:
            return _after_affine(outer, inner, product)
    elif geometry is None and isinstance(outer, AffineTransform):
        return DisplacementField(inner.array, inner.geometry, product)
    elif geometry is None:
        geometry = inner.geometry
    return DisplacementField(_composed_displacement(outer, inner, first, geometry), geometry, product)


def to_displacement_field(transform: Transform, geometry: Geometry) -> DisplacementField:
    """Returns the full transform as a displacement field on the voxels of a grid.

    For code that supports no affine map next to a field. Exact at the voxel centres of `geometry`, and between them
    for an affine transform; beyond the grid nothing moves, so the grid must cover the region to be resampled.

    Args:
      transform: pull, LPS mm.
      geometry: the grid, in the space of the reference image.
    """
    points = voxel_centres_mm(geometry)
    return DisplacementField((transform_points(transform, points) - points).astype("float32"), geometry)


def affine_part(transform: Transform) -> Float[np.ndarray, "4 4"]:
    """Returns the affine map of a transform where the displacement is zero, (4, 4) float64, on the host.

    Raises:
      GeometryError: the matrix is not finite, singular, or has another last row than 0 0 0 1.
    """
    matrix = _affine_map(transform)
    return np.eye(4) if matrix is None else checked_matrix(matrix)


def transformed_geometry(geometry: Geometry, matrix: Real[Array, "4 4"]) -> Geometry:
    """Transforms a grid with its voxels by a (4, 4) world matrix."""
    return Geometry.from_affine(geometry.shape, np.asarray(matrix, np.float64) @ geometry.affine)


def voxel_centres_mm(geometry: Geometry) -> Float[np.ndarray, "i j k 3"]:
    """Returns the world positions of all voxel centres, (i, j, k, 3) in mm."""
    affine = geometry.affine
    i, j, k = (np.arange(n, dtype=np.float64)[:, None] * affine[:3, a] for a, n in enumerate(geometry.shape))
    centres: NDArray[np.float64] = i[:, None, None] + j[None, :, None] + k[None, None, :] + affine[:3, 3]
    return centres


@full_precision
def _after_affine(outer: DisplacementField, inner: AffineTransform, product: Array | None) -> DisplacementField:
    """Returns u(B x) for an affine map B, as displacements B^-1 u on the grid that B maps to the field's grid."""
    back = np.linalg.inv(affine_part(inner))
    xp = namespace(outer.array)
    array = xp.asarray(outer.array)
    return DisplacementField(
        array @ xp.asarray(back[:3, :3].T, array.dtype), transformed_geometry(outer.geometry, back), product
    )


@full_precision
def _composed_displacement(outer: Transform, inner: Transform, first: Array | None, geometry: Geometry) -> Array:
    """u(x) + M^-1 v(y), with y where `inner` takes x, u and v the displacements and M its linear part `first`."""
    xp = namespace(*jax.tree.leaves((outer, inner)))
    points = xp.asarray(voxel_centres_mm(geometry))
    total: Any = 0.0
    if isinstance(inner, DisplacementField):
        total = sample_displacement(inner, points)
    if isinstance(outer, DisplacementField):
        added = sample_displacement(outer, transform_points(inner, points))
        if first is not None:
            added = added @ xp.linalg.inv(xp.asarray(first, added.dtype)[:3, :3]).T
        total = total + added
    displacement: Array = total.astype("float32")
    return displacement


def _affine_map(transform: Transform) -> Array | None:
    if isinstance(transform, DisplacementField):
        return transform.floating_from_displaced
    return transform.floating_from_reference


@full_precision
def _product(last: Array, first: Array) -> Array:
    xp = namespace(last, first)
    product: Array = xp.asarray(last) @ xp.asarray(first)
    return product


@full_precision
def _through(matrix: Array, points_mm: Array | Sequence[Sequence[float]]) -> Array:
    xp = namespace(matrix, points_mm)
    points, matrix = xp.asarray(points_mm), xp.asarray(matrix)
    moved: Array = points @ matrix[:3, :3].T + matrix[:3, 3].reshape((1,) * (points.ndim - 1) + (3,))
    return moved
