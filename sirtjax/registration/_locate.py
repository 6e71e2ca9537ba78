"""The start of a registration, from only the images."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sirtjax import losses
from sirtjax.compilation_cache import cached_jit
from sirtjax.ops import full_precision
from sirtjax.registration._affine import turn_matrix
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._intensity import on_lattice, scaled_image
from sirtjax.registration._lattice import blur, sample
from sirtjax.registration._optimize import minimise
from sirtjax.spatial import AffineTransform
from sirtjax.typing import Array
from sirtjax.volume import Geometry, Volume

# A coarse look at the whole of both images: nodes (of which every second along each axis is compared), blur and
# intensity bins of it.
SHAPE, STRIDE, COARSEST_BLUR_MM, BINS = (48, 40, 56), 2, 12.0, 24
# Shifts along the body that are tried, in mm, either way from each start.
REACH_MM, STEP_MM = 360.0, 24.0
SHIFTS = 2 * int(REACH_MM / STEP_MM) + 1
# The best of them are refined, with every rotation and shift free: so many of those without a rotation and so many
# of the others, of one rotation each.
FINALISTS, ROTATED_FINALISTS, STEPS, FIRST_STEP_MM = 3, 2, 50, 6.0
# Shifts along the body that are tried with each rotation, in mm, from the position that aligns the bodies' centroids.
ROTATED_SHIFTS_MM = (-120.0, -80.0, -40.0, 0.0, 40.0, 80.0, 120.0)
# Rotations about each axis that are tried in addition to the 24 permutations of the axes, in degrees.
COARSE_ANGLES_DEG = (-60.0, -30.0, 30.0, 60.0)
# A rotated start must have this much more normalised mutual information: few scans come with a wrong frame.
ROTATED_GAIN = 0.01
LEVER_MM = 150.0
# The affine stage reaches the same map from starts that differ by less than this at every corner.
APART_MM = 40.0
# A start is only used if at least this fraction of the smaller image is inside the larger one.
MIN_OVERLAP = 0.4
# The body is denser than this; except in CT, brighter than this fraction of the window.
BODY_HU, BODY_FRACTION = -300.0, 0.15


@dataclass(frozen=True, kw_only=True)
class Located:
    """The alignment at which two images agree best on coarse lattices.

    Attributes:
      start: pull transform, rigid.
      mirrored_start: the best pull transform with a reflection, rigid otherwise.
      mirror_gain: normalised mutual information that the floating image gains if it is mirrored; negative for images
        of one patient in the right order of their voxels.
      other_starts: the unchanged frames, and the best start without a rotation, if they differ from `start`. Images
        with small fields of view can agree better at a wrong start on the coarse lattices.
    """

    start: AffineTransform
    mirrored_start: AffineTransform
    mirror_gain: float
    other_starts: tuple[AffineTransform, ...] = ()


def estimate_initial_transform(reference: Volume, floating: Volume, *, config: RegistrationConfig) -> Located:
    """Finds a rigid start from only the images, for scans of different length and position.

    The unchanged frames, the bodies' centroids in the axial plane and the images' centres are each tried
    with shifts along the body of up to 360 mm. The best by normalised mutual information are then optimised
    over rotation and translation. The best of these is the start. Rotations by multiples of 90 degrees
    about the axes, and by 30 and 60 degrees, are also tried, with the bodies' centroids aligned: the frame
    of an image may be wrong. The same search with the floating image mirrored shows whether its voxels are
    stored in reverse.

    Args:
      reference: image whose space stays unchanged.
      floating: the image to be found in it.
      config: the preset, for its intensities.

    Returns:
      The starts, and how much better the mirrored image agrees.
    """
    one, two = _Coarse(reference, config), _Coarse(floating, config)
    matrix, value, unrotated = _best(one, two)
    onto_mirrored, mirrored, _ = _best(one, two.mirrored())
    return Located(
        start=AffineTransform(matrix),
        mirrored_start=AffineTransform(two.reflection() @ onto_mirrored),
        mirror_gain=value - mirrored,
        other_starts=_distinct(matrix, [*unrotated, np.eye(4)], reference.geometry.corners_mm()),
    )


def _distinct(
    start: NDArray[np.float64], others: list[NDArray[np.float64]], corners_mm: Float[np.ndarray, "8 3"]
) -> tuple[AffineTransform, ...]:
    """Those of the other starts that take some corner of the reference elsewhere than the start and each other."""
    kept = [start]
    for other in others:
        apart = [np.linalg.norm(corners_mm @ (other - one)[:3, :3].T + (other - one)[:3, 3], axis=-1) for one in kept]
        if min(float(distance.max()) for distance in apart) > APART_MM:
            kept.append(other)
    return tuple(AffineTransform(matrix) for matrix in kept[1:])


def _best(one: _Coarse, two: _Coarse) -> tuple[NDArray[np.float64], float, list[NDArray[np.float64]]]:
    """The best start, the least of the losses of all finalists, and the best unrotated one if the best is rotated."""
    starts, turned = _starts(one, two)
    arrays = [(side.image, side.inside, side.origin_mm, side.pitch_mm) for side in (one, two)]
    matrices, final = (np.asarray(found, np.float64) for found in _search(arrays[0], arrays[1], starts, turned))
    rotated = np.arange(len(final)) >= FINALISTS
    best = int(np.argmin(final + ROTATED_GAIN * rotated))
    unrotated = [matrices[int(np.argmin(final[:FINALISTS]))]] if rotated[best] else []
    return matrices[best], float(final.min()), unrotated


class _Coarse:
    """One image on its coarse lattice."""

    def __init__(self, volume: Volume, config: RegistrationConfig) -> None:
        corners = volume.geometry.corners_mm()
        low, high = corners.min(axis=0), corners.max(axis=0)
        pitch = np.maximum((high - low) / (np.asarray(SHAPE) - 1), 6.0)
        origin = (low + high) / 2 - pitch * (np.asarray(SHAPE) - 1) / 2
        lattice = Geometry.from_axes(SHAPE, spacing_mm=pitch.tolist(), origin_mm=origin.tolist())
        measured = on_lattice(volume, lattice, config)
        self.image, self.inside = scaled_image(measured, config), measured.inside
        body = measured.values > BODY_HU if volume.unit == "HU" else (self.image > BODY_FRACTION) & (self.inside > 0)
        self.origin_mm, self.pitch_mm = origin.astype(np.float32), pitch.astype(np.float32)
        self.centre_mm = (low + high) / 2
        # The mean of the nodes that are compared, about which starts rotate.
        self.middle_mm = origin + pitch * STRIDE * (np.ceil(np.asarray(SHAPE) / STRIDE) - 1) / 2
        where = np.argwhere(body)
        self.body_mm = origin + pitch * where.mean(axis=0) if len(where) else self.centre_mm

    def mirrored(self) -> _Coarse:
        """The same with its nodes in reverse along the first axis."""
        other = copy(self)
        other.image, other.inside = (np.ascontiguousarray(array[::-1]) for array in (self.image, self.inside))
        other.body_mm = np.where([True, False, False], 2 * self.centre_mm - self.body_mm, self.body_mm)
        return other

    def reflection(self) -> NDArray[np.float64]:
        """Maps points of the mirrored image to those of this one, (4, 4)."""
        matrix = np.diag([-1.0, 1.0, 1.0, 1.0])
        matrix[0, 3] = 2 * self.centre_mm[0]
        return matrix


def _starts(one: _Coarse, two: _Coarse) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shifts in mm and rotation vectors times LEVER_MM: without rotation (n, 6), and others (rotations, shifts, 6)."""
    along = np.linspace(-REACH_MM, REACH_MM, SHIFTS)
    ways = [np.zeros(3), two.body_mm - one.body_mm, two.centre_mm - one.centre_mm]
    shifts = [way + np.array([0.0, 0.0, z]) for way in ways for z in along]
    still = np.concatenate([np.stack(shifts), np.zeros((len(shifts), 3))], axis=1)
    turned = []
    for vector in rotation_vectors():
        matrix = Rotation.from_rotvec(vector).as_matrix()
        shift = two.body_mm - one.middle_mm - matrix @ (one.body_mm - one.middle_mm)
        turned.append([[*(shift + z * matrix[:, 2]), *(LEVER_MM * vector)] for z in ROTATED_SHIFTS_MM])
    return still.astype(np.float32), np.asarray(turned, np.float32)


