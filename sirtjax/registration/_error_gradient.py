"""The derivative of a registration's error with respect to the weights of its objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpy.typing import NDArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import ConfigError
from sirtjax.ops import full_precision
from sirtjax.registration._affine import solve_affine
from sirtjax.registration._config import RegistrationConfig, WeightsTable
from sirtjax.registration._deformable import solve_deformable
from sirtjax.registration._implicit import ImplicitOptions, implicit_affine, implicit_displacement
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._smooth_judge import SmoothJudge, smooth_judge, smooth_rmsd_mm
from sirtjax.registration._solve import weights_from_config
from sirtjax.registration._tuning import TuningCase
from sirtjax.typing import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ErrorGradient:
    """The differentiable RMSD of a registration at its minimum, and its derivatives.

    Attributes:
      rmsd_mm: RMSD of the evaluation masks, by `smooth_rmsd_mm`.
      gradient_mm: derivative with respect to the logarithm of each weight; 0 for a weight of 0 or without influence.
      affine_residual_mm: residual distance of the affine map from its minimum; 0 if no weight changes the map.
      displacement_residual_mm: residual distance of the deformation from its minimum.
    """

    rmsd_mm: Float[Array, ""]
    gradient_mm: Weights
    affine_residual_mm: Float[Array, ""]
    displacement_residual_mm: Float[Array, ""]


@dataclass(frozen=True, kw_only=True)
class GradientTrial:
    """A pair registered to the minimum with one set of weights.

    Attributes:
      rmsd_mm: differentiable RMSD.
      gradient_mm: derivative with respect to the logarithm of each weight, by the weight's name.
      residual_mm: residual distance from the minimum, the larger of both stages.
    """

    rmsd_mm: float
    gradient_mm: Mapping[str, float]
    residual_mm: float


def error_gradient(
    pair: ImagePair,
    judge: SmoothJudge,
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    options: ImplicitOptions | None = None,
) -> ErrorGradient:
    """Computes the RMSD at the minimum of a registration, and its derivative with respect to the weights.

    Pure; not jitted here.

    Both stages run as in `solve`, with the floating side interpolated by cubic B-splines. Newton steps continue to the
    minimum, and the implicit function theorem yields its derivative. If only masks or only images determine the affine
    map, it is a constant of the weights, and its stage ends with the optimiser's result.

    Args:
      pair: both images on their lattices.
      judge: evaluation masks.
      weights: weights of the terms.
      key: random key of the samples on the way to the minimum.
      config: preset with `similarity.interpolation` "cubic"; static.
      options: accuracy of the minimum and of the linear system.

    Raises:
      ConfigError: the preset reads images by linear interpolation, whose second derivatives are not usable.
    """
    if config.similarity.interpolation != "cubic":
        raise ConfigError('the gradient needs similarity.interpolation = "cubic"')
    options = options or ImplicitOptions()
    first, second = jax.random.split(key)
    pair = _spline_coefficients(jax.tree.map(jnp.asarray, pair))

    def error(weights: Weights) -> tuple[Array, tuple[Array, Array]]:
        still = jax.lax.stop_gradient(weights)
        affine: Array = jax.lax.stop_gradient(solve_affine(pair, still, first, config=config)[0])
        lefts: list[Array] = [jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)]
        if config.affine.match == "both" and config.affine.model != "none":
            affine, lefts[0] = implicit_affine(affine, pair, weights, config=config, options=options)
        displacement: Array = jnp.zeros((*pair.reference.shape, 3), jnp.float32)
        if config.deformable.model != "none":
            fixed = jax.lax.stop_gradient(affine)
            start, _ = solve_deformable(pair, fixed, still, second, config=config)
            start = jax.lax.stop_gradient(start)
            displacement, lefts[1] = implicit_displacement(start, pair, affine, weights, config=config, options=options)
        return smooth_rmsd_mm(affine, displacement, pair, judge), (lefts[0], lefts[1])

    weights = jax.tree.map(jnp.asarray, weights)
    (rmsd, lefts), gradient = jax.value_and_grad(error, has_aux=True)(weights)
    return ErrorGradient(
        rmsd_mm=rmsd,
        # d/d log w = w d/dw
        gradient_mm=jax.tree.map(jnp.multiply, weights, gradient),
        affine_residual_mm=lefts[0],
        displacement_residual_mm=lefts[1],
    )


@full_precision
def _spline_coefficients(pair: ImagePair) -> ImagePair:
    """The pair with the coefficients of the cubic B-splines that interpolate the floating side.

    Reading values as coefficients would blur the floating side only, and the best weights would be other ones.
    """
    floating, masks = pair.floating, pair.floating_masks
    for axis in range(3):
        inverse = jnp.asarray(_inverse_filter(floating.shape[axis]), jnp.float32)
        floating, masks = (jnp.moveaxis(jnp.tensordot(inverse, one, (1, axis)), 0, axis) for one in (floating, masks))
    return replace(pair, floating=floating, floating_masks=masks)


def _inverse_filter(count: int) -> NDArray[np.float64]:
    """The inverse of the cubic B-spline's weights at the nodes, with the faces repeated as `sample_smooth` does."""
    weights, rows = np.zeros((count, count)), np.arange(count)
    for offset, weight in ((-1, 1 / 6), (0, 4 / 6), (1, 1 / 6)):
        np.add.at(weights, (rows, np.clip(rows + offset, 0, count - 1)), weight)
    return np.asarray(np.linalg.inv(weights), np.float64)


