from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PRNGKeyArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.registration._affine import solve_affine
from sirtjax.registration._agreement import compare_stages
from sirtjax.registration._config import RegistrationConfig, WeightsTable
from sirtjax.registration._deformable import Coefficients, displacement_mm, solve_deformable
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.typing import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Solution:
    """The result of the solver: x is mapped to affine (x + u(x)).

    Attributes:
      affine: (4, 4) floating_from_reference.
      affine_improved: whether the affine map is better than the start; if not, it is the start.
      displacement_mm: (i, j, k, 3) u on the reference's lattice.
      terms: (3, 2) L_I and L_S of the start, the affine map and the deformation at the last resolution.
      overlap: fraction of the compared nodes that the affine map moves into the floating image.
      affine_history: (levels, steps, 4): value, images, masks, landmarks.
      deformable_history: (levels, steps, 5): value, images, masks, landmarks, regularisation; no levels without it.
    """

    affine: Float[Array, "*batch 4 4"]
    affine_improved: Bool[Array, "*batch"]
    displacement_mm: Float[Array, "*batch i j k 3"]
    terms: Float[Array, "*batch 3 2"]
    overlap: Float[Array, "*batch"]
    affine_history: Float[Array, "*batch levels steps 4"]
    deformable_history: Float[Array, "*batch levels steps 5"]


def solve(
    pair: ImagePair,
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    start: Coefficients | None = None,
) -> Solution:
    """Registers a pair: the affine stage, then the deformable one.

    Pure; not jitted here.

    With one config and one lattice shape it compiles once: patients, weights and keys are traced, and it can be
    `vmap`-ped over any of them.

    Args:
      pair: both images on their lattices.
      weights: weights of the terms.
      key: random key of the samples.
      config: preset; static.
      start: initial coefficients (a, b, c, 3) of each level of the deformable stage, mm; zero by default.
    """
    first, second = jax.random.split(key)
    affine, improved, affine_history = solve_affine(pair, weights, first, config=config)
    displacement: Array = jnp.zeros((*pair.reference.shape, 3), jnp.float32)
    history: Array = jnp.zeros((0, config.deformable.steps, 5), jnp.float32)
    if config.deformable.model != "none":
        coefficients, history = solve_deformable(pair, affine, weights, second, config=config, start=start)
        displacement = displacement_mm(coefficients, pair, config, stride=1, phase=None)
    start_mm = None if start is None else displacement_mm(start, pair, config, stride=1, phase=None)
    terms, overlap = compare_stages((pair.start, affine), displacement, pair, config, start_mm=start_mm)
    return Solution(
        affine=affine,
        affine_improved=improved,
        displacement_mm=displacement,
        terms=terms,
        overlap=overlap,
        affine_history=affine_history,
        deformable_history=history,
    )


def weights_from_config(table: WeightsTable) -> Weights:
    """Returns the preset's weights as values that can be traced."""
    return Weights(**{name: jnp.float32(value) for name, value in table})


@partial(cached_jit, static_argnames=("config",))
def solve_compiled(
    pair: ImagePair,
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    start: Coefficients | None = None,
) -> Solution:
    """Runs `solve`, compiled once per structure of preset, for all patients and weights."""
    return solve(pair, weights, key, config=config, start=start)
