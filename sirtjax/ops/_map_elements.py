"""One function over many elements, in the order that suits the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax

Elements = TypeVar("Elements")
Results = TypeVar("Results")


def map_elements(function: Callable[[Elements], Results], elements: Elements) -> Results:
    """Applies a function to each element: one by one on a CPU, all at once on an accelerator.

    One element stays in the cache of a processor core, so a CPU is fastest if it finishes each element before the next.
    An accelerator would wait for thousands of small kernels; it needs the memory of all elements instead. The choice
    follows `jax.default_backend()` when the program is traced. The results differ only by rounding.

    Args:
      function: pure function of one element.
      elements: pytree of arrays whose first axis is that of the elements.

    Returns:
      The results, stacked along a first axis.

    Examples:
      >>> import jax.numpy as jnp
      >>> from sirtjax import ops
      >>> ops.map_elements(lambda row: row.sum(), jnp.ones((2, 3))).tolist()
      [3.0, 3.0]
    """
    if jax.default_backend() == "cpu":
        one_by_one: Results = jax.lax.map(function, elements)
        return one_by_one
    together: Results = jax.vmap(function)(elements)
    return together
