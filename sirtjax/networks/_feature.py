"""Features that are normalised and activated only when they are read.

For the gradient only the output of each convolution is stored. The next layer normalises and activates it, forward
and once more on the way back. That is one array for each convolution instead of three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.typing import Array

# Values that are summed together.
_REGISTER = 16

Result = TypeVar("Result")
Activation = Callable[[Float[jax.Array, "n i j k channels"]], Float[jax.Array, "n i j k channels"]]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """Arrays that are kept, and how they make up the feature that the next layer reads."""

    kept: tuple[Float[Array, "n _ _ _ _"], ...]
    make: Callable[..., Float[jax.Array, "n i j k channels"]]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """(y - mean) * factor + shift, broadcast over voxels."""

    mean: Float[Array, "#n 1 1 1 channels"]
    factor: Float[Array, "#n 1 1 1 channels"]
    shift: Float[Array, "#n 1 1 1 channels"]

    def of(self, y: Float[Array, "n i j k channels"]) -> Float[jax.Array, "n i j k channels"]:
        """Returns the scaled array, in its own type."""
        return (jnp.subtract(y, self.mean) * self.factor + self.shift).astype(y.dtype)


def plain(x: Float[Array, "n i j k channels"]) -> Feature:
    """Returns an array as a feature without scaling."""
    return Feature(kept=(x,), make=lambda y: y)


def scaled(y: Float[jax.Array, "n i j k channels"], scaling: Scaling, activation: Activation) -> Feature:
    """Returns an array that is normalised and activated when it is read."""
    return Feature(kept=(y,), make=lambda y: activation(scaling.of(y)))


def residual(
    y: Float[jax.Array, "n i j k channels"], scaling: Scaling, skip: Feature, activation: Activation
) -> Feature:
    """Returns the activated sum of a normalised array and another feature."""
    return Feature(kept=(y, *skip.kept), make=lambda y, *others: activation(scaling.of(y) + skip.make(*others)))


def joined(*features: Feature) -> Feature:
    """Features one after another along the channels."""
    counts = [len(feature.kept) for feature in features]

    def make(*kept: jax.Array) -> jax.Array:
        remaining = list(kept)
        parts = []
        for feature, count in zip(features, counts, strict=True):
            parts.append(feature.make(*remaining[:count]))
            del remaining[:count]
        return jnp.concatenate(parts, axis=-1)

    return Feature(kept=tuple(y for feature in features for y in feature.kept), make=make)


def read(function: Callable[[Float[jax.Array, "n i j k channels"]], Result], feature: Feature) -> Result:
    """Applies a function to a feature; the gradient only stores what the feature stores."""
    convert: Any = jax.closure_convert
    run, closed_over = convert(lambda *kept: function(feature.make(*kept)), *feature.kept)
    found: Result = _again(run, feature.kept, closed_over)
    return found


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _again(run: Callable[..., Result], kept: tuple[jax.Array, ...], closed_over: list[jax.Array]) -> Result:
    return run(*kept, *closed_over)


def _again_forward(
    run: Callable[..., Result], kept: tuple[jax.Array, ...], closed_over: list[jax.Array]
) -> tuple[Result, tuple[tuple[jax.Array, ...], list[jax.Array]]]:
    return run(*kept, *closed_over), (kept, closed_over)


def _again_backward(
    run: Callable[..., Result], arguments: tuple[tuple[jax.Array, ...], list[jax.Array]], gradient: Result
) -> tuple[tuple[jax.Array, ...], list[jax.Array]]:
    """Run once more, not before the gradient is there.

    XLA on a CPU heeds no barrier when it orders operations: it would run them on the way forward already, and hold
    all of what they found. A zero made of the gradient leaves it no choice.
    """
    kept, closed_over = arguments
    first = jax.tree.leaves(gradient)[0]
    zero = jnp.nan_to_num(first[(0,) * first.ndim] * 0)
    late = [a + zero.astype(a.dtype) for a in closed_over]
    _, pull = jax.vjp(lambda kept, closed_over: run(*kept, *closed_over), kept, late)
    found: tuple[tuple[jax.Array, ...], list[jax.Array]] = pull(gradient)
    return found


_again.defvjp(_again_forward, _again_backward)


@jax.custom_vjp
def moments(
    y: Float[Array, "n i j k channels"],
) -> tuple[Float[Array, "n 1 1 1 channels"], Float[Array, "n 1 1 1 channels"]]:
    """Computes mean and variance over the voxels of each image and channel, (n, 1, 1, 1, channel)."""
    n, i, j, k, channels = y.shape
    group = _group(j * k, channels)
    wide = y.astype(jnp.promote_types(y.dtype, jnp.float32)).reshape(n, i, -1, group * channels)
    mean = _mean(wide, channels)
    variance = _mean(jnp.square(wide - jnp.tile(mean, group)), channels)
    return mean[:, :, None], variance[:, :, None]


def _group(voxels: int, channels: int) -> int:
    """Number of adjacent voxels of a plane that are summed: few channels would not fill a register."""
    group = 1
    while group * channels < _REGISTER and voxels % (2 * group) == 0:
        group *= 2
    return group


def _mean(y: Float[Array, "n i groups size"], channels: int) -> Float[Array, "n 1 1 channels"]:
    """Over the planes and groups of (n, i, groups, group x channels): (n, 1, 1, channels)."""
    n, i, _, size = y.shape
    # A single-precision sum over millions of voxels loses digits; over planes and then over their sums it does not.
    planes = y.mean(axis=2).reshape(n, i, size // channels, channels).mean(axis=2)
    return planes.mean(axis=1)[:, None, None]


def _moments_forward(
    y: jax.Array,
) -> tuple[tuple[Array, Array], tuple[jax.Array, Array]]:
    mean, variance = moments(y)
    return (mean, variance), (y, mean)


def _moments_backward(kept: tuple[jax.Array, jax.Array], gradient: tuple[jax.Array, jax.Array]) -> tuple[jax.Array]:
    y, mean = kept
    of_mean, of_variance = gradient
    voxels = y.shape[1] * y.shape[2] * y.shape[3]
    return (((of_mean + of_variance * 2 * (y - mean)) / voxels).astype(y.dtype),)


moments.defvjp(_moments_forward, _moments_backward)
