"""The budget: the fraction of the variance that each source explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax.errors import InputError
from sirtjax.uncertainty._function import Arguments, Layout, Pipeline, layout_of, numbers_of
from sirtjax.uncertainty._sampling import REPLICATES, run_samples, standard_normal_points
from sirtjax.uncertainty._sources import Source, check_sources


@dataclass(frozen=True, eq=False)
class Budget:
    """First-order Sobol indices of each output.

    Attributes:
      fraction: (m,) fraction of the variance that each source explains without the others, by name. Estimates of
        small ones can be slightly negative.
      error: (m,) Monte Carlo standard error of `fraction`, by name.
      interactions: (m,) rest of the variance, which only combinations of sources explain.
    """

    fraction: dict[str, Float[np.ndarray, " m"]]
    error: dict[str, Float[np.ndarray, " m"]]
    interactions: Float[np.ndarray, " m"]


def uncertainty_budget(
    pipeline: Pipeline,
    sources: Sequence[Source],
    key: PRNGKeyArray,
    *,
    args: Arguments = (),
    count: int = 128,
    batch_size: int = 8,
) -> Budget:
    """Computes first-order Sobol indices: the fraction of the variance that each source explains.

    Two sets of samples are drawn, A and B. For each source, its elements in B are replaced by those in A. The
    covariance of that output with the output of A, over the variance, is the index of the source. It takes
    `count` x (number of sources + 2) evaluations.

    Args:
      pipeline: pure function as in `propagate_samples`.
      sources: sources of uncertainty, independent of each other.
      key: random key.
      args: further arguments of the pipeline.
      count: samples of each set, a power of two from 64.
      batch_size: samples that are computed together.

    Raises:
      InputError: as `propagate_samples`, or an output that no source changes.

    Examples:
      >>> import jax
      >>> from sirtjax import uncertainty
      >>> a, b = (
      ...     uncertainty.Source(name=name, centre=0.0, size=size, origin="example", evidence="assumed")
      ...     for name, size in (("a", 1.0), ("b", 2.0))
      ... )
      >>> found = uncertainty.uncertainty_budget(lambda values: values["a"] + values["b"], [a, b], jax.random.key(0))
      >>> round(float(found.fraction["b"][0]), 1)  # 4 of 5 parts of the variance
      0.8

    Reference:
      Janon et al., ESAIM Probab Stat 18:342-364, 2014 (estimator); Sobol, Math Comput Simul 55:271-280, 2001.
    """
    found = fractions_by_source(pipeline, sources, key, args=args, count=count, batch_size=batch_size)
    still = np.flatnonzero(np.isnan(found.interactions))
    if still.size:
        raise InputError(f"outputs {still.tolist()}: no source changes them, so they have no budget")
    return found


def fractions_by_source(
    pipeline: Pipeline,
    sources: Sequence[Source],
    key: PRNGKeyArray,
    *,
    args: Arguments = (),
    count: int = 128,
    batch_size: int = 8,
    varied: Sequence[str] | None = None,
) -> Budget:
    """Computes the indices of `uncertainty_budget`, NaN for an output that no source changes.

    Args:
      pipeline: pure function as in `propagate_samples`.
      sources: sources of uncertainty, independent of each other.
      key: random key.
      args: further arguments of the pipeline.
      count: samples of each set, a power of two from 64.
      batch_size: samples that are computed together.
      varied: names of the sources that are varied; the others stay at their centre and get no index. None varies all.

    Raises:
      InputError: as `propagate_samples`, or `varied` names something else.
    """
    check_sources(sources)
    unknown = sorted(set(varied or ()) - {source.name for source in sources})
    if unknown:
        raise InputError(f"varied: no source is called {', '.join(unknown)}")
    if count < 64 or count & (count - 1):
        raise InputError(f"count: expected a power of two from 64, got {count}")
    layout, (centres, sizes) = layout_of(sources), numbers_of(sources)
    chosen = [source for source in sources if varied is None or source.name in varied]
    check_sources(chosen)
    changed = layout_of(chosen)
    elements = changed[-1][2]
    both = standard_normal_points((*changed, *_moved(changed, elements)), key, count=count)
    first, second = both[:, :elements], both[:, elements:]
    column = np.concatenate([np.arange(*part[1:3]) for part in layout if varied is None or part[0] in varied])

    def run(points: Float[np.ndarray, "count elements"]) -> np.ndarray:
        # The program is that of `propagate_samples`, which has all sources.
        every = np.zeros((count, layout[-1][2]), points.dtype)
        every[:, column] = points
        return run_samples(every, centres, sizes, args, pipeline=pipeline, layout=layout, batch_size=batch_size)

    base = run(first)
    if not np.isfinite(base).all():
        raise InputError("samples: an output is NaN or infinite; reduce the sizes")
    still = base.std(axis=0) <= 1e-9 * np.abs(base).max(axis=0)
    base[:, still] = np.nan
    # Sets of few samples are correlated by chance: this correlation is removed, and is exact without any effect.
    other = run(second)
    fraction, error = {}, {}
    for name, start, stop, _, _ in changed:
        mixed = second.copy()
        mixed[:, start:stop] = first[:, start:stop]
        shared = run(mixed)
        fraction[name] = _index(base, shared, other)
        parts = [values.reshape(REPLICATES, -1, base.shape[1]) for values in (base, shared, other)]
        left_out = np.stack(
            [_index(*(np.delete(p, k, axis=0).reshape(-1, base.shape[1]) for p in parts)) for k in range(REPLICATES)]
        )
        # Jackknife: the index of a single replicate would be biased.
        error[name] = np.sqrt((REPLICATES - 1) * left_out.var(axis=0))
    return Budget(fraction=fraction, error=error, interactions=1.0 - np.sum(list(fraction.values()), axis=0))


def _moved(layout: Layout, elements: int) -> Layout:
    """The same sources after those of the first set."""
    return tuple((name, first + elements, last + elements, shape, kind) for name, first, last, shape, kind in layout)


def _index(base: np.ndarray, shared: np.ndarray, other: np.ndarray) -> Float[np.ndarray, " m"]:
    """Index of the source that `base` and `shared` have in common; `other` has no source in common with `base`."""
    by_chance = _correlation(base, other)
    return _ratio(_correlation(base, shared) - by_chance, 1.0 - by_chance)


def _correlation(base: np.ndarray, shared: np.ndarray) -> Float[np.ndarray, " m"]:
    # Mean and variance from both sets: this estimator has the least variance of its kind.
    mean = 0.5 * (base + shared).mean(axis=0)
    variance = 0.5 * (base**2 + shared**2).mean(axis=0) - mean**2
    return _ratio((base * shared).mean(axis=0) - mean**2, variance)


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float[np.ndarray, " m"]:
    """NaN where the whole is 0: an output that varies in few samples can be constant in the others."""
    found: np.ndarray = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole != 0)
    return found
