"""Types of arrays for signatures: `Float[Array, "i j k"]` with jaxtyping. Importing this module does not import JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Real

if TYPE_CHECKING:
    import jax

    Array: TypeAlias = jax.Array | np.ndarray
else:
    # jaxtyping then checks shape and type of number of every array, and JAX need not be loaded.
    Array = Any

# A number: of Python, NumPy or JAX, traced or not.
Scalar: TypeAlias = float | np.floating | Real[Array, ""]
# A number or an array of any shape.
Numbers: TypeAlias = float | np.floating | Real[Array, "..."]
# One number per axis of a grid or of the world.
Vector: TypeAlias = Sequence[float] | Real[Array, "3"]
