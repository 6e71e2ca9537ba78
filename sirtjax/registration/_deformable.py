from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sirtjax import losses, spatial
from sirtjax.registration._affine import columns, landmark_distance, through
from sirtjax.registration._config import DeformableLevel, RegistrationConfig
from sirtjax.registration._features import Level, compare, node_places, prepare_level, takes_part, weighted_terms
from sirtjax.registration._lattice import Triple, node_positions_mm, phase_offset, phases, sample
from sirtjax.registration._optimize import minimise
from sirtjax.registration._pair import LESIONS, LIVER, Pair, Weights

Array = Any
Coefficients = tuple[Array, ...]


def solve_deformable(
    pair: Pair, affine: Array, weights: Weights, key: Array, *, config: RegistrationConfig
) -> tuple[Coefficients, list[Array]]:
    """The non-rigid stage: x to affine (x + u(x)), u a sum of B-spline grids that grow finer from level to level.

    All grids stay free once they have joined: coarse ones keep moving what is large while fine ones settle.

    Returns:
      The coefficients (a, b, c, 3) of each level, in mm, and each level's history.
    """
    coefficients: Coefficients = ()
    histories = []
    for number, level in enumerate(config.deformable.levels):
        coefficients = (*coefficients, jnp.zeros((*level.controls, 3), jnp.float32))
        prepared = prepare_level(pair, config, level)

        def objective(
            coefficients: Coefficients, key: Array, level: DeformableLevel = level, prepared: Level = prepared
        ) -> Any:
            phase = jax.random.randint(key, (), 0, level.stride**3)
            return deformable_value(coefficients, phase, pair, affine, prepared, weights, config, level.stride)

        coefficients, history = minimise(
            objective, coefficients, jax.random.fold_in(key, number), steps=level.steps, step_mm=level.step_mm
        )
        histories.append(history)
    return coefficients, histories


def deformable_value(
    coefficients: Coefficients,
    phase: Array,
    pair: Pair,
    affine: Array,
    level: Level,
    weights: Weights,
    config: RegistrationConfig,
    stride: int,
) -> tuple[Array, Array]:
    """The objective on one sub-lattice, and its terms: images, masks, landmarks, regularity."""
    u = displacement_mm(coefficients, pair, config, stride=stride, phase=phase)
    nodes, places = node_places(level, phase, pair, stride)
    here = u.reshape(-1, 3)[nodes]
    moved = through(affine, tuple(places[axis] + here[:, axis] for axis in range(3)))
    image, masks = compare(level, moved, phase, pair, config, affine=False, stride=stride)
    landmarks = jnp.zeros((), jnp.float32)
    if takes_part(config, affine=False).masks:
        landmarks = landmark_distance(through(affine, _moved_landmarks(u, pair, phase, stride)), pair)
    regularity = _regularity(coefficients, pair, affine, weights, config)
    value = weighted_terms(image, masks, landmarks, weights) + regularity
    return value, jnp.stack([image, masks, landmarks, regularity])


def displacement_mm(
    coefficients: Coefficients, pair: Pair, config: RegistrationConfig, *, stride: int, phase: Array | None
) -> Array:
    """U (i/s, j/s, k/s, 3) in mm on a sub-lattice; without a phase the first, the whole lattice with stride 1."""
    shape = pair.reference.shape
    offset = None if phase is None else phase_offset(phase, stride)
    total: Array = 0.0
    for own, level in zip(coefficients, config.deformable.levels, strict=False):
        weights = []
        for axis, n in enumerate(shape):
            matrix = spatial.bspline_matrix(n, level.controls[axis], taper=config.lattice.fade)
            rows = jnp.asarray(matrix.reshape(n // stride, stride, -1).swapaxes(0, 1))
            weights.append(rows[0] if offset is None else rows[offset[axis]])
        total = total + spatial.bspline_field(own, (weights[0], weights[1], weights[2]))
    if config.deformable.model == "velocity":
        total = spatial.exponential(total, pair.reference_pitch_mm * stride)
    return total


def _moved_landmarks(u: Array, pair: Pair, phase: Array, stride: int) -> Triple:
    points = pair.landmarks_reference_mm
    first = phase_offset(phase, stride) / jnp.float32(stride)
    index = (points - pair.reference_origin_mm) / (pair.reference_pitch_mm * stride) - first
    return columns(points + sample(u, columns(index)))


def _regularity(
    coefficients: Coefficients, pair: Pair, affine: Array, weights: Weights, config: RegistrationConfig
) -> Array:
    """L_R with its barriers, on a sub-lattice of its own that is fine enough for the finest B-splines."""
    table = config.regularity
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
    total = weights.regularity * energy + weights.folding * losses.folding_penalty(u, pitch_mm)
    if config.guidance.masks == "liver and landmarks":
        # What a lesion's volume changes by is the affine map's doing too.
        origin, shape = pair.reference_origin_mm, pair.reference.shape
        nodes = node_positions_mm(origin, pair.reference_pitch_mm, shape, stride, jnp.zeros(3))
        moved = through(affine, tuple(nodes[axis] + u[..., axis] for axis in range(3)))
        whole = jnp.stack([moved[axis] - nodes[axis] for axis in range(3)], axis=-1)
        total = total + weights.volume * losses.volume_change_penalty(whole, pitch_mm, masks[..., LESIONS])
    return total
