"""MONAI's SegResNet and SegResNetDS: residual blocks that normalise first, and a decoder that adds the features."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config_monai import SegResNetConfig, SegResNetDSConfig
from sirtjax.networks._convolution import Three
from sirtjax.networks._feature import plain, read, scaled
from sirtjax.networks._layers import Convolution, Draw, TransposedConvolution
from sirtjax.networks._linear_upsampling import upsample_linear
from sirtjax.networks._normalisation import activation_of, norm_of
from sirtjax.typing import Array

Config = SegResNetConfig | SegResNetDSConfig
ONE: Three = (1, 1, 1)


class Block(nnx.Module):
    """Two convolutions, each of a normalised and activated feature, and the input added to the output."""

    def __init__(self, features: int, *, kernel: Three, config: Config, draw: Draw) -> None:
        self.activation = activation_of(config)
        self.norm1 = norm_of(config, features)
        self.conv1 = Convolution(features, features, kernel=kernel, draw=draw)
        self.norm2 = norm_of(config, features)
        self.conv2 = Convolution(features, features, kernel=kernel, draw=draw)

    def __call__(
        self, x: Float[jax.Array, "n i j k features"], *, training: bool
    ) -> Float[jax.Array, "n i j k features"]:
        y = read(self.conv1, scaled(x, self.norm1(x, training=training), self.activation))
        return x + read(self.conv2, scaled(y, self.norm2(y, training=training), self.activation))


class Level(nnx.Module):
    """A level of the encoder: a strided convolution, except for the first level, and blocks."""

    def __init__(self, level: int, *, config: Config, draw: Draw) -> None:
        features, kernel = config.features[level], config.kernels[level]
        self.entry = (
            Convolution(
                config.features[level - 1],
                features,
                kernel=config.kernels[level - 1],
                stride=config.strides[level],
                draw=draw,
            )
            if level
            else None
        )
        self.blocks = nnx.List(
            Block(features, kernel=kernel, config=config, draw=draw) for _ in range(config.blocks_down[level])
        )

    def __call__(
        self, x: Float[jax.Array, "n i j k channels"], *, training: bool
    ) -> Float[jax.Array, "n _ _ _ features"]:
        y = x if self.entry is None else read(self.entry, plain(x))
        for block in self.blocks:
            y = block(y, training=training)
        return y


class UpLevel(nnx.Module):
    """A level of the decoder: from the level below, plus the encoder's feature, then blocks."""

    def __init__(self, level: int, *, config: Config, draw: Draw) -> None:
        features, below = config.features[level], config.features[level + 1]
        kernel, stride = config.kernels[level], config.strides[level + 1]
        self.rate = stride
        linear, plain_net = config.upsample_mode == "nontrainable", isinstance(config, SegResNetConfig)
        reduces = linear or plain_net
        self.reduce = Convolution(below, features, kernel=ONE, draw=draw) if reduces else None
        self.up = (
            None
            if linear
            else TransposedConvolution(
                features if reduces else below,
                features,
                kernel=stride if plain_net else kernel,
                stride=stride,
                bias=plain_net,
                draw=draw,
            )
        )
        self.blocks = nnx.List(
            Block(features, kernel=kernel, config=config, draw=draw) for _ in range(config.blocks_up[-1 - level])
        )

    def __call__(
        self, x: Float[jax.Array, "n i j k below"], skip: Float[jax.Array, "n _ _ _ features"], *, training: bool
    ) -> Float[jax.Array, "n _ _ _ features"]:
        y = x if self.reduce is None else read(self.reduce, plain(x))
        y = upsample_linear(y, self.rate) if self.up is None else read(self.up, plain(y))
        y = y + skip
        for block in self.blocks:
            y = block(y, training=training)
        return y


class Final(nnx.Module):
    """The output of a SegResNet: a product of the normalised and activated feature."""

    def __init__(self, *, config: Config, draw: Draw) -> None:
        self.activation = activation_of(config)
        self.norm = norm_of(config, config.init_filters)
        self.conv = Convolution(config.init_filters, config.classes, kernel=ONE, bias=True, draw=draw)

    def __call__(
        self, x: Float[jax.Array, "n i j k features"], *, training: bool
    ) -> Float[jax.Array, "n i j k classes"]:
        return read(self.conv, scaled(x, self.norm(x, training=training), self.activation))


class SegResNet(nnx.Module):
    """The levels, from the image down and up again; a SegResNetDS has outputs of several levels."""

    def __init__(self, config: Config, *, draw: Draw) -> None:
        levels = len(config.features)
        self.stem = Convolution(config.channels, config.features[0], kernel=config.kernels[0], draw=draw)
        self.encoder = nnx.List(Level(level, config=config, draw=draw) for level in range(levels))
        self.decoder = nnx.List(UpLevel(level, config=config, draw=draw) for level in range(levels - 2, -1, -1))
        ends = isinstance(config, SegResNetConfig) and config.use_conv_final
        self.final = Final(config=config, draw=draw) if ends else None
        heads = config.dsdepth if isinstance(config, SegResNetDSConfig) else 0
        self.heads = nnx.List(
            Convolution(config.features[level], config.classes, kernel=ONE, bias=True, draw=draw)
            for level in range(heads)
        )

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        del key
        y, skips = read(self.stem, plain(x)), []
        for down in self.encoder:
            y = down(y, training=training)
            skips.append(y)
        outputs = []
        for up, skip in zip(self.decoder, skips[-2::-1], strict=True):
            y = up(y, skip, training=training)
            outputs.append(y)
        if self.final is not None:
            return (self.final(y, training=training),)
        if not self.heads:
            return (y,)
        # From the finest to the coarsest; outside of training only the finest is wanted.
        pairs = list(zip(self.heads, reversed(outputs), strict=False))
        return tuple(read(head, plain(output)) for head, output in (pairs if training else pairs[:1]))
