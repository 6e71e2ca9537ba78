"""The curvature of a registration's objective at its result, as an information matrix of a correction field."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax import spatial
from sirtjax.compilation_cache import cached_jit
from sirtjax.ops import full_precision
from sirtjax.registration._affine import through
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._deformable import displacement_mm, regularisation_term, solve_deformable
from sirtjax.registration._lattice import node_positions_mm, phase_offset, sample
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._view import compare, floating_index, node_index, node_places, plan_of, prepare_view
from sirtjax.typing import Array

# Sub-lattices whose nodes are used.
PHASES = 3
# The images of a similarity are independent given its residual: twice the loss over this is minus the log-likelihood.
SQUARED = ("ssd", "correlation_ratio", "lncc", "descriptor")


class Curvature(NamedTuple):
    """Second derivatives of the objective in the control values of the finest level.

    Attributes:
      image: (c, c) Fisher information of one independent node, from the image term.
      others: (c, c) second derivatives of the weighted mask term and the regularisation.
      scale: minus the log-likelihood of one independent node, per unit of the image loss.
      displacement_mm: (i, j, k, 3) u of the repeated deformation on the reference's lattice.
      compared: number of nodes of the lattice that are compared.
    """

    image: Float[Array, "c c"]
    others: Float[Array, "c c"]
    scale: Float[Array, ""]
    displacement_mm: Float[Array, "i j k 3"]
    compared: Float[Array, ""]


@partial(cached_jit, static_argnames=("config",))
@full_precision
def curvature_of(
    pair: ImagePair,
    affine: Float[Array, "4 4"],
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
) -> Curvature:
    """Computes the second derivatives of the objective at the deformation that the solver finds.

    The image term uses the Fisher information of its nodes, and the masks use the second derivatives of Gauss and
    Newton. Both are positive also where the objective bends down before its minimum.

    Args:
      pair: both images on their lattices.
      affine: (4, 4) floating_from_reference of the registration.
      weights: weights of the terms.
      key: random key of the samples.
      config: preset; static.
    """
    coefficients, _ = solve_deformable(pair, affine, weights, key, config=config)
    plan, level = plan_of(config, affine=False), config.deformable.levels[-1]
    blur_mm, mask_blur_mm = jnp.float32(level.blur_mm), jnp.float32(level.mask_blur_mm)
    view = prepare_view(pair, plan, blur_mm=blur_mm, mask_blur_mm=mask_blur_mm)
    linear = affine[:3, :3]
    controls = int(np.prod(level.control_points))

    def of_phase(phase: Array) -> tuple[Array, Array, Array]:
        u = displacement_mm(coefficients, pair, config, stride=plan.stride, phase=phase)
        nodes, places = node_places(view, phase, pair, plan)
        here = u.reshape(-1, 3)[nodes]
        moved = jnp.stack(through(affine, tuple(places[axis] + here[:, axis] for axis in range(3))))
        weight = jax.lax.dynamic_index_in_dim(view.weight, phase, keepdims=False)

        def image_term(at: Array) -> Array:
            return compare(view, tuple(at), phase, pair, plan)[0]

        value, slope = jax.value_and_grad(image_term)(moved)
        scale = 0.5 / jnp.maximum(value, 1e-9) if config.similarity.kind in SQUARED else jnp.float32(1)
        # The loss is a mean: times the sum of weights, a slope is the score of its own node.
        own = jnp.where(weight > 0, jnp.sum(weight) / jnp.maximum(weight, 1e-6), 0.0)
        score = scale * (linear.T @ slope) * own[None]
        part = weight / jnp.maximum(jnp.sum(weight), 1.0)
        basis = _node_basis(nodes, phase, pair, config)
        image = _gram(basis, score[:, None] * score[None] * part[None, None])
        return image, _gram(basis, _mask_blocks(moved, phase)) * weights.masks, scale

    def _mask_blocks(moved: Array, phase: Array) -> Array:
        """Gauss-Newton blocks (3, 3, points) of the mask term."""
        if not plan.masks:
            return jnp.zeros((3, 3, moved.shape[1]), jnp.float32)
        kept = jax.lax.dynamic_index_in_dim(view.kept, phase, keepdims=False)
        reference = jax.lax.dynamic_index_in_dim(view.reference, phase, keepdims=False)[:, -2:]
        whole = jnp.maximum(jnp.sum(kept[:, None] * reference**2, axis=0), 1.0)

        def masks_at(at: Array) -> Array:
            return sample(view.floating, floating_index(tuple(at), pair))[:, -3:-1]

        slopes = jnp.stack(
            [jax.jvp(masks_at, (moved,), (jnp.zeros_like(moved).at[axis].set(1.0),))[1] for axis in range(3)]
        )
        slopes = jnp.einsum("ab,anc->bnc", linear, slopes)
        blocks: Array = jnp.einsum("anc,bnc,c,n->abn", slopes, slopes, 2.0 * pair.mask_weight / whole, kept)
        return blocks

    phases = jnp.asarray(np.linspace(0, plan.phases - 1, min(PHASES, plan.phases)).astype(np.int32))

    def add(total: list[jax.Array], phase: jax.Array) -> tuple[list[jax.Array], None]:
        return [a + b for a, b in zip(total, of_phase(phase), strict=True)], None

    empty = jnp.zeros((3 * controls, 3 * controls), jnp.float32)
    total, _ = jax.lax.scan(add, [empty, empty, jnp.zeros(())], phases)
    image, masks, scale = (one / len(phases) for one in total)

    def stiffness(finest: Array) -> Array:
        present = (*coefficients[:-1], jnp.moveaxis(finest.reshape(3, *level.control_points), 0, -1))
        return regularisation_term(present, phases[0], pair, affine, weights, config)

    flat = jnp.moveaxis(coefficients[-1], -1, 0).ravel()
    slope = jax.grad(stiffness)
    stiff = jax.lax.map(lambda e: jax.jvp(slope, (flat,), (e,))[1], jnp.eye(3 * controls), batch_size=16)
    u = displacement_mm(coefficients, pair, config, stride=1, phase=None)
    return Curvature(image, masks + stiff, scale, u, _compared(u, affine, pair))


def point_basis(
    points_mm: Float[np.ndarray, "n 3"], pair: ImagePair, config: RegistrationConfig
) -> Float[np.ndarray, "n controls"]:
    """Returns the weight of each control value of the finest level at points of the reference.

    Args:
      points_mm: (n, 3) points within the lattice.
      pair: both images on their lattices.
      config: preset.
    """
    origin_mm, pitch_mm = np.asarray(pair.reference_origin_mm), np.asarray(pair.reference_pitch_mm)
    index = (points_mm - origin_mm) / pitch_mm
    rows = []
    for axis, n in enumerate(pair.reference.shape):
        table = _axis_weights(n, axis, config)
        low = np.clip(np.floor(index[:, axis]).astype(int), 0, n - 2)
        part = (index[:, axis] - low)[:, None]
        rows.append((1 - part) * table[low] + part * table[low + 1])
    found: np.ndarray = np.einsum("na,nb,nc->nabc", *rows).reshape(len(points_mm), -1)
    return found


@full_precision
def _node_basis(nodes: Array, phase: Array, pair: ImagePair, config: RegistrationConfig) -> Array:
    """Weights (points, controls) of the finest level at the sampled nodes of a phase."""
    plan = plan_of(config, affine=False)
    offset = phase_offset(phase, plan.stride)
    rows = []
    for axis, index in enumerate(node_index(nodes, pair, plan)):
        table = jnp.asarray(_axis_weights(pair.reference.shape[axis], axis, config), jnp.float32)
        rows.append(table[index * plan.stride + offset[axis]])
    basis: Array = jnp.einsum("na,nb,nc->nabc", *rows)
    return basis.reshape(len(nodes), -1)


def _axis_weights(n: int, axis: int, config: RegistrationConfig) -> np.ndarray:
    control = config.deformable.levels[-1].control_points[axis]
    return np.asarray(spatial.bspline_matrix(n, control, taper=config.lattice.edge_taper))


@full_precision
def _gram(basis: Array, blocks: Array) -> Array:
    """The matrix (3 c, 3 c) of blocks (3, 3, n) between all pairs of control values."""
    rows = []
    for a in range(3):
        rows.append(jnp.concatenate([(basis * blocks[a, b][:, None]).T @ basis for b in range(3)], axis=1))
    return jnp.concatenate(rows, axis=0)


def _compared(u: Array, affine: Array, pair: ImagePair) -> Array:
    """The number of compared nodes that are moved into the floating image."""
    x, y, z = node_positions_mm(
        pair.reference_origin_mm, pair.reference_pitch_mm, pair.reference.shape, 1, jnp.zeros(3)
    )
    moved = through(affine, (x + u[..., 0], y + u[..., 1], z + u[..., 2]))
    index = floating_index(tuple(one.ravel() for one in moved), pair)
    inside = sample(pair.floating_inside[..., None], index)[:, 0]
    found: Array = jnp.sum((pair.reference_weight.ravel() > 0.5) & (inside > 0.99)).astype(jnp.float32)
    return found
