from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PRNGKeyArray, PyTree

from sirtjax.ops import full_precision
from sirtjax.registration._affine import PARAMETERS, affine_matrix, affine_value, solve_affine, through
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._deformable import Coefficients, deformable_value, displacement_mm, solve_deformable
from sirtjax.registration._lattice import node_positions_mm
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._view import plan_of, prepare_view
from sirtjax.typing import Array

# The objective of a stage: (free parameters, everything else it depends on) -> value.
Objective = Callable[[Float[Array, " n"], PyTree], Float[Array, ""]]
# Fractions of a Newton step that are tried; zero is the last resort.
SHARES = (1.0, 0.5, 0.2, 0.05, 0.0)


@dataclass(frozen=True, kw_only=True)
class ImplicitOptions:
    """The accuracy of the minimum, and of the solution of the linear system there.

    Attributes:
      newton_steps: number of steps to the minimum of the average over `sublattices`, from the end of the stochastic
        optimisation.
      cg_steps: largest number of conjugate gradient steps for each Newton step and for the gradient; with fewer, the
        directions in which the objective is flattest are omitted.
      tolerance: tolerance of the linear system relative to its right side; the steps end if it is reached before
        `cg_steps`.
      damping: number added to the second derivatives, as a fraction of the curvature along the right side. It bounds
        the solution in flat directions, and decreases the gradient by about as much.
      sublattices: number of sub-lattices over which the objective is averaged, evenly spread; at most all stride^3 of
        them.
      ridge: weight of a term of the deformation's objective for each level, times the mean square of its control values
        in mm^2. Control values have almost no effect where the deformation fades out, and where levels represent the
        same deformation. Without the term there is no unique minimum, and the steps do not converge.
    """

    newton_steps: int = 6
    cg_steps: int = 60
    tolerance: float = 1e-4
    damping: float = 1e-4
    sublattices: int = 8
    ridge: float = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ImplicitSolution:
    """A registration at its minimum, whose derivatives come from the implicit function theorem.

    Attributes:
      affine: (4, 4) floating_from_reference.
      displacement_mm: (i, j, k, 3) u on the reference's lattice; x is mapped to affine (x + u(x)).
      affine_residual_mm: residual distance of the affine map from its minimum: the root mean square, over the compared
        nodes, of the displacement of one more Newton step.
      displacement_residual_mm: residual distance of the deformation. Gradients are valid if both are small compared
        with the relevant displacements.
    """

    affine: Float[Array, "*batch 4 4"]
    displacement_mm: Float[Array, "*batch i j k 3"]
    affine_residual_mm: Float[Array, "*batch"]
    displacement_residual_mm: Float[Array, "*batch"]


def solve_implicit(
    pair: ImagePair,
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    options: ImplicitOptions | None = None,
) -> ImplicitSolution:
    """Runs `solve` to its minimum, with gradients of that minimum.

    Pure; not jitted here.

    Both stages run as in `solve`, without being recorded, then a few Newton steps take each to the minimum of its
    last level's objective. There the derivative of the solution with respect to everything that the objective
    depends on, images, masks, landmarks and weights, is -H^-1 d2L/(dc dtheta): no step is stored, however many
    there were.

    Args:
      pair: both images on their lattices; differentiable.
      weights: weights of the terms; differentiable.
      key: random key of the samples on the way to the minimum, which itself depends on none.
      config: preset; static.
      options: accuracy of the minimum and of the linear system.
    """
    options = options or ImplicitOptions()
    first, second = jax.random.split(key)
    still_pair, still_weights = jax.lax.stop_gradient((jax.tree.map(jnp.asarray, pair), weights))
    begin, _, _ = solve_affine(still_pair, still_weights, first, config=config)
    affine, affine_residual_mm = implicit_affine(begin, pair, weights, config=config, options=options)
    displacement: Array = jnp.zeros((*pair.reference.shape, 3), jnp.float32)
    left_mm: Array = jnp.float32(0)
    if config.deformable.model != "none":
        fixed = jax.lax.stop_gradient(affine)
        start, _ = solve_deformable(still_pair, fixed, still_weights, second, config=config)
        displacement, left_mm = implicit_displacement(start, pair, affine, weights, config=config, options=options)
    return ImplicitSolution(
        affine=affine,
        displacement_mm=displacement,
        affine_residual_mm=affine_residual_mm,
        displacement_residual_mm=left_mm,
    )