def rotation_vectors() -> Float[np.ndarray, "n 3"]:
    """Returns the rotations (n, 3) that are tried, in radians.

    All that permute the axes, and coarse angles about each axis.
    """
    group = [vector for vector in Rotation.create_group("O").as_rotvec() if np.linalg.norm(vector) > 1e-6]
    coarse = [np.deg2rad(angle) * axis for axis in np.eye(3) for angle in COARSE_ANGLES_DEG]
    return np.stack([*group, *coarse])


@cached_jit
@full_precision
def _search(reference: Any, floating: Any, starts: Array, turned: Array) -> tuple[Array, Array]:
    image, inside, origin_mm, pitch_mm = reference
    other, measured, other_origin_mm, other_pitch_mm = floating
    image = blur(image, COARSEST_BLUR_MM / pitch_mm)[::STRIDE, ::STRIDE, ::STRIDE]
    inside, pitch_mm = inside[::STRIDE, ::STRIDE, ::STRIDE], STRIDE * pitch_mm
    stack = jnp.stack([blur(other, COARSEST_BLUR_MM / other_pitch_mm), measured], axis=-1)
    nodes = jnp.meshgrid(
        *(origin_mm[axis] + pitch_mm[axis] * jnp.arange(n) for axis, n in enumerate(image.shape)), indexing="ij"
    )
    places = [axis.ravel() for axis in nodes]
    centre = [jnp.mean(axis) for axis in places]
    values, counted = image.ravel(), inside.ravel()
    # Sizes of the two images in numbers of reference nodes: an overlap is divided by them.
    volume_ratio = jnp.prod(other_pitch_mm) / jnp.prod(pitch_mm)
    smaller = jnp.minimum(jnp.sum(inside), jnp.sum(measured) * volume_ratio)

    def value(parameters: Array) -> tuple[Array, Array]:
        matrix, shift = turn_matrix(parameters[3:] / LEVER_MM), parameters[:3]
        away = [p - c for p, c in zip(places, centre, strict=True)]
        moved = [
            matrix[a, 0] * away[0] + matrix[a, 1] * away[1] + matrix[a, 2] * away[2] + centre[a] + shift[a]
            for a in range(3)
        ]
        index = tuple((m - o) / p for m, o, p in zip(moved, other_origin_mm, other_pitch_mm, strict=True))
        warped = sample(stack, (index[0], index[1], index[2]))
        weight = counted * jax.lax.stop_gradient(warped[:, 1])
        overlap = jnp.sum(weight) / smaller
        measure = losses.normalised_mutual_information_loss(warped[:, 0], values, bins=BINS, weights=weight)
        return jnp.where(overlap >= MIN_OVERLAP, measure, 0.0), overlap

    first = jax.lax.map(lambda p: value(p)[0], starts)
    rotations, shifts = turned.shape[:2]
    others = jax.lax.map(lambda p: value(p)[0], turned.reshape(-1, 6)).reshape(rotations, shifts)
    # Of each rotation the best shift, so that the finalists differ.
    leading = jnp.take_along_axis(turned, jnp.argmin(others, axis=1)[:, None, None], axis=1)[:, 0]
    chosen = jnp.concatenate(
        [starts[jnp.argsort(first)[:FINALISTS]], leading[jnp.argsort(jnp.min(others, axis=1))[:ROTATED_FINALISTS]]]
    )

    def settle(start: Array) -> tuple[Array, Array]:
        found, history = minimise(
            lambda p, _: (value(p)[0], jnp.zeros(1)), start, jnp.arange(STEPS), step_mm=FIRST_STEP_MM
        )
        # The last step is a twentieth of the first: its value before it is used for the one after it. NaN loses.
        return found, jnp.nan_to_num(history[-1, 0], nan=jnp.inf)

    found, final = jax.lax.map(settle, chosen)
    middle = jnp.stack(centre)

    def matrix_of(parameters: Array) -> Array:
        turn, shift = turn_matrix(parameters[3:] / LEVER_MM), parameters[:3]
        top = jnp.concatenate([turn, (middle + shift - turn @ middle)[:, None]], axis=1)
        return jnp.concatenate([top, jnp.array([[0.0, 0.0, 0.0, 1.0]])])

    return jax.lax.map(matrix_of, found), final
