"""The thesis' U-Nets: levels joined by the maximum on the way down and by repetition on the way up."""

from __future__ import annotations

from functools import partial

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config import HighResUNetConfig, ThesisUNetConfig
from sirtjax.networks._convolution import Padding, Three
from sirtjax.networks._feature import Feature, joined, plain, read, residual, scaled
from sirtjax.networks._layers import (
    Convolution,
    Draw,
    InstanceNorm,
    crop_centre,
    leaky_relu,
    max_pool,
    repeat,
    repeat_smoothly,
)
from sirtjax.typing import Array

VALID: Padding = ((0, 0), (0, 0), (0, 0))
# The two kernels of a level, where nothing is padded and where sizes are kept.
VALID_KERNELS: tuple[Three, Three] = ((3, 3, 3), (3, 3, 1))
KEPT_KERNELS: tuple[Three, Three] = ((3, 3, 3), (3, 3, 3))


class Pair(nnx.Module):
    """Two convolutions, and the input added to their output where it is residual."""

    def __init__(self, channels: int, features: int, *, valid: bool, around: bool, draw: Draw) -> None:
        one, two = VALID_KERNELS if valid else KEPT_KERNELS
        padding = VALID if valid else None
        self.first = Convolution(channels, features, kernel=one, padding=padding, draw=draw)
        self.first_norm = InstanceNorm(features)
        self.second = Convolution(features, features, kernel=two, padding=padding, draw=draw)
        self.second_norm = InstanceNorm(features)
        point = partial(Convolution, kernel=(1, 1, 1), draw=draw)
        self.around = point(channels, features) if around and channels != features else None
        self.is_residual = around

    def __call__(self, feature: Feature, *, training: bool) -> Feature:
        y = read(self.first, feature)
        y = read(self.second, scaled(y, self.first_norm(y, training=training), leaky_relu))
        scaling = self.second_norm(y, training=training)
        if not self.is_residual:
            return scaled(y, scaling, leaky_relu)
        shape = size_of(y)

        def skip(x: jax.Array) -> jax.Array:
            middle = crop_centre(x, shape)
            return middle if self.around is None else self.around(middle)

        return residual(y, scaling, plain(read(skip, feature)), leaky_relu)


class PooledUNet(nnx.Module):
    """An encoder, and a decoder that joins the middle of the encoder's features."""

    def __init__(self, config: ThesisUNetConfig | HighResUNetConfig, *, draw: Draw) -> None:
        self.smooth = isinstance(config, ThesisUNetConfig)
        self.rate = config.rate if isinstance(config, ThesisUNetConfig) else 2
        around = config.residual if isinstance(config, ThesisUNetConfig) else True
        pair = partial(Pair, valid=not self.smooth, around=around, draw=draw)
        features = config.features
        self.encoder = nnx.List(
            pair(channels, own) for channels, own in zip((config.channels, *features), features, strict=False)
        )
        self.decoder = nnx.List(
            pair(features[s] + features[s - 1], features[s - 1]) for s in range(len(features) - 1, 0, -1)
        )
        self.head = Convolution(features[0], config.classes, kernel=(1, 1, 1), bias=True, draw=draw)

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        del key
        rate = (self.rate,) * 3
        feature, skips = plain(x), []
        for index, stage in enumerate(self.encoder):
            if index:
                feature = plain(read(lambda x: max_pool(x, rate), feature))
            feature = stage(feature, training=training)
            skips.append(feature)
        for stage, skip in zip(self.decoder, skips[-2::-1], strict=True):
            up = read(lambda x: repeat_smoothly(x, self.rate) if self.smooth else repeat(x, rate), feature)
            feature = stage(joined(plain(up), middle_of(skip, size_of(up))), training=training)
        return (read(self.head, feature),)


def size_of(x: Float[Array, "n i j k channels"]) -> Three:
    """Returns the voxels along each axis."""
    return x.shape[1], x.shape[2], x.shape[3]


def middle_of(feature: Feature, shape: Three) -> Feature:
    """Returns the central part of a feature."""
    return Feature(kept=feature.kept, make=lambda *kept: crop_centre(feature.make(*kept), shape))
