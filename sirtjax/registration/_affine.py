from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, PRNGKeyArray

from sirtjax.ops import full_precision
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._lattice import Triple, sample
from sirtjax.registration._optimize import minimise
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._view import (
    Plan,
    View,
    compare,
    floating_index,
    node_places,
    plan_of,
    prepare_view,
    weighted_terms,
)
from sirtjax.typing import Array

# Matrix entries count as displacements in mm at this distance from the centre, about the liver's radius.
LEVER_MM = 100.0
# A map that covers less than half of the nodes that its start covers is not better, regardless of its value.
MIN_SEEN = 0.5
# Sub-lattices that decide whether the map found is better than the start.
PHASES = 4
PARAMETERS = {"none": 0, "rigid": 6, "similarity": 7, "affine": 12}


@full_precision
def affine_matrix(parameters: Float[Array, " n"], pair: ImagePair, *, model: str) -> Float[Array, "4 4"]:
    """Returns the (4, 4) floating_from_reference of parameters in mm.

    The order is: centre, rotation and stretch, translation, then the start.

    The first three are the shift; then three turns (rigid, similarity) and a stretch (similarity), or the nine
    entries of the matrix less the identity (affine); all zero is the start.
    """
    if model == "none":
        return pair.start
    shift, rest = parameters[:3], parameters[3:] / LEVER_MM
    if model == "affine":
        linear = jnp.eye(3) + rest.reshape(3, 3)
    else:
        linear = jnp.asarray(turn_matrix(rest[:3]))
        if model == "similarity":
            linear = linear * jnp.exp(rest[3])
    moved = pair.centre_mm + shift - linear @ pair.centre_mm
    inner = jnp.concatenate([jnp.concatenate([linear, moved[:, None]], axis=1), jnp.array([[0.0, 0.0, 0.0, 1.0]])])
    return pair.start @ inner


@full_precision
def turn_matrix(angles: Float[Array, "3"]) -> Float[Array, "3 3"]:
    """Returns the rotation (3, 3) about a vector by its length in radians, smooth at zero.

    Rodrigues' formula.
    """
    x, y, z = angles
    zero = jnp.zeros_like(x)
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    square = jnp.sum(angles**2)
    small = square < 1e-6
    angle = jnp.sqrt(jnp.where(small, 1.0, square))
    # sin(a) / a and (1 - cos(a)) / a^2, or the first terms of their series.
    first = jnp.where(small, 1 - square / 6, jnp.sin(angle) / angle)
    second = jnp.where(small, 0.5 - square / 24, (1 - jnp.cos(angle)) / jnp.where(small, 1.0, square))
    return jnp.eye(3) + first * cross + second * (cross @ cross)


def through(matrix: Float[Array, "4 4"], points: Triple) -> Triple:
    """Applies a (4, 4) matrix to points, three arrays that broadcast."""
    x, y, z = (row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + row[3] for row in matrix[:3])
    return x, y, z


