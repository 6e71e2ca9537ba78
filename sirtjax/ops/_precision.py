"""Matrix products in full float32 precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

_P = ParamSpec("_P")
_R = TypeVar("_R")


def full_precision(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Returns the function with all its matrix products in full float32 precision.

    The default precision of JAX may be TF32 on NVIDIA GPUs, with a mantissa of 10 bits: points that are 300 mm from
    the origin are then displaced by up to 0.1 mm. Networks keep the default, which is faster.

    Args:
      function: function with JAX products. A function that it returns is not covered.

    Returns:
      A function with the same arguments and results. The derivatives have the same precision.

    Reference:
      NVIDIA A100 Tensor Core GPU Architecture, 2020 (TF32); https://docs.jax.dev/en/latest/_autosummary/jax.lax.Precision.html

    Examples:
      >>> import jax
      >>> from sirtjax import ops
      >>> text = jax.jit(ops.full_precision(lambda a: a @ a)).lower(jax.numpy.eye(3)).as_text()
      >>> "precision = [HIGHEST, HIGHEST]" in text
      True
    """

    @wraps(function)
    def precise(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return precise
