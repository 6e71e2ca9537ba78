from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from sirtjax.compilation_cache import cached_jit
from sirtjax.errors import ConfigError
from sirtjax.registration._config import RegistrationConfig, WeightsTable
from sirtjax.registration._pair import ImagePair, Weights
from sirtjax.registration._solve import Solution, solve


def sweep_weights(pair: ImagePair, weights_grid: Weights, key: PRNGKeyArray, *, config: RegistrationConfig) -> Solution:
    """Runs `solve` for every point of a grid of weights, by `vmap`.

    Pure; not jitted here.

    The pair is shared, and so is all that does not depend on the swept weights: if only masks or only images
    drive the affine stage, it runs once for all points. Every point sees the same random samples, so that they
    differ by their weights and by nothing else.

    Args:
      pair: both images on their lattices.
      weights_grid: (n,) values of each weight that is swept, a scalar for each of the others.
      key: random key of the samples.
      config: preset; static.

    Returns:
      The solutions, with a first axis of n.

    Raises:
      ConfigError: no weight has an axis, or two differ in length.
    """
    sizes = {field.name: np.shape(getattr(weights_grid, field.name)) for field in fields(weights_grid)}
    swept = {name: shape for name, shape in sizes.items() if shape}
    if len(set(swept.values())) != 1 or any(len(shape) != 1 for shape in swept.values()):
        raise ConfigError(f"a sweep needs weights with one axis of one length, got {swept or 'scalars only'}")
    axis: dict[str, Any] = {name: 0 if name in swept else None for name in sizes}
    axes = Weights(**axis)

    def of_point(weights: Weights) -> Solution:
        return solve(pair, weights, key, config=config)

    solutions: Solution = jax.vmap(of_point, in_axes=(axes,))(weights_grid)
    return solutions


@partial(cached_jit, static_argnames=("config",))
def sweep_compiled(
    pair: ImagePair, weights_grid: Weights, key: PRNGKeyArray, *, config: RegistrationConfig
) -> Solution:
    """Runs `sweep_weights`, compiled once per structure of preset, swept weights and their number."""
    return sweep_weights(pair, weights_grid, key, config=config)


def stack_weights(tables: Sequence[WeightsTable], swept: Sequence[str], size: int) -> Weights:
    """Returns the weights of a sweep as NumPy arrays, padded to `size` points with the last one.

    Args:
      tables: one table per point; only the swept weights differ.
      swept: names of the weights that get an axis.
      size: length of this axis.
    """
    filled = [*tables, *[tables[-1]] * (size - len(tables))]
    return Weights(
        **{
            name: np.array([getattr(table, name) for table in filled], np.float32)
            if name in swept
            else np.float32(getattr(tables[0], name))
            for name in WeightsTable.model_fields
        }
    )
