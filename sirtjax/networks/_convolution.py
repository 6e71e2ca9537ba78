"""3D convolution that is fast on every backend, with its transpose.

Accelerators run XLA's own 3D convolution. On a CPU that is several times slower than what the same processor does on
2D convolutions and matrix products, so there it is written as those (`_convolution_cpu.py`). Both give the same
numbers to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from sirtjax.networks._convolution_cpu import correlate, input_gradient
from sirtjax.networks._slabs import Padding as Padding
from sirtjax.networks._slabs import Three as Three
from sirtjax.networks._weight_gradient_cpu import weight_gradient
from sirtjax.typing import Array

SAME: Padding = ((1, 1), (1, 1), (1, 1))
_LAYOUT = ("NDHWC", "DHWIO", "NDHWC")


def conv3d(
    x: Float[Array, "n i j k channels"],
    w: Float[Array, "a b c channels features"],
    *,
    stride: Three = (1, 1, 1),
    padding: Padding = SAME,
) -> Float[jax.Array, "n i_out j_out k_out features"]:
    """Correlates images with kernels, as `lax.conv_general_dilated` does.

    Differentiable in both arguments (reverse mode); only the two are kept for the gradient.

    Args:
      x: images, (n, i, j, k, in).
      w: kernels, (a, b, c, in, out).
      stride: step between outputs along each axis.
      padding: zeros before and after along each axis.

    Returns:
      (n, i', j', k', out) values of the same dtype as `x`.
    """
    if w.shape[:3] == (1, 1, 1):
        return _pointwise(x, w, stride, padding)
    return _convolve(x, w, stride, padding)


def conv3d_transpose(
    x: Float[Array, "n i j k channels"],
    w: Float[Array, "a b c channels features"],
    *,
    stride: Three,
    padding: Padding = ((0, 0), (0, 0), (0, 0)),
    output_padding: Three = (0, 0, 0),
) -> Float[jax.Array, "n i_out j_out k_out features"]:
    """Computes the transpose of a strided convolution.

    The output has stride * (i - 1) + kernel - padding + output_padding voxels, as PyTorch's `ConvTranspose3d` has;
    its weight (in, out, a, b, c) is `w` with the first two axes moved to the end.

    Args:
      x: images, (n, i, j, k, in).
      w: kernels, (a, b, c, in, out).
      stride: distance between the kernels' places in the output.
      padding: voxels removed before and after along each axis.
      output_padding: voxels added at the end of each axis, which the kernels may reach or not.

    Returns:
      (n, i', j', k', out) values of the same dtype as `x`.
    """
    if w.shape[:3] == tuple(stride) and not any(map(any, padding)) and not any(output_padding):
        return _spread(x, w)
    shape = _three(
        s * (n - 1) + k - low - high + extra
        for s, n, k, (low, high), extra in zip(stride, x.shape[1:4], w.shape[:3], padding, output_padding, strict=True)
    )
    # The output padding reduces the number of voxels that are removed at the end.
    cut = [(low, high - extra) for (low, high), extra in zip(padding, output_padding, strict=True)]
    return _convolve_transposed(x, w, shape, stride, (cut[0], cut[1], cut[2]))


def _three(values: Iterable[int]) -> Three:
    a, b, c = values
    return a, b, c


def _pointwise(
    x: Float[Array, "n i j k channels"], w: Float[Array, "1 1 1 channels features"], stride: Three, padding: Padding
) -> jax.Array:
    """A kernel of one voxel is a matrix product."""
    if any(map(any, padding)):
        x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    if stride != (1, 1, 1):
        x = x[:, :: stride[0], :: stride[1], :: stride[2]]
    return lax.dot_general(x, w[0, 0, 0], (((4,), (0,)), ((), ())))


def _spread(x: Float[Array, "n i j k channels"], w: Float[Array, "a b c channels features"]) -> jax.Array:
    """Kernels that touch without overlapping: one matrix product, then channels become space."""
    n, *shape, channels = x.shape
    *kernel, _, features = w.shape
    matrix = jnp.moveaxis(w, 3, 0).reshape(channels, -1)
    y = lax.dot_general(x, matrix, (((4,), (0,)), ((), ()))).reshape(n, *shape, *kernel, features)
    y = y.transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return y.reshape(n, *(size * step for size, step in zip(shape, kernel, strict=True)), features)


def _native(x: jax.Array, w: jax.Array, *, stride: Three, padding: Padding) -> jax.Array:
    return lax.conv_general_dilated(x, w, stride, padding, dimension_numbers=_LAYOUT)


def _native_input_gradient(dy: jax.Array, w: jax.Array, *, shape: Three, stride: Three, padding: Padding) -> jax.Array:
    like = jax.ShapeDtypeStruct((dy.shape[0], *shape, w.shape[3]), dy.dtype)
    (dx,) = jax.linear_transpose(lambda x: _native(x, w, stride=stride, padding=padding), like)(dy)
    return dx  # type: ignore[no-any-return]


def _native_weight_gradient(
    x: jax.Array, dy: jax.Array, *, kernel: Three, stride: Three, padding: Padding
) -> jax.Array:
    like = jax.ShapeDtypeStruct((*kernel, x.shape[4], dy.shape[4]), x.dtype)
    (dw,) = jax.linear_transpose(lambda w: _native(x, w, stride=stride, padding=padding), like)(dy)
    return dw  # type: ignore[no-any-return]


def _any_convolution(x: jax.Array, w: jax.Array, stride: Three, padding: Padding) -> jax.Array:
    found: jax.Array = lax.platform_dependent(
        x,
        w,
        cpu=partial(correlate, stride=stride, padding=padding),
        default=partial(_native, stride=stride, padding=padding),
    )
    return found


def _any_input_gradient(dy: jax.Array, w: jax.Array, shape: Three, stride: Three, padding: Padding) -> jax.Array:
    found: jax.Array = lax.platform_dependent(
        dy,
        w,
        cpu=partial(input_gradient, shape=shape, stride=stride, padding=padding),
        default=partial(_native_input_gradient, shape=shape, stride=stride, padding=padding),
    )
    return found


def _any_weight_gradient(x: jax.Array, dy: jax.Array, kernel: Three, stride: Three, padding: Padding) -> jax.Array:
    found: jax.Array = lax.platform_dependent(
        x,
        dy,
        cpu=partial(weight_gradient, kernel=kernel, stride=stride, padding=padding),
        default=partial(_native_weight_gradient, kernel=kernel, stride=stride, padding=padding),
    )
    return found


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: jax.Array, w: jax.Array, stride: Three, padding: Padding) -> jax.Array:
    return _any_convolution(x, w, stride, padding)


def _convolve_forward(
    x: jax.Array, w: jax.Array, stride: Three, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _any_convolution(x, w, stride, padding), (x, w)


def _convolve_backward(
    stride: Three, padding: Padding, kept: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, w = kept
    dx = _any_input_gradient(dy, w, _three(x.shape[1:4]), stride, padding)
    return dx, _any_weight_gradient(x, dy, _three(w.shape[:3]), stride, padding)


_convolve.defvjp(_convolve_forward, _convolve_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve_transposed(x: jax.Array, w: jax.Array, shape: Three, stride: Three, padding: Padding) -> jax.Array:
    return _any_input_gradient(x, w.swapaxes(3, 4), shape, stride, padding)


def _convolve_transposed_forward(
    x: jax.Array, w: jax.Array, shape: Three, stride: Three, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve_transposed(x, w, shape, stride, padding), (x, w)


def _convolve_transposed_backward(
    shape: Three, stride: Three, padding: Padding, kept: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, w = kept
    dx = _any_convolution(dy, w.swapaxes(3, 4), stride, padding)
    return dx, _any_weight_gradient(dy, x, _three(w.shape[:3]), stride, padding).swapaxes(3, 4)


_convolve_transposed.defvjp(_convolve_transposed_forward, _convolve_transposed_backward)
