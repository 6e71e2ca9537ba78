"""The layers of all networks. Arrays are (n, i, j, k, channel)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._convolution import Padding, Three, conv3d, conv3d_transpose
from sirtjax.networks._feature import Scaling, moments
from sirtjax.typing import Array

# Values of a shape and a number of inputs that each output sums.
Draw = Callable[[tuple[int, ...], int], Float[np.ndarray, "..."]]

EPSILON = 1e-5
LEAK = 0.01


def kept_size(kernel: Three) -> Padding:
    """Returns the padding with which a convolution of odd kernel preserves the size."""
    a, b, c = ((k // 2, k // 2) for k in kernel)
    return a, b, c


def leaky_relu(x: Float[jax.Array, "*shape"]) -> Float[jax.Array, "*shape"]:
    """Scales negative values by 0.01."""
    return jnp.where(x >= 0, x, LEAK * x)


def he_normal(generator: np.random.Generator) -> Draw:
    """Samples normal values of variance 2 / fan in (He et al., ICCV 2015, arXiv 1502.01852)."""

    def draw(shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        deviation = math.sqrt(2 / ((1 + LEAK**2) * fan_in))
        return (generator.standard_normal(shape) * deviation).astype(np.float32)

    return draw


def shapes_alone(shape: tuple[int, ...], fan_in: int) -> Float[np.ndarray, "..."]:
    """Stands for drawn values where only shapes are asked for."""
    del fan_in
    return np.zeros(shape, np.float32)


class Convolution(nnx.Module):
    """A 3D convolution, with a bias only where no normalisation follows that would take it away again."""

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        kernel: Three = (3, 3, 3),
        stride: Three = (1, 1, 1),
        padding: Padding | None = None,
        bias: bool = False,
        draw: Draw,
    ) -> None:
        self.stride = stride
        self.padding = kept_size(kernel) if padding is None else padding
        self.w = nnx.Param(draw((*kernel, channels, features), math.prod(kernel) * channels))
        self.b = nnx.Param(np.zeros(features, np.float32)) if bias else None

    def __call__(self, x: Float[Array, "n i j k channels"]) -> Float[jax.Array, "n i_out j_out k_out features"]:
        return self.shifted(conv3d(x, self.w[...].astype(x.dtype), stride=self.stride, padding=self.padding))

    def shifted(self, y: Float[jax.Array, "n i j k features"]) -> Float[jax.Array, "n i j k features"]:
        """Adds the bias, if there is one."""
        return y if self.b is None else y + _wide(self.b[...]).astype(y.dtype)


def together(
    first: Convolution, second: Convolution, x: Float[Array, "n i j k channels"]
) -> tuple[Float[jax.Array, "n i_out j_out k_out first"], Float[jax.Array, "n i_out j_out k_out second"]]:
    """Combines two convolutions of one image, with equal kernel shape and stride, into one."""
    w = jnp.concatenate([first.w[...], second.w[...]], axis=-1)
    y = conv3d(x, w.astype(x.dtype), stride=first.stride, padding=first.padding)
    size = first.w[...].shape[-1]
    return first.shifted(y[..., :size]), second.shifted(y[..., size:])


class TransposedConvolution(nnx.Module):
    """A transposed convolution that multiplies the size by its stride."""

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        kernel: Three,
        stride: Three,
        bias: bool = True,
        draw: Draw,
    ) -> None:
        self.stride = stride
        # Half of the overlap of the kernels is removed at the start, the remainder at the end.
        before = [(k - s + 1) // 2 for k, s in zip(kernel, stride, strict=True)]
        after = [s - k + 2 * p for k, s, p in zip(kernel, stride, before, strict=True)]
        self.padding = ((before[0], before[0]), (before[1], before[1]), (before[2], before[2]))
        self.extra = (after[0], after[1], after[2])
        self.w = nnx.Param(draw((*kernel, channels, features), math.prod(kernel) * channels))
        self.b = nnx.Param(np.zeros(features, np.float32)) if bias else None

    def __call__(self, x: Float[Array, "n i j k channels"]) -> Float[jax.Array, "n i_out j_out k_out features"]:
        y = conv3d_transpose(
            x, self.w[...].astype(x.dtype), stride=self.stride, padding=self.padding, output_padding=self.extra
        )
        return y if self.b is None else y + _wide(self.b[...]).astype(y.dtype)


class InstanceNorm(nnx.Module):
    """Normalises each channel of each image to mean 0 and variance 1, then scales and shifts it."""

    def __init__(self, features: int, *, affine: bool = True) -> None:
        self.scale = nnx.Param(np.ones(features, np.float32)) if affine else None
        self.shift = nnx.Param(np.zeros(features, np.float32)) if affine else None

    def __call__(self, y: Float[Array, "n i j k features"], *, training: bool) -> Scaling:
        del training
        mean, variance = moments(y)
        factor = lax.rsqrt(variance + EPSILON)
        if self.scale is None or self.shift is None:
            return Scaling(mean=mean, factor=factor, shift=jnp.zeros_like(mean))
        return Scaling(mean=mean, factor=factor * _wide(self.scale[...]), shift=_wide(self.shift[...]))


class Affine(nnx.Module):
    """Learned scale and shift of each channel, independent of the content of the image."""

    def __init__(self, features: int) -> None:
        self.scale = nnx.Param(np.ones(features, np.float32))
        self.shift = nnx.Param(np.zeros(features, np.float32))

    def __call__(self, y: Float[Array, "n i j k features"], *, training: bool) -> Scaling:
        del training
        shift = _wide(self.shift[...])
        return Scaling(mean=jnp.zeros_like(shift), factor=_wide(self.scale[...]), shift=shift)


class BatchNorm(nnx.Module):
    """Batch normalisation to mean 0 and variance 1; running means are used outside of training."""

    def __init__(self, features: int, *, momentum: float = 0.1) -> None:
        self.momentum = momentum
        self.scale = nnx.Param(np.ones(features, np.float32))
        self.shift = nnx.Param(np.zeros(features, np.float32))
        self.mean = nnx.BatchStat(np.zeros(features, np.float32))
        self.variance = nnx.BatchStat(np.ones(features, np.float32))

    def __call__(self, y: Float[Array, "n i j k features"], *, training: bool) -> Scaling:
        mean, variance = _wide(self.mean[...]), _wide(self.variance[...])
        if training:
            means, variances = moments(y)
            mean = means.mean(axis=0, keepdims=True)
            variance = (variances + jnp.square(means - mean)).mean(axis=0, keepdims=True)
            count = y.size // y.shape[-1]
            # The running variance is the unbiased one, as PyTorch's.
            self._follow(mean, variance * (count / max(1, count - 1)))
        return Scaling(
            mean=mean, factor=lax.rsqrt(variance + EPSILON) * _wide(self.scale[...]), shift=_wide(self.shift[...])
        )

    def _follow(self, mean: Float[Array, "1 1 1 1 features"], variance: Float[Array, "1 1 1 1 features"]) -> None:
        for kept, found in ((self.mean, mean), (self.variance, variance)):
            new = lax.stop_gradient(found.reshape(-1))
            kept[...] = (1 - self.momentum) * kept[...] + self.momentum * new


Norm = InstanceNorm | BatchNorm


class ParametricReLU(nnx.Module):
    """Negative values scaled by a learned slope: one for all channels, or one for each."""

    def __init__(self, slopes: int = 1) -> None:
        self.slope = nnx.Param(np.full(slopes, 0.25, np.float32))

    def __call__(self, x: Float[Array, "n i j k channels"]) -> Float[jax.Array, "n i j k channels"]:
        return jnp.where(x >= 0, x, _wide(self.slope[...]).astype(x.dtype) * x)


class Dropout(nnx.Module):
    """Values set to 0 at random in training, those left scaled up; each layer draws by its own number."""

    def __init__(self, rate: float, number: int) -> None:
        self.rate = rate
        self.number = number

    def __call__(self, x: Float[jax.Array, "*shape"], key: PRNGKeyArray | None) -> Float[jax.Array, "*shape"]:
        if key is None or self.rate == 0:
            return x
        stays = jax.random.bernoulli(jax.random.fold_in(key, self.number), 1 - self.rate, x.shape)
        return jnp.where(stays, x / (1 - self.rate), jnp.zeros((), x.dtype))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: Float[Array, "n i j k channels"], size: Three) -> Float[Array, "n i_out j_out k_out channels"]:
    """Returns the maximum of each complete block; equal maxima share the gradient."""
    return _blocks(x, size).max(axis=(2, 4, 6))


def _max_pool_forward(x: jax.Array, size: Three) -> tuple[Array, tuple[jax.Array, Array]]:
    y = max_pool(x, size)
    return y, (x, y)


def _max_pool_backward(size: Three, kept: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array]:
    x, y = kept
    # Voxels of one place in their blocks at a time: a sum over blocks would write out what it compares.
    places = itertools.product(*map(range, size))
    found = [
        x[:, a :: size[0], b :: size[1], c :: size[2]][:, : y.shape[1], : y.shape[2], : y.shape[3]] == y
        for a, b, c in places
    ]
    share = dy / sum(largest.astype(dy.dtype) for largest in found)
    wide = (slice(None), slice(None), None, slice(None), None, slice(None), None)
    blocks = jnp.where(_blocks(x, size) == y[wide], share[wide], jnp.zeros((), dy.dtype))
    n, *shape, channels = y.shape
    dx = blocks.reshape(n, *(count * s for count, s in zip(shape, size, strict=True)), channels)
    return (jnp.pad(dx, [(0, a - b) for a, b in zip(x.shape, dx.shape, strict=True)]),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def mean_pool(x: Float[Array, "n i j k channels"], size: Three) -> Float[Array, "n i_out j_out k_out channels"]:
    """Returns the mean of each block of voxels; sizes are multiples of the block."""
    return _blocks(x, size).mean(axis=(2, 4, 6))


def _blocks(x: Float[Array, "n i j k channels"], size: Three) -> Float[Array, "n i_out a j_out b k_out c channels"]:
    """Voxels by block and place in it, (n, i, a, j, b, k, c, channel), without those that fill no block."""
    counts = [n // s for n, s in zip(x.shape[1:4], size, strict=True)]
    cut = x[:, : counts[0] * size[0], : counts[1] * size[1], : counts[2] * size[2]]
    return cut.reshape(x.shape[0], counts[0], size[0], counts[1], size[1], counts[2], size[2], x.shape[4])


def repeat(x: Float[Array, "n i j k channels"], rate: Three) -> Float[jax.Array, "n i_out j_out k_out channels"]:
    """Repeats each voxel to a block of equal voxels (up-sampling)."""
    n, i, j, k, channels = x.shape
    blocks = jnp.broadcast_to(x[:, :, None, :, None, :, None], (n, i, rate[0], j, rate[1], k, rate[2], channels))
    return blocks.reshape(n, i * rate[0], j * rate[1], k * rate[2], channels)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def repeat_smoothly(
    x: Float[Array, "n i j k channels"], rate: int
) -> Float[Array, "n {rate}*i-2 {rate}*j-2 {rate}*k-2 channels"]:
    """Repeats voxels, then averages 3 x 3 x 3 without padding: n voxels become rate * n - 2."""
    for axis in (1, 2, 3):
        x = _repeat_axis_smoothly(x, rate, axis)
    return x


def _repeat_smoothly_forward(x: jax.Array, rate: int) -> tuple[Array, None]:
    return repeat_smoothly(x, rate), None


def _repeat_smoothly_backward(rate: int, kept: None, dy: jax.Array) -> tuple[jax.Array]:
    del kept
    for axis in (1, 2, 3):
        dy = _gather_axis_smoothly(dy, rate, axis)
    return (dy,)


repeat_smoothly.defvjp(_repeat_smoothly_forward, _repeat_smoothly_backward)


def crop_centre(x: Float[Array, "n i j k channels"], shape: Three) -> Float[jax.Array, "n i_out j_out k_out channels"]:
    """Returns the central part of an array."""
    starts = [(n - m) // 2 for n, m in zip(x.shape[1:4], shape, strict=True)]
    return lax.slice(x, (0, *starts, 0), (x.shape[0], *(a + m for a, m in zip(starts, shape, strict=True)), x.shape[4]))


def _next_shares(rate: int) -> np.ndarray:
    """Fraction of the next voxel in the mean of three neighbours of repeated voxels, by phase."""
    return np.maximum(0, np.arange(rate) + 3 - rate).astype(np.float32) / 3


def _repeat_axis_smoothly(x: Float[Array, "n i j k channels"], rate: int, axis: int) -> jax.Array:
    shares = jnp.expand_dims(_next_shares(rate).astype(x.dtype), [a for a in range(x.ndim + 1) if a != axis + 1])
    size = x.shape[axis]
    # The padded voxel after the last one does not influence the voxels that remain after the cut.
    following = lax.slice_in_dim(jnp.pad(x, [(0, int(a == axis)) for a in range(x.ndim)]), 1, size + 1, axis=axis)
    mixed = (1 - shares) * jnp.expand_dims(x, axis + 1) + shares * jnp.expand_dims(following, axis + 1)
    repeated = mixed.reshape(*x.shape[:axis], rate * size, *x.shape[axis + 1 :])
    return lax.slice_in_dim(repeated, 0, rate * size - 2, axis=axis)


def _gather_axis_smoothly(dy: jax.Array, rate: int, axis: int) -> jax.Array:
    """The transpose of `_repeat_axis_smoothly`: phases added up, those with a share in the next voxel for it too."""
    size = (dy.shape[axis] + 2) // rate
    # Beyond the last but one voxel's block there are only phases of the last voxel.
    inner = rate * (size - 1)
    phases = [lax.slice_in_dim(dy, phase, inner, rate, axis=axis) for phase in range(rate)]
    shares = _next_shares(rate).tolist()
    of_own = sum((1 - share) * part for share, part in zip(shares, phases, strict=True))
    of_next = sum(share * part for share, part in zip(shares, phases, strict=True) if share)
    last = lax.slice_in_dim(dy, inner, None, axis=axis).sum(axis=axis, keepdims=True)
    own = jnp.concatenate([of_own, last], axis=axis)
    return own + jnp.pad(of_next, [(int(a == axis), 0) for a in range(dy.ndim)])


def _wide(values: jax.Array) -> jax.Array:
    """Values by channel, ready to be broadcast over voxels."""
    return values.reshape(1, 1, 1, 1, -1)