def solve_affine(
    pair: ImagePair, weights: Weights, key: PRNGKeyArray, *, config: RegistrationConfig
) -> tuple[Float[Array, "4 4"], Bool[Array, ""], Float[Array, "levels steps 4"]]:
    """Runs the affine stage, from coarse to fine.

    The result is never worse than the start by the measure of the last level.

    The levels are one scanned program with traced blurs, so that their number costs no compilation.

    Returns:
      (4, 4) floating_from_reference; whether it is better than the start, which it is where it is not; and the
      history (levels, steps, 4) of the value and its terms: images, masks, landmarks.
    """
    table = config.affine
    if table.model == "none":
        return pair.start, jnp.array(False), jnp.zeros((0, table.steps, 4), jnp.float32)
    plan = plan_of(config, affine=True)

    def look(blur_mm: Array) -> View:
        return prepare_view(pair, plan, blur_mm=blur_mm, mask_blur_mm=blur_mm)

    def level(state: tuple[jax.Array, View], settings: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, View], Array]:
        blur_mm, step_mm, sampled = settings
        parameters, view = state[0], look(blur_mm)

        def objective(parameters: Array, phase: Array) -> tuple[Array, Array]:
            matrix = affine_matrix(parameters, pair, model=table.model)
            return affine_value(matrix, phase, pair, view, weights, plan, stiffness=table.stiffness)

        parameters, history = minimise(objective, parameters, sampled, step_mm=step_mm)
        return (parameters, view), history

    blurs_mm, steps_mm = (jnp.array([getattr(one, name) for one in table.levels]) for name in ("blur_mm", "step_mm"))
    sampled = jax.random.randint(key, (len(table.levels), table.steps), 0, plan.phases)
    still = jnp.zeros(PARAMETERS[table.model], jnp.float32)
    # The scan returns the last level's view, which compares the result with the start.
    unseen = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), jax.eval_shape(look, blurs_mm[0]))
    (parameters, last), history = jax.lax.scan(level, (still, unseen), (blurs_mm, steps_mm, sampled))
    found = affine_matrix(parameters, pair, model=table.model)

    def on_average(matrix: Array) -> tuple[Array, Array]:
        def of_phase(phase: Array) -> tuple[Array, Array]:
            value, _ = affine_value(matrix, phase, pair, last, weights, plan, stiffness=table.stiffness)
            return value, _seen(matrix, phase, pair, last, plan)

        values, seen = jax.lax.map(
            of_phase, jnp.linspace(0, plan.phases - 1, min(PHASES, plan.phases)).astype(jnp.int32)
        )
        return jnp.mean(values), jnp.mean(seen)

    value, seen = jax.lax.map(on_average, jnp.stack([pair.start, found]))
    better = (value[1] < value[0]) & (seen[1] >= MIN_SEEN * seen[0])
    return jnp.where(better, found, pair.start), better, history


def _seen(matrix: Array, phase: Array, pair: ImagePair, view: View, plan: Plan) -> Array:
    """Returns the fraction of the sampled nodes that a map moves into the floating image."""
    _, places = node_places(view, phase, pair, plan)
    inside = sample(pair.floating_inside[..., None], floating_index(through(matrix, places), pair))[:, 0]
    kept = jax.lax.dynamic_index_in_dim(view.kept, phase, keepdims=False)
    return jnp.sum(kept * inside) / jnp.maximum(jnp.sum(kept), 1.0)


def affine_value(
    matrix: Float[Array, "4 4"],
    phase: Integer[Array, ""],
    pair: ImagePair,
    view: View,
    weights: Weights,
    plan: Plan,
    *,
    stiffness: float,
) -> tuple[Float[Array, ""], Float[Array, "3"]]:
    """Returns the objective of an affine map on one sub-lattice, and its terms: images, masks, landmarks."""
    _, places = node_places(view, phase, pair, plan)
    image, masks = compare(view, through(matrix, places), phase, pair, plan)
    landmarks: Array = jnp.zeros((), jnp.float32)
    if plan.masks:
        landmarks = landmark_distance(through(matrix, columns(pair.landmarks_reference_mm)), pair)
    if not (plan.images and plan.masks):
        # The only term that drives this stage has full weight, regardless of its later weight:
        # w_I = w_S = 0 leaves the affine map.
        weights = replace(weights, image=jnp.ones(()), masks=jnp.ones(()))
    value = weighted_terms(image, masks, landmarks, weights)
    if stiffness > 0:
        value = value + stiffness * _strain(matrix)
    return value, jnp.stack([image, masks, landmarks])


@full_precision
def _strain(matrix: Array) -> Array:
    """The square of Green's strain of an affine map: zero for any turn and shift."""
    linear = matrix[:3, :3]
    return jnp.sum(((linear.T @ linear - jnp.eye(3)) / 2) ** 2)


def landmark_distance(moved: Triple, pair: ImagePair) -> Float[Array, ""]:
    """Returns the mean squared distance (mm^2) between matching landmarks; zero without landmarks."""
    target = columns(pair.landmarks_floating_mm)
    square = sum((a - b) ** 2 for a, b in zip(moved, target, strict=True))
    return jnp.sum(pair.landmarks_weight * square) / jnp.maximum(jnp.sum(pair.landmarks_weight), 1.0)


def columns(points: Float[Array, "n 3"]) -> Triple:
    """Returns points (n, 3) as three arrays (n,)."""
    return points[:, 0], points[:, 1], points[:, 2]
