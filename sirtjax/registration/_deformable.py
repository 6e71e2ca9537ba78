from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer, PRNGKeyArray

from sirtjax import losses, spatial
from sirtjax.registration._affine import columns, landmark_distance, through
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._lattice import Triple, node_positions_mm, phase_offset, phases, sample
from sirtjax.registration._optimize import minimise
from sirtjax.registration._pair import LESIONS, LIVER, ImagePair, Weights
from sirtjax.registration._view import Plan, View, compare, node_places, plan_of, prepare_view, weighted_terms
from sirtjax.typing import Array

Coefficients = tuple[Float[Array, "_ _ _ 3"], ...]


def solve_deformable(
    pair: ImagePair,
    affine: Float[Array, "4 4"],
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    start: Coefficients | None = None,
) -> tuple[Coefficients, Float[Array, "levels steps 5"]]:
    """Runs the non-rigid stage: x to affine (x + u(x)), with u a sum of B-spline grids.

    Each level adds a finer grid. With initial coefficients, all grids take part from the first level on. Without steps
    the result is the initial coefficients.

    A grid stays free in all later levels: coarse grids continue to move large structures while fine ones converge. The
    levels are one scanned program with traced blurs, in which the gradients of later grids are zero.

    Returns:
      The coefficients (a, b, c, 3) of each level, in mm, and the history (levels, steps, 5) of the value and its terms:
      images, masks, landmarks, regularisation.
    """
    table = config.deformable
    plan = plan_of(config, affine=False)
    count = len(table.levels)

    def level(coefficients: Coefficients, settings: tuple[Array, ...]) -> tuple[Coefficients, Array]:
        blur_mm, mask_blur_mm, step_mm, joined, sampled = settings
        view = prepare_view(pair, plan, blur_mm=blur_mm, mask_blur_mm=mask_blur_mm)

        def objective(coefficients: Coefficients, phase: Array) -> tuple[Array, Array]:
            present = tuple(joined[n] * one for n, one in enumerate(coefficients))
            return deformable_value(present, phase, pair, affine, view, weights, config)

        return minimise(objective, coefficients, sampled, step_mm=step_mm)

    settings = [
        jnp.array([getattr(one, name) for one in table.levels]) for name in ("blur_mm", "mask_blur_mm", "step_mm")
    ]
    joined = jnp.ones((count, count), jnp.float32)
    if start is None:
        joined = jnp.tril(joined)
        start = tuple(jnp.zeros((*one.control_points, 3), jnp.float32) for one in table.levels)
    if table.steps == 0:
        return start, jnp.zeros((count, 0, 5), jnp.float32)
    sampled = jax.random.randint(key, (count, table.steps), 0, plan.phases)
    coefficients, history = jax.lax.scan(level, start, (*settings, joined, sampled))
    return coefficients, history


def deformable_value(
    coefficients: Coefficients,
    phase: Integer[Array, ""],
    pair: ImagePair,
    affine: Float[Array, "4 4"],
    view: View,
    weights: Weights,
    config: RegistrationConfig,
) -> tuple[Float[Array, ""], Float[Array, "4"]]:
    """Returns the objective on one sub-lattice, and its terms: images, masks, landmarks, regularisation."""
    plan = plan_of(config, affine=False)
    u = displacement_mm(coefficients, pair, config, stride=plan.stride, phase=phase)
    nodes, places = node_places(view, phase, pair, plan)
    here = u.reshape(-1, 3)[nodes]
    moved = through(affine, tuple(places[axis] + here[:, axis] for axis in range(3)))
    image, masks = compare(view, moved, phase, pair, plan)
    landmarks: Array = jnp.zeros((), jnp.float32)
    if plan.masks:
        landmarks = landmark_distance(through(affine, _moved_landmarks(u, pair, phase, plan)), pair)
    regularisation = regularisation_term(coefficients, phase, pair, affine, weights, config)
    value = weighted_terms(image, masks, landmarks, weights) + regularisation
    return value, jnp.stack([image, masks, landmarks, regularisation])


def displacement_mm(
    coefficients: Coefficients,
    pair: ImagePair,
    config: RegistrationConfig,
    *,
    stride: int,
    phase: Integer[Array, ""] | None,
) -> Float[Array, "i j k 3"]:
    """Returns u (i/s, j/s, k/s, 3) in mm on a sub-lattice.

    Without a phase: on the first one, which is the whole lattice with stride 1.
    """
    offset = None if phase is None else phase_offset(phase, stride)
    total = _spline_sum(coefficients, pair.reference.shape, config, stride=stride, offset=offset)
    if config.deformable.model == "velocity":
        total = spatial.integrate_velocity(total, pair.reference_pitch_mm * stride)
    return total


