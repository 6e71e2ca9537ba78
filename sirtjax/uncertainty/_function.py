"""A function of named sources as a function of one vector of standard normal numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Integer, PyTree, Real

from sirtjax.typing import Array
from sirtjax.uncertainty._sources import Distribution, Source, source_value

# A pure function of the values of the sources by name and of further arguments; returns arrays in any structure.
Outputs: TypeAlias = PyTree[Real[Array, "..."]]
Pipeline: TypeAlias = Callable[..., Outputs]
# Arrays in any structure: the data of a patient.
Arguments: TypeAlias = tuple[PyTree[Real[Array, "..."]], ...]
# Name, slice of the vector, shape and distribution of each source: hashable, so that it can be part of a program.
Layout = tuple[tuple[str, int, int, tuple[int, ...], Distribution], ...]
Numbers: TypeAlias = dict[str, Real[Array, "..."]]


def layout_of(sources: Sequence[Source]) -> Layout:
    """Returns where each source is in the vector of standard normal numbers."""
    found, first = [], 0
    for source in sources:
        found.append((source.name, first, first + source.count, np.shape(source.centre), source.distribution))
        first += source.count
    return tuple(found)


def numbers_of(sources: Sequence[Source]) -> tuple[Numbers, Numbers]:
    """Returns centre and size of each source by name, as arguments of a compiled program."""
    dtype = jax.dtypes.canonicalize_dtype(float)
    centres: Numbers = {source.name: np.asarray(source.centre, dtype) for source in sources}
    return centres, {source.name: np.asarray(source.size, dtype) for source in sources}


def evaluate(
    pipeline: Pipeline,
    layout: Layout,
    z: Float[jax.Array, " elements"],
    centres: Numbers,
    sizes: Numbers,
    args: Arguments,
) -> Float[jax.Array, " m"]:
    """Returns the outputs of the pipeline as one vector, at the point z."""
    values = {
        name: source_value(z[first:last].reshape(shape), centres[name], sizes[name], distribution)
        for name, first, last, shape, distribution in layout
    }
    return ravel_pytree(pipeline(values, *args))[0]


def map_first(function: Callable[..., Outputs], rows: Outputs, count: Integer[Array, ""]) -> Outputs:
    """Returns the function of the first rows, one after the other, and zeros for the others.

    Args:
      function: pure function of one row.
      rows: arrays in any structure with the rows as leading axis.
      count: number of rows to compute; it may be traced.
    """
    function = jax.jit(function)  # traced once, for the shapes and for the loop
    one = jax.eval_shape(function, jax.tree.map(lambda x: x[0], rows))
    number = jax.tree.leaves(rows)[0].shape[0]
    empty = jax.tree.map(lambda x: jnp.zeros((number, *x.shape), x.dtype), one)

    def add(index: jax.Array, found: Outputs) -> Outputs:
        new = function(jax.tree.map(lambda x: x[index], rows))
        return jax.tree.map(lambda every, x: every.at[index].set(x), found, new)

    return jax.lax.fori_loop(0, count, add, empty)
