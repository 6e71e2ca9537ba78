from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.registration._affine import through
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._lattice import phase_offset, sample
from sirtjax.registration._pair import ImagePair
from sirtjax.registration._view import compare, floating_index, node_index, node_places, plan_of, prepare_view
from sirtjax.typing import Array

# Number of sub-lattices that are compared: enough for the differences between stages.
PHASES = 6


def compare_stages(
    matrices: tuple[Float[Array, "4 4"], Float[Array, "4 4"]],
    displacement_mm: Float[Array, "i j k 3"],
    pair: ImagePair,
    config: RegistrationConfig,
    *,
    start_mm: Float[Array, "i j k 3"] | None = None,
) -> tuple[Float[Array, "3 2"], Float[Array, ""]]:
    """Computes the agreement of start, affine map and deformation over the same nodes.

    The last resolution is used.

    Args:
      matrices: (4, 4) matrices of the start and of the affine map.
      displacement_mm: (i, j, k, 3) u of the deformation on the whole lattice, before the affine map.
      pair: both images.
      config: preset; static.
      start_mm: (i, j, k, 3) initial displacement, before the matrix of the start; zero by default.

    Returns:
      (3, 2) L_I and L_S of each, 0 for unused terms, and the fraction of the compared nodes that the affine map moves
      into the floating image.
    """
    plan = plan_of(config, affine=config.deformable.model == "none")
    last = config.deformable.levels[-1]
    view = prepare_view(pair, plan, blur_mm=jnp.float32(last.blur_mm), mask_blur_mm=jnp.float32(last.mask_blur_mm))

    def of_phase(phase: Array) -> tuple[Array, Array]:
        nodes, places = node_places(view, phase, pair, plan)
        first = phase_offset(phase, plan.stride)
        index = tuple(n * plan.stride + first[axis] for axis, n in enumerate(node_index(nodes, pair, plan)))
        here = displacement_mm[index]
        still = jnp.zeros_like(here)

        def terms(made: tuple[Array, Array]) -> Array:
            matrix, own = made
            at = (places[0] + own[:, 0], places[1] + own[:, 1], places[2] + own[:, 2])
            return jnp.stack(compare(view, through(matrix, at), phase, pair, plan))

        start, affine = matrices
        moves = jnp.stack([still if start_mm is None else start_mm[index], still, here])
        three = jax.lax.map(terms, (jnp.stack([start, affine, affine]), moves))
        inside = sample(pair.floating_inside[..., None], floating_index(through(affine, places), pair))[:, 0]
        kept = jax.lax.dynamic_index_in_dim(view.kept, phase, keepdims=False)
        return three, jnp.sum(kept * inside) / jnp.maximum(jnp.sum(kept), 1.0)

    phases = jnp.linspace(0, plan.phases - 1, min(PHASES, plan.phases)).astype(jnp.int32)
    terms, overlap = jax.lax.map(of_phase, phases)
    return jnp.mean(terms, axis=0), jnp.mean(overlap)
