"""The RMSD of evaluation masks as a differentiable function of a registration."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax import metrics
from sirtjax.errors import GeometryError
from sirtjax.registration._affine import columns, through
from sirtjax.registration._lattice import sample
from sirtjax.registration._mask_figures import MaskEvaluator
from sirtjax.registration._pair import LANDMARKS, ImagePair
from sirtjax.registration._prepare import LIVER_NAME
from sirtjax.typing import Array
from sirtjax.volume import LabelMap

# Fixed sizes, so that all patients share one program.
SURFACE_POINTS, LANDMARK_POINTS, DISTANCE_NODES = 2048, 64, 48
# Distances are known up to this far from a liver.
DISTANCE_MARGIN_MM = 25.0
# Steps of the inverse; each reduces its error by the largest gradient of the displacement.
INVERSE_STEPS = 15
SMALLEST_MM2 = 1e-12


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class DistanceGrid:
    """The signed distance from a surface, on a lattice along the world's axes.

    Attributes:
      distance_mm: (n, n, n) distance of each node, negative inside.
      origin_mm: (3,) world position of the first node.
      pitch_mm: (3,) spacing of the nodes.
    """

    distance_mm: Float[Array, "n n n"]
    origin_mm: Float[Array, "3"]
    pitch_mm: Float[Array, "3"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class SmoothJudge:
    """The evaluation masks of both images as arrays, whose sizes are the same for all patients.

    Attributes:
      reference_surface_mm: (points, 3) points on the reference liver's surface, evenly by area.
      floating_surface_mm: (points, 3) the same for the floating liver.
      reference_distance: signed distance from the reference liver's surface.
      floating_distance: signed distance from the floating liver's surface.
      landmarks_mm: (landmarks, parts, 3) points inside each landmark of the floating image.
      centroids_mm: (landmarks, 3) centroids of the reference's landmarks.
      landmarks_weight: (landmarks,) 1 for a landmark, 0 for an empty place.
    """

    reference_surface_mm: Float[Array, "points 3"]
    floating_surface_mm: Float[Array, "points 3"]
    reference_distance: DistanceGrid
    floating_distance: DistanceGrid
    landmarks_mm: Float[Array, "landmarks parts 3"]
    centroids_mm: Float[Array, "landmarks 3"]
    landmarks_weight: Float[Array, " landmarks"]


def smooth_judge(evaluator: MaskEvaluator) -> SmoothJudge:
    """Prepares the masks of an evaluation, on the host.

    Raises:
      GeometryError: there is no liver, a liver has no surface, or there are more than LANDMARKS landmarks.
    """
    names = [name for name in evaluator.occupancy if name != LIVER_NAME]
    liver = evaluator.floating_liver
    if liver is None or LIVER_NAME not in evaluator.occupancy:
        raise GeometryError("a differentiable RMSD needs the liver masks of both images for evaluation")
    if len(names) > LANDMARKS:
        raise GeometryError(f"{len(names)} landmark masks for evaluation, at most {LANDMARKS} can be used")
    sides = [
        (evaluator.occupancy[LIVER_NAME], evaluator.grid.affine),
        (np.asarray(liver.array), liver.geometry.affine),
    ]
    for role, (occupancy, _) in zip(("reference", "floating"), sides, strict=True):
        if not (occupancy >= 0.5).any():
            raise GeometryError(f"the {role} liver for evaluation has no node inside on the working lattice")
    meshes = [metrics.extract_surface(occupancy, affine) for occupancy, affine in sides]
    inverses = [np.linalg.inv(affine) for _, affine in sides]
    distances = [
        _distance_grid(mesh, occupancy, voxel_from_world)
        for mesh, (occupancy, _), voxel_from_world in zip(meshes, sides, inverses, strict=True)
    ]
    parts = np.zeros((LANDMARKS, LANDMARK_POINTS, 3), np.float32)
    centroids, weight = np.zeros((LANDMARKS, 3), np.float32), np.zeros(LANDMARKS, np.float32)
    for place, name in enumerate(names):
        parts[place] = _points_inside(evaluator.floating[name], name)
        occupancy = evaluator.occupancy[name].astype(np.float64)
        index = [np.tensordot(occupancy, one, axes=3) / occupancy.sum() for one in np.indices(occupancy.shape)]
        centroids[place] = evaluator.grid.to_world(np.array(index))
        weight[place] = 1.0
    return SmoothJudge(
        reference_surface_mm=_points_on(meshes[0]),
        floating_surface_mm=_points_on(meshes[1]),
        reference_distance=distances[0],
        floating_distance=distances[1],
        landmarks_mm=parts,
        centroids_mm=centroids,
        landmarks_weight=weight,
    )


def smooth_rmsd_mm(
    affine: Float[Array, "4 4"], displacement_mm: Float[Array, "i j k 3"], pair: ImagePair, judge: SmoothJudge
) -> Float[Array, ""]:
    """Computes the RMSD of a registration, differentiable with respect to affine map and displacement.

    Pure; not jitted here.

    The mean surface distance is the mean of both directions. From the reference the distance of moved points is read
    from the floating liver's distance grid, and reverse with the inverse map. The centroid of a landmark of the
    floating image is that of its points, moved by the inverse map. Results differ from the RMSD on masks by less than
    a few tenths of a millimetre.

    Args:
      affine: (4, 4) floating_from_reference.
      displacement_mm: (i, j, k, 3) u on the reference's lattice; x is mapped to affine (x + u(x)).
      pair: both images on their lattices.
      judge: evaluation masks.
    """
    there = _moved(judge.reference_surface_mm, affine, displacement_mm, pair)
    back = _moved_back(judge.floating_surface_mm, affine, displacement_mm, pair)
    msd_mm = (_mean_distance_mm(there, judge.floating_distance) + _mean_distance_mm(back, judge.reference_distance)) / 2
    landmarks = _moved_back(jnp.asarray(judge.landmarks_mm).reshape(-1, 3), affine, displacement_mm, pair)
    centroids = jnp.mean(landmarks.reshape(judge.landmarks_mm.shape), axis=1)
    apart_mm2 = jnp.sum((centroids - judge.centroids_mm) ** 2, axis=-1)
    square = msd_mm**2 + jnp.sum(judge.landmarks_weight * apart_mm2)
    return jnp.sqrt(jnp.maximum(square / (1 + jnp.sum(judge.landmarks_weight)), SMALLEST_MM2))


def _moved(points: Array, affine: Array, displacement_mm: Array, pair: ImagePair) -> Array:
    return _mapped(affine, points + _displacement_at(points, displacement_mm, pair))


def _moved_back(points: Array, affine: Array, displacement_mm: Array, pair: ImagePair) -> Array:
    """The points whose images are `points`, by steps to the fixed point of x = affine^-1 y - u(x)."""
    start = _mapped(jnp.linalg.inv(affine), points)

    def step(at: Array, _: None) -> tuple[Array, None]:
        return start - _displacement_at(at, displacement_mm, pair), None

    found: Array = jax.lax.scan(step, start, None, length=INVERSE_STEPS)[0]
    return found


def _mapped(affine: Array, points: Array) -> Array:
    return jnp.stack(through(affine, columns(points)), axis=-1)


def _displacement_at(points: Array, displacement_mm: Array, pair: ImagePair) -> Array:
    index = (points - pair.reference_origin_mm[None]) / pair.reference_pitch_mm[None]
    return sample(displacement_mm, columns(index))


def _mean_distance_mm(points: Array, grid: DistanceGrid) -> Array:
    # Points outside the grid have the distance of its nearest face.
    last = jnp.asarray(grid.distance_mm.shape, jnp.float32) - 1
    index = jnp.clip((points - grid.origin_mm[None]) / grid.pitch_mm[None], 0.0, last[None])
    return jnp.mean(jnp.abs(sample(jnp.asarray(grid.distance_mm)[..., None], columns(index))))


def _distance_grid(
    mesh: metrics.SurfaceMesh, occupancy: NDArray[np.float32], voxel_from_world: NDArray[np.float64]
) -> DistanceGrid:
    from scipy.ndimage import map_coordinates

    corners = mesh.corners_mm.reshape(-1, 3)
    low, high = corners.min(axis=0) - DISTANCE_MARGIN_MM, corners.max(axis=0) + DISTANCE_MARGIN_MM
    pitch = (high - low) / (DISTANCE_NODES - 1)
    shape = (DISTANCE_NODES, DISTANCE_NODES, DISTANCE_NODES)
    nodes = low + np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) * pitch
    index = nodes @ voxel_from_world[:3, :3].T + voxel_from_world[:3, 3]
    inside = map_coordinates(occupancy, index.T, order=1, cval=0.0) >= 0.5
    distance = metrics.distance_to_surface_mm(nodes, mesh)
    signed = np.where(inside, -distance, distance).reshape(shape)
    return DistanceGrid(
        distance_mm=signed.astype(np.float32), origin_mm=low.astype(np.float32), pitch_mm=pitch.astype(np.float32)
    )


def _points_on(mesh: metrics.SurfaceMesh) -> NDArray[np.float32]:
    area = np.cumsum(mesh.areas_mm2)
    chosen = np.searchsorted(area, (np.arange(SURFACE_POINTS) + 0.5) / SURFACE_POINTS * area[-1])
    points: NDArray[np.float32] = mesh.centres_mm[np.minimum(chosen, len(area) - 1)].astype(np.float32)
    return points


def _points_inside(mask: LabelMap, name: str) -> NDArray[np.float32]:
    voxels = np.argwhere(mask.mask(name)).astype(np.float64)
    chosen = voxels[np.arange(LANDMARK_POINTS) * len(voxels) // LANDMARK_POINTS]
    # The few points have the centroid of all voxels.
    chosen = chosen + voxels.mean(axis=0) - chosen.mean(axis=0)
    return mask.geometry.to_world(chosen).astype(np.float32)