def _spline_sum(
    coefficients: Coefficients,
    shape: Sequence[int],
    config: RegistrationConfig,
    *,
    stride: int,
    offset: Array | None,
    slope_along: int | None = None,
) -> Array:
    """The sum of the B-spline grids on a sub-lattice, or its central differences along an axis, per node."""
    total: Array = jnp.zeros((), jnp.float32)
    for own, level in zip(coefficients, config.deformable.levels, strict=False):
        weights = []
        for axis, n in enumerate(shape):
            matrix = spatial.bspline_matrix(n, level.control_points[axis], taper=config.lattice.edge_taper)
            if axis == slope_along:
                matrix = np.gradient(matrix, axis=0)
            rows = jnp.asarray(matrix.reshape(n // stride, stride, -1).swapaxes(0, 1), jnp.float32)
            weights.append(rows[0] if offset is None else rows[offset[axis]])
        total = total + spatial.bspline_field(own, (weights[0], weights[1], weights[2]))
    return total


def _volume_ratio(coefficients: Coefficients, pair: ImagePair, phase: Array, config: RegistrationConfig) -> Array:
    """Jacobian determinants of x + u(x) at nodes of the whole lattice, as they are judged in the end.

    Differences over the wide steps of the regularisation's own sub-lattice would miss the folds between its nodes.
    """
    stride = config.regularisation.stride
    if config.deformable.model == "velocity":
        u = displacement_mm(coefficients, pair, config, stride=stride, phase=None)
        return losses.jacobian_on_grid(u, pair.reference_pitch_mm * stride)
    offset = phase_offset(phase, config.deformable.sample_stride) % stride
    shape, pitch_mm = pair.reference.shape, pair.reference_pitch_mm
    slopes = [
        _spline_sum(coefficients, shape, config, stride=stride, offset=offset, slope_along=axis) / pitch_mm[axis]
        for axis in range(3)
    ]
    (a, d, g), (b, e, h), (c, f, i) = (
        [slopes[axis][..., part] + float(axis == part) for part in range(3)] for axis in range(3)
    )
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _moved_landmarks(u: Array, pair: ImagePair, phase: Array, plan: Plan) -> Triple:
    stride = plan.stride
    points = pair.landmarks_reference_mm
    first = phase_offset(phase, stride) / jnp.float32(stride)
    index = (points - pair.reference_origin_mm[None]) / (pair.reference_pitch_mm * stride)[None] - first[None]
    return columns(points + sample(u, columns(index)))


def regularisation_term(
    coefficients: Coefficients,
    phase: Integer[Array, ""],
    pair: ImagePair,
    affine: Float[Array, "4 4"],
    weights: Weights,
    config: RegistrationConfig,
) -> Float[Array, ""]:
    """Returns L_R with its barriers, on a sub-lattice fine enough for the finest B-splines."""
    table = config.regularisation
    stride, pitch_mm = table.stride, pair.reference_pitch_mm * table.stride
    u = displacement_mm(coefficients, pair, config, stride=stride, phase=None)
    masks = phases(pair.reference_masks, stride)[0]
    rigidity = None
    if table.liver_rigidity != table.outside_rigidity:
        rigidity = table.outside_rigidity + (table.liver_rigidity - table.outside_rigidity) * masks[..., LIVER]
    # Over the square of the pitch: springs then measure strain, whatever the resolution.
    if table.kind == "spring":
        energy = losses.spring_energy(u, pitch_mm, rigidity=rigidity, neighbours=table.neighbours)
        energy = energy / jnp.mean(pitch_mm**2)
    elif table.kind == "bending":
        energy = losses.bending_energy(u, pitch_mm, rigidity=rigidity)
    else:
        energy = losses.diffusion_energy(u, pitch_mm, rigidity=rigidity)
    ratio = _volume_ratio(coefficients, pair, phase, config)
    total = weights.regularisation * energy + weights.folding * losses.folding_penalty_from_jacobian(ratio)
    if config.guidance.masks == "liver and landmarks":
        # The affine map contributes to the volume change of a lesion.
        origin, shape = pair.reference_origin_mm, pair.reference.shape
        nodes = node_positions_mm(origin, pair.reference_pitch_mm, shape, stride, jnp.zeros(3))
        moved = through(affine, tuple(nodes[axis] + u[..., axis] for axis in range(3)))
        whole = jnp.stack([moved[axis] - nodes[axis] for axis in range(3)], axis=-1)
        total = total + weights.volume * losses.volume_change_penalty(whole, pitch_mm, masks[..., LESIONS])
    return total
