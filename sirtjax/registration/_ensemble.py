"""Repeated registrations of one pair from other samples, starts and weights of its parts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.ops import full_precision
from sirtjax.registration._affine import through, turn_matrix
from sirtjax.registration._config import RegistrationConfig
from sirtjax.registration._lattice import sample
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._solve import solve
from sirtjax.typing import Array

# Each member starts from another rigid map: standard deviations of its shift and of its turns.
START_MM, START_DEG = 5.0, 2.0
# Side of the cubes whose nodes share a weight: longer than the correlation of noise and misfit.
BLOCK_MM = 30.0


@partial(cached_jit, static_argnames=("config",))
def ensemble_displacements(
    pair: ImagePair,
    weights: Weights,
    keys: PRNGKeyArray,
    points_mm: Float[Array, "n 3"],
    *,
    config: RegistrationConfig,
) -> Float[Array, "members n 3"]:
    """Registers a pair once for each key, and returns where the points go, minus the points.

    A member samples other nodes, starts from another rigid map and gives the nodes other weights. The weights are a
    Bayesian bootstrap of cubes of 30 mm, exponential numbers of mean 1. Cubes are used, because neighbouring nodes
    share noise and misfit, so that weights of single nodes would show too little scatter.

    Args:
      pair: both images on their lattices; its start is that of the members, before their own shifts and turns.
      weights: weights of the terms.
      keys: (members,) random keys.
      points_mm: (n, 3) points of the reference.
      config: preset; static.

    Reference:
      Rubin, Ann Stat 9:130-134, 1981 (Bayesian bootstrap).
    """

    def member(key: PRNGKeyArray) -> Array:
        samples, turn, shift, blocks = jax.random.split(key, 4)
        angles = jnp.deg2rad(START_DEG) * jax.random.normal(turn, (3,))
        linear = jnp.asarray(turn_matrix(angles))
        moved = pair.centre_mm - _product(linear, pair.centre_mm) + START_MM * jax.random.normal(shift, (3,))
        rigid = jnp.eye(4).at[:3, :3].set(linear).at[:3, 3].set(moved)
        own = replace(
            pair,
            start=_product(pair.start, rigid),
            reference_weight=pair.reference_weight * _block_weights(blocks, pair),
        )
        found = solve(own, weights, samples, config=config)
        index = (points_mm - pair.reference_origin_mm[None]) / pair.reference_pitch_mm[None]
        at = points_mm + sample(found.displacement_mm, (index[:, 0], index[:, 1], index[:, 2]))
        return jnp.stack(through(found.affine, (at[:, 0], at[:, 1], at[:, 2])), axis=-1) - points_mm

    displacements: Array = jax.lax.map(member, keys)
    return displacements


def _block_weights(key: PRNGKeyArray, pair: ImagePair) -> Array:
    # A lattice of cubes, fixed in number so that its shape does not depend on the patient.
    shape = pair.reference.shape
    table = jax.random.exponential(key, (64, 64, 64))
    steps = [
        jnp.minimum((jnp.arange(n) * pair.reference_pitch_mm[axis] / BLOCK_MM).astype(jnp.int32), 63)
        for axis, n in enumerate(shape)
    ]
    found: Array = table[steps[0][:, None, None], steps[1][None, :, None], steps[2][None, None, :]]
    return found


def second_moment(
    displacements_mm: Float[np.ndarray, "members n 3"], middle_mm: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3 n 3"]:
    """Returns the mean product of deviations from the displacements of the registration in use.

    Args:
      displacements_mm: (members, n, 3) displacements of the members.
      middle_mm: (n, 3) displacements of the registration whose uncertainty is wanted.
    """
    mean = displacements_mm.mean(axis=0)
    away, bias = displacements_mm - mean, mean - middle_mm
    found: np.ndarray = np.einsum("mia,mjb->iajb", away, away) / (len(away) - 1) + np.einsum("ia,jb->iajb", bias, bias)
    return found


@full_precision
def _product(left: Array, right: Array) -> Array:
    return left @ right
