"""Linear propagation, samples and budget of one pipeline side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from sirtjax.uncertainty._budget import Budget, uncertainty_budget
from sirtjax.uncertainty._function import Arguments, Pipeline
from sirtjax.uncertainty._linear import LinearPropagation, propagate_linear
from sirtjax.uncertainty._sampling import SampledPropagation, propagate_samples
from sirtjax.uncertainty._sources import Source

# The linear standard deviation is reported as different from this relative difference on.
DIFFERS = 0.1


@dataclass(frozen=True, eq=False)
class Propagation:
    """Uncertainty of the outputs of a pipeline, by two methods.

    Attributes:
      linear: first-order result, with the second-order bias.
      sampled: result of the quasi-random samples.
      budget: fraction of the variance by source; None if it was not asked for.
    """

    linear: LinearPropagation
    sampled: SampledPropagation
    budget: Budget | None

    @property
    def differs(self) -> Bool[np.ndarray, " m"]:
        """Whether the linear standard deviation differs by more than 10 % and three Monte Carlo errors."""
        return deviations_differ(
            self.linear.standard_deviation, self.sampled.standard_deviation, self.sampled.standard_deviation_error
        )


def propagate(
    pipeline: Pipeline,
    sources: Sequence[Source],
    key: PRNGKeyArray,
    *,
    args: Arguments = (),
    count: int = 256,
    budget_count: int | None = 128,
    batch_size: int = 8,
) -> Propagation:
    """Propagates sources of uncertainty through any pipeline, linearly and by samples.

    Trust the samples where `differs` is true: the pipeline is then not linear within the uncertainty.

    Args:
      pipeline: pure function of the values of the sources, a dictionary by name, and of `args`. It returns arrays in
        any structure; they are flattened to one vector.
      sources: sources of uncertainty, independent of each other.
      key: random key.
      args: further arguments of the pipeline. Pass the data of a patient here, so that a second patient compiles
        nothing.
      count: number of samples, a power of two from 64.
      budget_count: samples of each set of the budget; None omits it.
      batch_size: samples that are computed together, which multiplies the memory.

    Raises:
      InputError: as `propagate_samples` and `uncertainty_budget`.

    Examples:
      >>> import jax
      >>> from sirtjax import uncertainty
      >>> sources = [
      ...     uncertainty.Source(name=name, centre=value, size=0.05 * value, origin="example", evidence="assumed")
      ...     for name, value in (("activity", 1000.0), ("mass", 500.0))
      ... ]
      >>> def dose(values):
      ...     return 49.67 * values["activity"] / values["mass"]
      >>> found = uncertainty.propagate(dose, sources, jax.random.key(0))
      >>> round(float(found.linear.standard_deviation[0]), 1), bool(found.differs[0])  # sqrt(2) times 5 % of 99.3 Gy
      (7.0, False)
      >>> round(float(found.budget.fraction["mass"][0]), 1)
      0.5
    """
    directions, points, sets = jax.random.split(key, 3)
    linear = propagate_linear(pipeline, sources, directions, args=args)
    sampled = propagate_samples(pipeline, sources, points, args=args, count=count, batch_size=batch_size)
    budget = None
    if budget_count is not None:
        budget = uncertainty_budget(pipeline, sources, sets, args=args, count=budget_count, batch_size=batch_size)
    return Propagation(linear=linear, sampled=sampled, budget=budget)


def deviations_differ(
    linear: Float[np.ndarray, " m"], sampled: Float[np.ndarray, " m"], sampled_error: Float[np.ndarray, " m"]
) -> Bool[np.ndarray, " m"]:
    """Returns whether standard deviations differ by more than 10 % and three Monte Carlo errors.

    Args:
      linear: (m,) standard deviations of the linear method.
      sampled: (m,) standard deviations of samples.
      sampled_error: (m,) Monte Carlo standard error of `sampled`.
    """
    found: np.ndarray = np.abs(linear - sampled) > np.maximum(DIFFERS * sampled, 3.0 * sampled_error)
    return found
