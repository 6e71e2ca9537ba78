from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sirtjax.registration._config import AffineLevel, RegistrationConfig
from sirtjax.registration._features import Level, compare, node_places, prepare_level, takes_part, weighted_terms
from sirtjax.registration._lattice import Triple
from sirtjax.registration._optimize import minimise
from sirtjax.registration._pair import Pair, Weights

Array = Any
# Matrix entries count as displacements in mm at this distance from the centre, about the liver's radius.
LEVER_MM = 100.0
# Sub-lattices that decide whether the map found is better than the start.
PHASES = 4
PARAMETERS = {"none": 0, "rigid": 6, "similarity": 7, "affine": 12}


def affine_matrix(parameters: Array, pair: Pair, *, model: str) -> Array:
    """The (4, 4) floating_from_reference of parameters in mm: start after (centre, turn and stretch, shift).

    The first three are the shift; then three turns (rigid, similarity) and a stretch (similarity), or the nine
    entries of the matrix less the identity (affine); all zero is the start.
    """
    if model == "none":
        return pair.start
    shift, rest = parameters[:3], parameters[3:] / LEVER_MM
    if model == "affine":
        linear = jnp.eye(3) + rest.reshape(3, 3)
    else:
        x, y, z = rest[:3]
        zero = jnp.zeros_like(x)
        turn = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
        linear = jax.scipy.linalg.expm(turn)
        if model == "similarity":
            linear = linear * jnp.exp(rest[3])
    moved = pair.centre_mm + shift - linear @ pair.centre_mm
    inner = jnp.concatenate([jnp.concatenate([linear, moved[:, None]], axis=1), jnp.array([[0.0, 0.0, 0.0, 1.0]])])
    return pair.start @ inner


def through(matrix: Array, points: Triple) -> Triple:
    """A (4, 4) matrix on points given as three arrays that broadcast."""
    x, y, z = (row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + row[3] for row in matrix[:3])
    return x, y, z


def solve_affine(
    pair: Pair, weights: Weights, key: Array, *, config: RegistrationConfig
) -> tuple[Array, Array, list[Array]]:
    """The affine stage: from coarse to fine, never worse than its start by the last level's own measure.

    Returns:
      (4, 4) floating_from_reference; whether it is better than the start, which it is where it is not; and the
      history of each level.
    """
    table = config.affine
    if table.model == "none":
        return pair.start, jnp.array(False), []
    parameters = jnp.zeros(PARAMETERS[table.model], jnp.float32)
    histories = []
    for number, level in enumerate(table.levels):
        prepared = prepare_level(pair, config, level)

        def objective(parameters: Array, key: Array, level: AffineLevel = level, prepared: Level = prepared) -> Any:
            phase = jax.random.randint(key, (), 0, level.stride**3)
            matrix = affine_matrix(parameters, pair, model=table.model)
            return affine_value(matrix, phase, pair, prepared, weights, config, level.stride)

        parameters, history = minimise(
            objective, parameters, jax.random.fold_in(key, number), steps=level.steps, step_mm=level.step_mm
        )
        histories.append(history)
    found = affine_matrix(parameters, pair, model=table.model)

    def on_average(matrix: Array) -> Array:
        phases = jnp.linspace(0, level.stride**3 - 1, PHASES).astype(jnp.int32)
        values = jax.lax.map(
            lambda phase: affine_value(matrix, phase, pair, prepared, weights, config, level.stride)[0], phases
        )
        return jnp.mean(values)

    better = on_average(found) < on_average(pair.start)
    return jnp.where(better, found, pair.start), better, histories


def affine_value(
    matrix: Array, phase: Array, pair: Pair, level: Level, weights: Weights, config: RegistrationConfig, stride: int
) -> tuple[Array, Array]:
    """The objective of an affine map on one sub-lattice, and its terms: images, masks, landmarks."""
    _, places = node_places(level, phase, pair, stride)
    image, masks = compare(level, through(matrix, places), phase, pair, config, affine=True, stride=stride)
    landmarks = jnp.zeros((), jnp.float32)
    if takes_part(config, affine=True).masks:
        landmarks = landmark_distance(through(matrix, columns(pair.landmarks_reference_mm)), pair)
    return weighted_terms(image, masks, landmarks, weights), jnp.stack([image, masks, landmarks])


def landmark_distance(moved: Triple, pair: Pair) -> Array:
    """Mean square distance (mm^2) of landmarks from where they should be; zero without landmarks."""
    target = columns(pair.landmarks_floating_mm)
    square = sum((a - b) ** 2 for a, b in zip(moved, target, strict=True))
    return jnp.sum(pair.landmarks_weight * square) / jnp.maximum(jnp.sum(pair.landmarks_weight), 1.0)


def columns(points: Array) -> Triple:
    """Points (n, 3) as three arrays (n,)."""
    return points[:, 0], points[:, 1], points[:, 2]
