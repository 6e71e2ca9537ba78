"""Propagation of uncertainty by quasi-random samples."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy import special

from sirtjax.errors import InputError
from sirtjax.uncertainty._function import (
    Arguments,
    Layout,
    Numbers,
    Pipeline,
    evaluate,
    layout_of,
    map_first,
    numbers_of,
)
from sirtjax.uncertainty._sources import Source, check_sources

# Independent scramblings of the sequence: their scatter is the Monte Carlo error.
REPLICATES = 8
# Sobol's sequence has no more directions.
MOST_ELEMENTS = 21201
# Sources with more elements get pseudo-random numbers.
SOBOL_ELEMENTS = 64
# Points of one run of the compiled program, up to a multiple of the batch.
SET = 64


@dataclass(frozen=True, eq=False)
class SampledPropagation:
    """The result of a propagation by samples.

    Attributes:
      value: (m,) outputs without error.
      samples: (count, m) outputs of all samples.
      mean, mean_error: (m,) expectation and its Monte Carlo standard error.
      standard_deviation, standard_deviation_error: (m,) standard deviation and its Monte Carlo standard error.
      interval: (2, m) 5 and 95 % quantiles.
    """

    value: Float[np.ndarray, " m"]
    samples: Float[np.ndarray, "count m"]
    mean: Float[np.ndarray, " m"]
    mean_error: Float[np.ndarray, " m"]
    standard_deviation: Float[np.ndarray, " m"]
    standard_deviation_error: Float[np.ndarray, " m"]
    interval: Float[np.ndarray, "2 m"]

    @property
    def bias(self) -> Float[np.ndarray, " m"]:
        """Expectation minus the value without error."""
        found: np.ndarray = self.mean - self.value
        return found


def propagate_samples(
    pipeline: Pipeline,
    sources: Sequence[Source],
    key: PRNGKeyArray,
    *,
    args: Arguments = (),
    count: int = 256,
    batch_size: int = 8,
) -> SampledPropagation:
    """Propagates sources by running a pipeline on quasi-random samples.

    The samples are eight independently scrambled Sobol sequences. The scatter between them is the Monte Carlo error.

    Args:
      pipeline: pure function of the values of the sources, a dictionary by name, and of `args`. It returns arrays in
        any structure; they are flattened to one vector.
      sources: sources of uncertainty, independent of each other.
      key: random key of the scrambling.
      args: further arguments of the pipeline. Pass the data of a patient here, so that a second patient compiles
        nothing.
      count: number of samples, a power of two from 64.
      batch_size: samples that are computed together, which multiplies the memory.

    Raises:
      InputError: no source, two with the same name, more than 21201 elements in small sources, a `count` that is not
        a power of two from 64, or an output that is NaN or infinite for a sample.

    Examples:
      >>> import jax
      >>> from sirtjax import uncertainty
      >>> factor = uncertainty.Source(
      ...     name="calibration", centre=1.0, size=0.05, origin="phantom scan", evidence="measured"
      ... )
      >>> def dose(values):
      ...     return 200.0 * values["calibration"]
      >>> found = uncertainty.propagate_samples(dose, [factor], jax.random.key(0))
      >>> round(float(found.standard_deviation[0]))  # 5 % of 200
      10
    """
    check_sources(sources)
    if count < 64 or count & (count - 1):
        raise InputError(f"count: expected a power of two from 64, got {count}")
    layout, (centres, sizes) = layout_of(sources), numbers_of(sources)
    points = standard_normal_points(layout, key, count=count)
    samples = run_samples(points, centres, sizes, args, pipeline=pipeline, layout=layout, batch_size=batch_size)
    lost = int(np.count_nonzero(~np.isfinite(samples).all(axis=1)))
    if lost:
        raise InputError(f"samples: {lost} of {count} have an output that is NaN or infinite; reduce the sizes")
    nominal = run_samples(
        np.zeros((1, layout[-1][2]), points.dtype),
        centres,
        sizes,
        args,
        pipeline=pipeline,
        layout=layout,
        batch_size=batch_size,
    )
    replicates = samples.reshape(REPLICATES, count // REPLICATES, -1)
    deviations = replicates.std(axis=1, ddof=1)
    return SampledPropagation(
        value=nominal[0],
        samples=samples,
        mean=samples.mean(axis=0),
        mean_error=replicates.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(REPLICATES),
        standard_deviation=samples.std(axis=0, ddof=1),
        standard_deviation_error=deviations.std(axis=0, ddof=1) / np.sqrt(REPLICATES),
        interval=np.quantile(samples, [0.05, 0.95], axis=0),
    )


def standard_normal_points(layout: Layout, key: PRNGKeyArray, *, count: int) -> Float[np.ndarray, "count elements"]:
    """Returns the elements of all sources as standard normal numbers, eight sequences one after the other.

    Sources with at most 64 elements are scrambled Sobol points. Larger ones, such as the noise of an image, are
    pseudo-random numbers, because the sequence has too few directions for them.

    Args:
      layout: slices of the sources.
      key: random key of the scrambling.
      count: number of points, a multiple of eight.

    Raises:
      InputError: more elements of small sources than Sobol's sequence has directions.
    """
    small = np.concatenate([np.full(last - first, last - first <= SOBOL_ELEMENTS) for _, first, last, _, _ in layout])
    scrambling, rest = jax.random.split(key)
    dtype = jax.dtypes.canonicalize_dtype(float)
    points = np.empty((count, small.size), dtype)
    if not small.all():
        points[:, ~small] = np.asarray(jax.random.normal(rest, (count, int((~small).sum())), dtype))
    if small.any():
        points[:, small] = _sobol(int(small.sum()), scrambling, count)
    return points


def _sobol(elements: int, key: PRNGKeyArray, count: int) -> Float[np.ndarray, "count elements"]:
    if elements > MOST_ELEMENTS:
        raise InputError(f"sources: {elements} elements in small sources, at most {MOST_ELEMENTS} are supported")
    from scipy.stats import qmc  # half a second to load

    seeds = np.asarray(jax.random.randint(key, (REPLICATES,), 0, 2**31 - 1))
    parts = []
    for seed in seeds:
        sequence = qmc.Sobol(elements, scramble=True, rng=np.random.default_rng(int(seed)))
        parts.append(sequence.random(count // REPLICATES))
    # Scrambled points can be 0: half of the spacing of the sequence keeps them finite.
    tiny = 2.0**-33
    found: np.ndarray = special.ndtri(np.clip(np.concatenate(parts), tiny, 1 - tiny))
    return found


def run_samples(
    points: Float[np.ndarray, "count elements"],
    centres: Numbers,
    sizes: Numbers,
    args: Arguments,
    *,
    pipeline: Pipeline,
    layout: Layout,
    batch_size: int,
) -> Float[np.ndarray, "count m"]:
    """Runs the pipeline at each point, `batch_size` of them together.

    Any number of points is run by the same program, in sets of about 64: it takes long to compile.

    Args:
      points: (count, elements) standard normal numbers.
      centres: centre of each source by name.
      sizes: size of each source by name.
      args: further arguments of the pipeline.
      pipeline: pure function as in `propagate_samples`.
      layout: slices of the sources.
      batch_size: points that are computed together, which multiplies the memory.
    """
    rows, found = batch_size * -(-SET // batch_size), []
    for first in range(0, len(points), rows):
        some = points[first : first + rows]
        batches = np.int32(-(-len(some) // batch_size))
        some = np.concatenate([some, np.zeros((rows - len(some), points.shape[1]), points.dtype)])
        values = _run_set(
            some.reshape(-1, batch_size, points.shape[1]),
            batches,
            centres,
            sizes,
            args,
            pipeline=pipeline,
            layout=layout,
        )
        found.append(np.asarray(values, np.float64).reshape(rows, -1))
    return np.concatenate(found)[: len(points)]


@functools.partial(jax.jit, static_argnames=("pipeline", "layout"))
def _run_set(
    points: Float[jax.Array, "batches size elements"],
    count: jax.Array,
    centres: Numbers,
    sizes: Numbers,
    args: Arguments,
    *,
    pipeline: Pipeline,
    layout: Layout,
) -> Float[jax.Array, "batches size m"]:
    """The outputs at the points of the first batches."""

    def one(z: jax.Array) -> jax.Array:
        return evaluate(pipeline, layout, z, centres, sizes, args)

    found: jax.Array = map_first(jax.vmap(one), points, count)
    return found
