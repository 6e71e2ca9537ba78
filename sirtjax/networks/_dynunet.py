"""MONAI's DynUNet: blocks of two convolutions, plain or residual, and transposed convolutions upwards."""

from __future__ import annotations

from collections.abc import Iterator

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config_monai import DynUNetConfig
from sirtjax.networks._convolution import Padding, Three
from sirtjax.networks._feature import Feature, joined, plain, read, residual, scaled
from sirtjax.networks._layers import Convolution, Draw, TransposedConvolution
from sirtjax.networks._normalisation import activation_of, norm_of
from sirtjax.networks._segresnet import ONE
from sirtjax.typing import Array


def padding_of(kernel: Three, stride: Three) -> Padding:
    """Returns the padding with which a strided convolution divides the size by its stride."""
    a, b, c = ((k - s + 1) // 2 for k, s in zip(kernel, stride, strict=True))
    return (a, a), (b, b), (c, c)


class Block(nnx.Module):
    """Two convolutions, the first strided; a residual block adds its input, convolved if its size changes."""

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        kernel: Three,
        stride: Three,
        config: DynUNetConfig,
        draw: Draw,
        residual: bool,
    ) -> None:
        self.activation = activation_of(config)
        self.residual = residual
        padding = padding_of(kernel, stride)
        self.conv1 = Convolution(channels, features, kernel=kernel, stride=stride, padding=padding, draw=draw)
        self.conv2 = Convolution(features, features, kernel=kernel, draw=draw)
        self.norm1, self.norm2 = norm_of(config, features), norm_of(config, features)
        changes = residual and (channels != features or stride != ONE)
        self.conv3 = (
            Convolution(channels, features, kernel=ONE, stride=stride, padding=padding_of(ONE, stride), draw=draw)
            if changes
            else None
        )
        self.norm3 = norm_of(config, features) if changes else None

    def __call__(self, feature: Feature, *, training: bool) -> Feature:
        y = read(self.conv1, feature)
        y = read(self.conv2, scaled(y, self.norm1(y, training=training), self.activation))
        scaling = self.norm2(y, training=training)
        if not self.residual:
            return scaled(y, scaling, self.activation)
        skip = feature
        if self.conv3 is not None and self.norm3 is not None:
            around = read(self.conv3, feature)
            skip = Feature(kept=(around,), make=self.norm3(around, training=training).of)
        return residual(y, scaling, skip, self.activation)


class UpLevel(nnx.Module):
    """A transposed convolution, the encoder's feature behind it along the channels, and a plain block."""

    def __init__(self, level: int, *, config: DynUNetConfig, draw: Draw) -> None:
        features, below, step = config.filters[level], config.filters[level + 1], config.strides[level + 1]
        self.up = TransposedConvolution(below, features, kernel=step, stride=step, bias=config.trans_bias, draw=draw)
        self.block = Block(
            2 * features,
            features,
            # The kernel of the level below, as in MONAI.
            kernel=config.kernel_size[level + 1],
            stride=ONE,
            config=config,
            draw=draw,
            residual=False,
        )

    def __call__(self, feature: Feature, skip: Feature, *, training: bool) -> Feature:
        return self.block(joined(plain(read(self.up, feature)), skip), training=training)


class DynUNet(nnx.Module):
    """The blocks, from the image down and up again, and the output of the finest level."""

    def __init__(self, config: DynUNetConfig, *, draw: Draw) -> None:
        self.encoder = nnx.List(_encoder(config, draw))
        levels = range(len(config.filters) - 2, -1, -1)
        self.decoder = nnx.List(UpLevel(level, config=config, draw=draw) for level in levels)
        self.head = Convolution(config.filters[0], config.classes, kernel=ONE, bias=True, draw=draw)

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        del key
        feature, skips = plain(x), []
        for block in self.encoder:
            feature = block(feature, training=training)
            skips.append(feature)
        for up, skip in zip(self.decoder, skips[-2::-1], strict=True):
            feature = up(feature, skip, training=training)
        return (read(self.head, feature),)


def _encoder(config: DynUNetConfig, draw: Draw) -> Iterator[Block]:
    before = (config.channels, *config.filters)
    for level, features in enumerate(config.filters):
        yield Block(
            before[level],
            features,
            kernel=config.kernel_size[level],
            stride=config.strides[level],
            config=config,
            draw=draw,
            residual=config.res_block,
        )
