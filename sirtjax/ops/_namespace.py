from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# NumPy at the edges, jax.Array inside a transformation.
Array = Any


def namespace(*arrays: Array) -> Any:
    """Returns `jax.numpy` if any of the arrays is a JAX array (traced or not), otherwise `numpy`.

    A function written on it is differentiable under JAX and, given NumPy arrays, never compiles: on the host
    every new array shape would otherwise cost one compilation per operation.
    """
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
