"""nnU-Net's U-Net with a residual encoder."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config import ResidualEncoderUNetConfig
from sirtjax.networks._convolution import Three
from sirtjax.networks._feature import Feature, Scaling, plain, read, residual
from sirtjax.networks._layers import Convolution, Draw, InstanceNorm, leaky_relu, mean_pool
from sirtjax.networks._plain_unet import Decoder, Unit
from sirtjax.typing import Array


class Skip(nnx.Module):
    """The way around a block: the mean over each step, and a product where the number of features changes."""

    def __init__(self, channels: int, features: int, *, stride: Three, draw: Draw) -> None:
        self.stride = stride
        changes = channels != features
        self.conv = Convolution(channels, features, kernel=(1, 1, 1), draw=draw) if changes else None
        self.norm = InstanceNorm(features) if changes else None

    def __call__(self, feature: Feature, *, training: bool) -> Feature:
        if self.stride != (1, 1, 1):
            feature = plain(read(lambda x: mean_pool(x, self.stride), feature))
        if self.conv is None or self.norm is None:
            return feature
        y = read(self.conv, feature)
        scaling: Scaling = self.norm(y, training=training)
        return Feature(kept=(y,), make=scaling.of)


class ResidualBlock(nnx.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int, features: int, *, kernel: Three, stride: Three, draw: Draw) -> None:
        self.first = Unit(channels, features, kernel=kernel, stride=stride, draw=draw)
        self.conv = Convolution(features, features, kernel=kernel, draw=draw)
        self.norm = InstanceNorm(features)
        self.skip = Skip(channels, features, stride=stride, draw=draw)

    def __call__(self, feature: Feature, *, training: bool) -> Feature:
        y = read(self.conv, self.first(feature, training=training))
        skip = self.skip(feature, training=training)
        return residual(y, self.norm(y, training=training), skip, leaky_relu)


class ResidualEncoderUNet(nnx.Module):
    """A stem, stages of residual blocks, and the plain U-Net's decoder."""

    def __init__(self, config: ResidualEncoderUNetConfig, *, draw: Draw) -> None:
        self.stem = Unit(config.channels, config.features[0], kernel=config.kernels[0], stride=(1, 1, 1), draw=draw)
        before = (config.features[0], *config.features)
        self.encoder = nnx.List(
            nnx.List(
                ResidualBlock(
                    before[s] if index == 0 else features,
                    features,
                    kernel=config.kernels[s],
                    stride=config.strides[s] if index == 0 else (1, 1, 1),
                    draw=draw,
                )
                for index in range(config.blocks[s])
            )
            for s, features in enumerate(config.features)
        )
        self.decoder = Decoder(
            config.features,
            config.kernels,
            config.strides,
            counts=config.decoder_convolutions,
            classes=config.classes,
            deep_supervision=config.deep_supervision,
            draw=draw,
        )

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        del key
        feature, skips = self.stem(plain(x), training=training), []
        for blocks in self.encoder:
            for block in blocks:
                feature = block(feature, training=training)
            skips.append(feature)
        return self.decoder(skips, training=training)
