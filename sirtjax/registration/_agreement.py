from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sirtjax.registration._affine import through
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._features import compare, node_places, prepare_level
from sirtjax.registration._lattice import sample
from sirtjax.registration._pair import Pair

Array = Any
# How many sub-lattices are looked at: enough for the differences between stages, which are what counts.
PHASES = 6


def agreement(
    matrices: tuple[Array, Array], displacement_mm: Array, pair: Pair, config: RegistrationConfig
) -> tuple[Array, Array]:
    """How the start, the affine map and the deformation compare, all over the same nodes at the last resolution.

    Args:
      matrices: (4, 4) of the start and of the affine map.
      displacement_mm: (i, j, k, 3) u of the deformation on the whole lattice, before the affine map.
      pair: both images.
      config: static.

    Returns:
      (3, 2) L_I and L_S of each, 0 for what takes no part, and the share of the compared nodes that the affine map
      takes into the floating image.
    """
    stage = (config.deformable.levels or config.affine.levels)[-1]
    affine = not config.deformable.levels
    stride, shape = stage.stride, pair.reference.shape
    level = prepare_level(pair, config, stage)

    def of_phase(phase: Array) -> tuple[Array, Array]:
        nodes, places = node_places(level, phase, pair, stride)
        columns, rows = shape[1] // stride, shape[2] // stride
        first = (phase // stride**2, phase // stride % stride, phase % stride)
        index = (nodes // (columns * rows), nodes // rows % columns, nodes % rows)
        here = displacement_mm[tuple(a * stride + b for a, b in zip(index, first, strict=True))]
        displaced = tuple(places[axis] + here[:, axis] for axis in range(3))
        terms = [
            jnp.stack(compare(level, through(matrix, at), phase, pair, config, affine=affine, stride=stride))
            for matrix, at in zip((*matrices, matrices[1]), (places, places, displaced), strict=True)
        ]
        moved = through(matrices[1], places)
        where = zip(moved, pair.floating_origin_mm, pair.floating_pitch_mm, strict=True)
        inside = sample(pair.floating_inside[..., None], tuple((x - o) / p for x, o, p in where))[:, 0]
        kept = jax.lax.dynamic_index_in_dim(level.kept, phase, keepdims=False)
        return jnp.stack(terms), jnp.sum(kept * inside) / jnp.maximum(jnp.sum(kept), 1.0)

    phases = jnp.linspace(0, stride**3 - 1, min(PHASES, stride**3)).astype(jnp.int32)
    terms, overlap = jax.lax.map(of_phase, phases)
    return jnp.mean(terms, axis=0), jnp.mean(overlap)
