from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sirtjax.errors import ComputationError
from sirtjax.spatial._displacement import DisplacementField, sample_displacement
from sirtjax.spatial._transform import Transform, affine_part

Points = NDArray[np.float64]
# Nodes along each axis that determine the affine map nearest to a field.
PROBES = 12


def inverse_transform_points(
    transform: Transform, points_mm: ArrayLike, *, tolerance_mm: float = 0.01, iterations: int = 50
) -> Float[np.ndarray, "*points 3"]:
    """Transforms world points (landmarks, contours) from floating image to reference. On the host.

    This is the way against the pull of a transform, and that in which an image resampled onto the reference moves. Each
    point is solved for separately, which is more accurate than an inverse field on a grid.

    Args:
      transform: the pull transform, from the reference to the floating image.
      points_mm: (..., 3) LPS world points of the floating image, mm.
      tolerance_mm: largest distance between the point and its transformed solution.
      iterations: most steps for each point.

    Returns:
      (..., 3) LPS world points of the reference, mm.

    Raises:
      GeometryError: the affine map is not usable.
      ComputationError: no point maps to one of the points, as where the field folds or is truncated.
    """
    back = np.linalg.inv(affine_part(transform))
    goal = np.asarray(points_mm, np.float64) @ back[:3, :3].T + back[:3, 3]
    if not isinstance(transform, DisplacementField):
        return np.asarray(goal)
    field = DisplacementField(np.asarray(transform.array), transform.geometry)
    found, missed = _solved(field, goal, goal - sample_displacement(field, goal), tolerance_mm, iterations)
    if _is_truncated(field, tolerance_mm):
        # Beyond the grid nothing moves, so every point there is also its own solution. A solution inside the grid is
        # the one that the field was made for. The affine map nearest to the field gives a guess of it.
        again, left = _solved(field, goal, _affine_guess(field, goal), tolerance_mm, iterations)
        solved, resolved = (np.linalg.norm(one, axis=-1) <= tolerance_mm for one in (missed, left))
        better = resolved & _inside(field, again) & ~(solved & _inside(field, found))
        found, missed = np.where(better[..., None], again, found), np.where(better[..., None], left, missed)
    error = np.linalg.norm(missed, axis=-1)
    beyond = ~(error <= tolerance_mm)
    if beyond.any():
        raise ComputationError(
            f"{int(beyond.sum())} of {error.size} points could not be mapped to the reference: the nearest found "
            f"misses by up to {float(error.max()):.3g} mm, {tolerance_mm:g} mm are accepted; check that the field "
            "does not fold and fades out at the faces of its grid"
        )
    return np.asarray(found)


def _solved(
    field: DisplacementField, goal: Points, start: Points, tolerance_mm: float, iterations: int
) -> tuple[Points, Points]:
    """The points that a field takes to the goal, by Newton's steps from a start, and by how much they miss it."""
    found = np.asarray(start)
    missed = goal - found - sample_displacement(field, found)
    # Newton's steps, halved for a point that would come no nearer by a whole one.
    step = np.ones((*goal.shape[:-1], 1))
    for _ in range(iterations):
        error = np.linalg.norm(missed, axis=-1, keepdims=True)
        if error.size == 0 or error.max() <= 0.01 * tolerance_mm:
            break
        tried = found + step * (np.linalg.pinv(_slopes(field, found)) @ missed[..., None])[..., 0]
        left = goal - tried - sample_displacement(field, tried)
        nearer = np.linalg.norm(left, axis=-1, keepdims=True) < error
        found, missed = np.where(nearer, tried, found), np.where(nearer, left, missed)
        step = np.where(nearer, 1.0, step / 2)
    return found, missed


def _is_truncated(field: DisplacementField, tolerance_mm: float) -> bool:
    """Whether the field does not fade out at the faces of its grid."""
    array = np.asarray(field.array)
    faces = [np.take(array, end, axis) for axis in range(3) for end in (0, -1)]
    return max(float(np.abs(face).max()) for face in faces) > tolerance_mm


def _affine_guess(field: DisplacementField, goal: Points) -> Points:
    """The points (..., 3) that the affine map nearest to x + u(x) on the grid takes to the goal."""
    index = [np.unique(np.linspace(0, n - 1, PROBES).round().astype(int)) for n in field.geometry.shape]
    nodes = np.meshgrid(*index, indexing="ij")
    places = field.geometry.to_world(np.stack(nodes, axis=-1).reshape(-1, 3).astype(np.float64))
    moved = places + np.asarray(field.array, np.float64)[tuple(nodes)].reshape(-1, 3)
    # About the middles, with the identity along an axis of one voxel.
    middle, there = places.mean(axis=0), moved.mean(axis=0)
    change = np.linalg.lstsq(places - middle, (moved - there) - (places - middle), rcond=1e-6)[0]
    return np.asarray((goal - there) @ np.linalg.pinv(np.eye(3) + change) + middle)


def _inside(field: DisplacementField, points_mm: Points) -> NDArray[np.bool_]:
    index = field.geometry.to_voxel(points_mm)
    return np.asarray(((index >= -0.5) & (index <= np.asarray(field.geometry.shape) - 0.5)).all(axis=-1))


def _slopes(field: DisplacementField, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """I + du/dx, (..., 3, 3), by differences far smaller than a voxel."""
    small_mm = 1e-3
    columns = []
    for way in small_mm * np.eye(3):
        ahead, behind = (np.asarray(sample_displacement(field, points_mm + sign * way)) for sign in (1, -1))
        columns.append(np.subtract(ahead, behind) / (2 * small_mm))
    return np.asarray(np.eye(3) + np.stack(columns, axis=-1))