@partial(cached_jit, static_argnames=("config", "options"))
def error_gradient_compiled(
    pair: ImagePair,
    judge: SmoothJudge,
    weights: Weights,
    key: PRNGKeyArray,
    *,
    config: RegistrationConfig,
    options: ImplicitOptions | None = None,
) -> ErrorGradient:
    """Runs `error_gradient`, compiled once per structure of preset, for all patients and weights."""
    return error_gradient(pair, judge, weights, key, config=config, options=options)


def prepare_smooth_judge(tuning_case: TuningCase) -> SmoothJudge:
    """Prepares the evaluation masks of a case for `evaluate_error_gradient`, on the host.

    Raises:
      GeometryError: the masks have no liver, or more landmarks than there are places.
    """
    return smooth_judge(tuning_case.evaluation)


def evaluate_error_gradient(
    tuning_case: TuningCase,
    judge: SmoothJudge,
    table: WeightsTable,
    *,
    config: RegistrationConfig,
    seed: int = 0,
    options: ImplicitOptions | None = None,
) -> GradientTrial:
    """Registers a pair to the minimum with one set of weights, and computes error and gradient.

    Images are read through cubic B-splines, regardless of the preset, because second derivatives are needed.

    Args:
      tuning_case: prepared pair.
      judge: evaluation masks of the pair, from `prepare_smooth_judge`.
      table: weights.
      config: preset; its own weights are ignored.
      seed: seed of the random samples.
      options: accuracy of the minimum and of the linear system.
    """
    cubic = config.similarity.model_copy(update={"interpolation": "cubic"})
    structure = config.model_copy(update={"similarity": cubic}).structure()
    found = error_gradient_compiled(
        tuning_case.ready.pair,
        judge,
        weights_from_config(table),
        jax.random.key(seed),
        config=structure,
        options=options,
    )
    found = jax.tree.map(np.asarray, jax.block_until_ready(found))
    return GradientTrial(
        rmsd_mm=float(found.rmsd_mm),
        gradient_mm={one.name: float(getattr(found.gradient_mm, one.name)) for one in fields(Weights)},
        # A NaN of either stage is kept.
        residual_mm=float(np.maximum(found.affine_residual_mm, found.displacement_residual_mm)),
    )