def implicit_affine(
    start: Float[Array, "4 4"],
    pair: ImagePair,
    weights: Weights,
    *,
    config: RegistrationConfig,
    options: ImplicitOptions,
) -> tuple[Float[Array, "4 4"], Float[Array, ""]]:
    """Returns the affine map at the minimum of the last level's objective, and its residual in mm.

    Args:
      start: (4, 4) floating_from_reference near the minimum.
      pair: both images on their lattices; differentiable.
      weights: weights of the terms; differentiable.
      config: preset; static.
      options: accuracy of the minimum and of the linear system.
    """
    model = config.affine.model
    if model == "none":
        return jnp.asarray(pair.start), jnp.float32(0)
    plan, level = plan_of(config, affine=True), config.affine.levels[-1]
    base = jax.lax.stop_gradient(jnp.asarray(start))

    def objective(parameters: Array, inputs: PyTree) -> Array:
        pair, weights, view, base = inputs
        matrix = affine_matrix(parameters, replace(pair, start=base), model=model)

        def of_phase(phase: Array) -> Array:
            return affine_value(matrix, phase, pair, view, weights, plan, stiffness=config.affine.stiffness)[0]

        return _over_phases(of_phase, plan.phases, options.sublattices)

    pair = jax.tree.map(jnp.asarray, pair)
    view = prepare_view(pair, plan, blur_mm=jnp.float32(level.blur_mm), mask_blur_mm=jnp.float32(level.blur_mm))
    inputs = (pair, weights, view, base)
    parameters, further = _settle(objective, jnp.zeros(PARAMETERS[model], jnp.float32), inputs, options)
    found, next_one = (affine_matrix(at, replace(pair, start=base), model=model) for at in (parameters, further))
    nodes = node_positions_mm(pair.reference_origin_mm, pair.reference_pitch_mm, pair.reference.shape, 1, jnp.zeros(3))
    change = jnp.stack([jnp.broadcast_to(x, pair.reference.shape) for x in through(next_one - found, nodes)], axis=-1)
    return found, _root_mean_square(change, pair)


def implicit_displacement(
    start: tuple[Float[Array, "_ _ _ 3"], ...],
    pair: ImagePair,
    affine: Float[Array, "4 4"],
    weights: Weights,
    *,
    config: RegistrationConfig,
    options: ImplicitOptions,
) -> tuple[Float[Array, "i j k 3"], Float[Array, ""]]:
    """Returns the deformation at the minimum of the last level's objective, and its residual in mm.

    Args:
      start: coefficients of each level near the minimum, as `solve_deformable` returns them.
      pair: both images on their lattices; differentiable.
      affine: (4, 4) floating_from_reference; differentiable.
      weights: weights of the terms; differentiable.
      config: preset; static.
      options: accuracy of the minimum and of the linear system.

    Returns:
      (i, j, k, 3) u on the reference's lattice in mm, and the root mean square of the displacement of one more step.
    """
    plan, level = plan_of(config, affine=False), config.deformable.levels[-1]
    flat, unravel_array = ravel_pytree(start)

    def unravel(flat: Array) -> Coefficients:
        coefficients: Coefficients = unravel_array(jnp.asarray(flat))
        return coefficients

    def objective(flat: Array, inputs: PyTree) -> Array:
        pair, affine, weights, view = inputs

        def of_phase(phase: Array) -> Array:
            return deformable_value(unravel(flat), phase, pair, affine, view, weights, config)[0]

        small = sum((jnp.mean(one**2) for one in unravel(flat)), jnp.zeros(()))
        return _over_phases(of_phase, plan.phases, options.sublattices) + options.ridge * small

    pair = jax.tree.map(jnp.asarray, pair)
    blur_mm, mask_blur_mm = jnp.float32(level.blur_mm), jnp.float32(level.mask_blur_mm)
    view = prepare_view(pair, plan, blur_mm=blur_mm, mask_blur_mm=mask_blur_mm)
    inputs = (pair, affine, weights, view)
    found, further = (
        displacement_mm(unravel(at), pair, config, stride=1, phase=None)
        for at in _settle(objective, flat, inputs, options)
    )
    return found, _root_mean_square(further - found, pair)


@partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def implicit_minimum(
    objective: Objective, minimum: Float[Array, " n"], inputs: PyTree, options: ImplicitOptions
) -> Float[Array, " n"]:
    """Returns a minimum as a function of the objective's parameters, by the implicit function theorem.

    The value is `minimum`, unchanged; its derivative with respect to `inputs` is -H^-1 d2L/(dc dtheta), with H the
    second derivatives of the objective there, solved for by conjugate gradients. That `minimum` is one is the
    caller's word: elsewhere the gradient is that of a minimum that is not there.

    Args:
      objective: (free, inputs) -> scalar; closes over no traced value.
      minimum: (n,) parameters at which the gradient is zero.
      inputs: pytree of all arrays on which the objective depends; whole numbers in it are constants.
      options: accuracy of the solution of the linear system.
    """
    return minimum


def _forward(objective: Objective, minimum: Array, inputs: PyTree, options: ImplicitOptions) -> tuple[Array, Any]:
    return minimum, (minimum, inputs)


def _backward(objective: Objective, options: ImplicitOptions, saved: Any, cotangent: Array) -> tuple[Array, Any]:
    minimum, inputs = saved
    solved = _solve_linear(objective, minimum, inputs, cotangent, options)
    _, pull = jax.vjp(lambda inputs: jax.grad(objective)(minimum, inputs), inputs)
    return jnp.zeros_like(minimum), *pull(-solved)


implicit_minimum.defvjp(_forward, _backward)


def _settle(objective: Objective, start: Array, inputs: PyTree, options: ImplicitOptions) -> tuple[Array, Array]:
    """The minimum near `start`, differentiable by the implicit function theorem, and the result of a further step."""
    start, still = jax.lax.stop_gradient((start, inputs))

    def step(at: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        direction = -_solve_linear(objective, at, still, jax.grad(objective)(at, still), options)
        tried = at[None] + jnp.array(SHARES, at.dtype)[:, None] * direction[None]
        values = jax.lax.map(lambda place: objective(place, still), tried)
        best = tried[jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))]
        return best, (at, at + direction)

    # The last step is not taken: it tells how far it is from where the one before it ended.
    _, (before, after) = jax.lax.scan(step, start, None, length=options.newton_steps + 1)
    minimum, further = jax.lax.stop_gradient((before[-1], after[-1]))
    return implicit_minimum(objective, minimum, inputs, options), further


def _solve_linear(objective: Objective, at: Array, inputs: PyTree, right: Array, options: ImplicitOptions) -> Array:
    """(H + damping)^-1 right by conjugate gradients; H, the second derivatives, only as products with vectors.

    Ends at a direction in which the objective bends down: there is no minimum along it.
    """

    def unfinished(state: Any) -> Array:
        count, _, _, _, square, _, bends_up = state
        goes_on: Array = (count < options.cg_steps) & (square > options.tolerance**2 * whole) & bends_up
        return goes_on

    def step(state: Any) -> Any:
        count, solved, rest, direction, square, damping, _ = state
        product = jax.jvp(lambda free: jax.grad(objective)(free, inputs), (at,), (direction,))[1]
        # The first direction is the right side itself.
        first = options.damping * jnp.abs(_dot(direction, product)) / square
        damping = jnp.where(count == 0, first, damping)
        product = product + damping * direction
        curvature = _dot(direction, product)
        bends_up = curvature > 0
        length = jnp.where(bends_up, square / jnp.where(bends_up, curvature, 1.0), 0.0)
        left = rest - length * product
        later = _dot(left, left)
        return count + 1, solved + length * direction, left, left + later / square * direction, later, damping, bends_up

    whole = _dot(right, right)
    state = (0, jnp.zeros_like(right), right, right, whole, jnp.zeros_like(whole), jnp.array(True))
    solved: Array = jax.lax.while_loop(unfinished, step, state)[1]
    return solved


def _root_mean_square(change_mm: Array, pair: ImagePair) -> Array:
    """Root mean square of changes (i, j, k, 3) over the compared nodes."""
    square = jnp.sum(change_mm**2, axis=-1) * pair.reference_near
    return jax.lax.stop_gradient(jnp.sqrt(jnp.sum(square) / jnp.maximum(jnp.sum(pair.reference_near), 1.0)))


def _over_phases(value: Callable[[Array], Array], available: int, count: int) -> Array:
    """The mean over sub-lattices; computed one at a time and recomputed for the gradient to save memory."""
    phases = np.linspace(0, available - 1, min(count, available)).astype(np.int32)
    return jnp.mean(jax.lax.map(jax.checkpoint(value), jnp.asarray(phases)))


@full_precision
def _dot(left: Array, right: Array) -> Array:
    return left @ right
