from __future__ import annotations

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np


def namespace(*arrays: object) -> ModuleType:
    """Returns `jax.numpy` if any of the arrays is a JAX array (traced or not), otherwise `numpy`.

    A function written on it is differentiable under JAX and, given NumPy arrays, never compiles: on the host
    every new array shape would otherwise cost one compilation per operation.
    """
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np
