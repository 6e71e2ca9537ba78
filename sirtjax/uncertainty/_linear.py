"""Linear propagation of uncertainty with the second-order bias."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from sirtjax.uncertainty._function import (
    Arguments,
    Layout,
    Numbers,
    Outputs,
    Pipeline,
    evaluate,
    layout_of,
    map_first,
    numbers_of,
)
from sirtjax.uncertainty._sources import Source, check_sources

# Sources with at most this many elements get their exact second derivatives; larger ones random directions.
EXACT_ELEMENTS = 16


@dataclass(frozen=True, eq=False)
class LinearPropagation:
    """The result of a linear propagation.

    Attributes:
      value: (m,) outputs without error.
      standard_deviation: (m,) standard deviations to first order.
      bias: (m,) expectation minus `value` to second order.
      variances: (m,) contribution of each source to the variance, by name.
    """

    value: Float[np.ndarray, " m"]
    standard_deviation: Float[np.ndarray, " m"]
    bias: Float[np.ndarray, " m"]
    variances: dict[str, Float[np.ndarray, " m"]]


def propagate_linear(
    pipeline: Pipeline, sources: Sequence[Source], key: PRNGKeyArray, *, args: Arguments = (), probes: int = 16
) -> LinearPropagation:
    """Propagates sources through the Jacobian of a pipeline, with the bias from its second derivatives.

    The variance is the sum of the squared derivatives by independent standard normal numbers. The bias is half the
    sum of the second derivatives, each a Hessian-vector product. A source with more than 16 elements is probed along
    random directions instead (Hutchinson's estimator).

    Args:
      pipeline: pure function of the values of the sources, a dictionary by name, and of `args`. It returns arrays in
        any structure; they are flattened to one vector.
      sources: sources of uncertainty, independent of each other.
      key: random key of the directions.
      args: further arguments of the pipeline. Pass the data of a patient here, so that a second patient compiles
        nothing.
      probes: random directions of each source with more than 16 elements.

    Raises:
      InputError: no source, or two with the same name.

    Examples:
      >>> import jax
      >>> from sirtjax import uncertainty
      >>> radius = uncertainty.Source(
      ...     name="radius", centre=10.0, size=0.5, origin="repeated contours", evidence="measured"
      ... )
      >>> found = uncertainty.propagate_linear(lambda values: values["radius"] ** 2, [radius], jax.random.key(0))
      >>> float(found.standard_deviation[0]), float(found.bias[0])  # 2 r u and u^2
      (10.0, 0.25)

    Reference:
      JCGM 100:2008, Guide to the expression of uncertainty in measurement, 5.1.2.
    """
    check_sources(sources)
    layout, (centres, sizes) = layout_of(sources), numbers_of(sources)
    directions, weights, used = _directions(sources, key, probes)
    everywhere = np.random.default_rng(0).standard_normal(layout[-1][2]).astype(directions.dtype)
    value, jacobian, second = _derivatives(
        centres,
        sizes,
        args,
        directions,
        used,
        everywhere,
        pipeline=pipeline,
        layout=layout,
        forward=layout[-1][2] <= 64,
    )
    squared = np.asarray(jacobian, np.float64) ** 2
    variances = {name: squared[:, first:last].sum(axis=1) for name, first, last, _, _ in layout}
    bias = 0.5 * np.asarray(weights, np.float64) @ np.asarray(second, np.float64)
    return LinearPropagation(
        value=np.asarray(value, np.float64),
        standard_deviation=np.sqrt(squared.sum(axis=1)),
        bias=bias,
        variances=variances,
    )


def _directions(sources: Sequence[Source], key: PRNGKeyArray, probes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of the Hessian-vector products, the weight of each in the trace, and whether its source has a size."""
    total = sum(source.count for source in sources)
    rows, weights, used, first = [], [], [], 0
    for source, one in zip(sources, jax.random.split(key, len(sources)), strict=True):
        exact = source.count <= EXACT_ELEMENTS
        part = np.eye(source.count) if exact else np.asarray(jax.random.rademacher(one, (probes, source.count), float))
        row = np.zeros((len(part), total), jax.dtypes.canonicalize_dtype(float))
        row[:, first : first + source.count] = part
        rows.append(row)
        weights += [1.0 if exact else 1.0 / probes] * len(part)
        used += [bool(np.any(np.asarray(source.size) > 0))] * len(part)
        first += source.count
    return np.concatenate(rows), np.array(weights), np.array(used)


@functools.partial(jax.jit, static_argnames=("pipeline", "layout", "forward"))
def _derivatives(
    centres: Numbers,
    sizes: Numbers,
    args: Arguments,
    directions: jax.Array,
    used: jax.Array,
    everywhere: jax.Array,
    *,
    pipeline: Pipeline,
    layout: Layout,
    forward: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value, Jacobian (m, n) and the second derivative along each direction (directions, m).

    Sources without a size and outputs without a derivative, such as those of padding, take no time: their rows are 0.
    """

    def function(z: jax.Array) -> jax.Array:
        return evaluate(pipeline, layout, z, centres, sizes, args)

    origin = jnp.zeros(layout[-1][2])
    if forward:
        value, jacobian = function(origin), jax.jacfwd(function)(origin)

    def along(direction: jax.Array) -> tuple[jax.Array, jax.Array]:
        """First and second derivative along a direction."""

        def slope(z: jax.Array) -> jax.Array:
            first: jax.Array = jax.jvp(function, (z,), (direction,))[1]
            return first

        both: tuple[jax.Array, jax.Array] = jax.jvp(slope, (origin,), (direction,))
        return both

    if forward:
        return value, jacobian, _rows(along, directions, used)[1]
    # A random direction along all sources has no derivative of an output only if no source changes it. It is one more
    # row of the second derivatives, because a program of its own for the first ones takes as long to compile.
    first, second = _rows(along, jnp.concatenate([everywhere[None], directions]), jnp.append(True, used))
    value, pull = jax.vjp(function, origin)
    # One output after the other: all at once would keep the volumes of every output in memory.
    jacobian = _rows(lambda one: pull(one)[0], jnp.eye(len(value), dtype=value.dtype), first[0] != 0)
    return value, jacobian, second[1:]


def _rows(function: Callable[[jax.Array], Outputs], points: jax.Array, wanted: jax.Array) -> Outputs:
    """The function at each wanted point, one after the other; rows of 0 elsewhere."""
    order = jnp.argsort(~wanted, stable=True)
    found = map_first(function, points[order], jnp.sum(wanted))
    return jax.tree.map(lambda rows: jnp.zeros_like(rows).at[order].set(rows), found)
