"""Operations and memory traffic of a program, counted in its traced form.

XLA's own count (`compiled.cost_analysis()`) counts the body of a loop once, and knows nothing of what happens inside
the calls of a library. This count multiplies by the length of a loop:

  operations  2 per multiply-add of a convolution or matrix product, padding included; 5 N log2 N of a complex and half
              of that of a real Fourier transform; one per element of other arithmetic and of the input of a sum.
  bytes       what convolutions, products, transforms, sums and gathers must read and write if everything between them
              is fused: a lower bound. A program moves at least its arguments and results.

Convolutions that a CPU computes in another way count as the convolutions that they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

ARITHMETIC = frozenset(
    (
        *("add", "add_any", "sub", "mul", "div", "rem", "max", "min", "neg", "abs", "sign", "floor", "ceil", "round"),
        *("exp", "exp2", "log", "log1p", "expm1", "pow", "integer_pow", "square", "sqrt", "rsqrt", "cbrt", "logistic"),
        *("tanh", "sin", "cos", "tan", "atan2", "erf", "erfc", "erf_inv"),
    )
)
SUMS = frozenset(
    (
        *("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"),
        *("cumsum", "cumprod", "cummax", "cumlogsumexp"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a program has to do.

    Attributes:
      operations: arithmetic operations.
      bytes: bytes to and from memory, a lower bound.
      loops: number of loops, whose bodies XLA counts once.
      unknown_loops: loops of unknown length, counted once here too.
    """

    operations: float = 0.0
    bytes: float = 0.0
    loops: int = 0
    unknown_loops: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def times(self, count: float) -> Work:
        """Returns the work of `count` calls; the number of loops in the program does not change."""
        operations, traffic = self.operations * count, self.bytes * count
        return Work(operations=operations, bytes=traffic, loops=self.loops, unknown_loops=self.unknown_loops)


def work_of(function: Callable[..., Any], *arguments: Any) -> Work:
    """Traces a function and counts its work.

    Args:
      function: pure function of arrays.
      arguments: arrays, or `jax.ShapeDtypeStruct`.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    found = _of_jaxpr(closed.jaxpr)
    ends = sum(_bytes(v) for v in (*closed.jaxpr.invars, *closed.jaxpr.constvars, *closed.jaxpr.outvars))
    loops, unknown = found.loops, found.unknown_loops
    return Work(operations=found.operations, bytes=max(found.bytes, ends), loops=loops, unknown_loops=unknown)


def _of_jaxpr(jaxpr: Any) -> Work:
    total, platform_choices = Work(), set()
    for equation in jaxpr.eqns:
        if equation.primitive.name == "platform_index":
            platform_choices.update(equation.outvars)
        total += _of_equation(equation, platform_choices)
    return total


def _of_equation(equation: Any, platform_choices: set[Any]) -> Work:
    name, parameters = equation.primitive.name, equation.params
    if name == "scan":
        return _of_jaxpr(parameters["jaxpr"].jaxpr).times(parameters["length"]) + Work(loops=1)
    if name == "while":
        return _of_jaxpr(parameters["body_jaxpr"].jaxpr) + Work(loops=1, unknown_loops=1)
    if name == "cond":
        branches = [_of_jaxpr(branch.jaxpr) for branch in parameters["branches"]]
        index = equation.invars[0]
        # Of the branches by platform, the last one is that of accelerators.
        chosen = not isinstance(index, jax.extend.core.Literal) and index in platform_choices
        return branches[-1] if chosen else max(branches, key=lambda one: one.operations)
    inner = [] if name.startswith(("scatter", "reduce")) else list(_inner(parameters))
    if inner:
        return sum((_of_jaxpr(one) for one in inner), Work())
    return _of_primitive(equation)


def _inner(parameters: dict[str, Any]) -> Iterator[Any]:
    for value in parameters.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(one, "jaxpr", one)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr


def _of_primitive(equation: Any) -> Work:
    name, ins, outs = equation.primitive.name, equation.invars, equation.outvars
    through = float(sum(map(_bytes, (*ins, *outs))))
    if name == "conv_general_dilated":
        return Work(operations=_of_convolution(equation), bytes=through)
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        depth = math.prod(ins[0].aval.shape[axis] for axis in contracted)
        return Work(operations=2.0 * _size(outs[0]) * depth, bytes=through)
    if name == "fft":
        return Work(operations=_of_transform(equation), bytes=through)
    if name in SUMS:
        return Work(operations=float(_size(ins[0])), bytes=through)
    if name in ("gather", "dynamic_slice"):
        return Work(bytes=2.0 * _bytes(outs[0]) + sum(map(_bytes, ins[1:])))
    if name.startswith("scatter"):
        # Read and write what changes, not the array that it changes in.
        return Work(operations=float(_size(ins[2])), bytes=3.0 * _bytes(ins[2]) + _bytes(ins[1]))
    return Work(operations=float(_size(outs[0]))) if name in ARITHMETIC else Work()


def _of_convolution(equation: Any) -> float:
    kernel, out = equation.invars[1].aval.shape, equation.outvars[0]
    numbers = equation.params["dimension_numbers"].rhs_spec
    # (features, channels of a group, space ...)
    taps = math.prod(kernel[axis] for axis in numbers[1:])
    # Of a transposed convolution, only one product in as many as its strides is with a voxel.
    return 2.0 * _size(out) * taps / math.prod(equation.params["lhs_dilation"])


def _of_transform(equation: Any) -> float:
    lengths = equation.params["fft_lengths"]
    points = math.prod(lengths)
    ends = (equation.invars[0], equation.outvars[0])
    real = not all(np.issubdtype(end.aval.dtype, np.complexfloating) for end in ends)
    widest = max(ends, key=_size).aval.shape
    batch = math.prod(widest[: len(widest) - len(lengths)])
    return (2.5 if real else 5.0) * batch * points * math.log2(max(2, points))


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape) if hasattr(variable.aval, "shape") else 0


def _bytes(variable: Any) -> int:
    kind = getattr(variable.aval, "dtype", None)
    return 0 if kind is None else _size(variable) * getattr(kind, "itemsize", np.dtype(np.uint32).itemsize)
