"""nnU-Net's plain U-Net, and what its residual sister shares with it: units of convolutions and the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config import PlainConvUNetConfig
from sirtjax.networks._convolution import Three
from sirtjax.networks._feature import Feature, joined, plain, read, scaled
from sirtjax.networks._layers import Affine, Convolution, Draw, InstanceNorm, TransposedConvolution, leaky_relu
from sirtjax.typing import Array


class Unit(nnx.Module):
    """A convolution that is normalised (or only scaled) and activated when it is read."""

    def __init__(
        self, channels: int, features: int, *, kernel: Three, stride: Three, draw: Draw, normalised: bool = True
    ) -> None:
        self.conv = Convolution(channels, features, kernel=kernel, stride=stride, draw=draw)
        self.norm = InstanceNorm(features) if normalised else Affine(features)

    def __call__(self, feature: Feature, *, training: bool) -> Feature:
        y = read(self.conv, feature)
        return scaled(y, self.norm(y, training=training), leaky_relu)


class Stage(nnx.Module):
    """Units in a row; the first may be strided."""

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        count: int,
        kernel: Three,
        stride: Three,
        draw: Draw,
        normalised: bool = True,
    ) -> None:
        self.units = nnx.List(
            Unit(
                channels if index == 0 else features,
                features,
                kernel=kernel,
                stride=stride if index == 0 else (1, 1, 1),
                draw=draw,
                normalised=normalised,
            )
            for index in range(count)
        )

    def __call__(self, feature: Feature, *, training: bool) -> Feature:
        for unit in self.units:
            feature = unit(feature, training=training)
        return feature


class Decoder(nnx.Module):
    """The decoder: a transposed convolution, the encoder's feature, units and an output per stage."""

    def __init__(
        self,
        features: Sequence[int],
        kernels: Sequence[Three],
        strides: Sequence[Three],
        *,
        counts: Sequence[int],
        classes: int,
        deep_supervision: bool,
        draw: Draw,
        normalised: bool = True,
    ) -> None:
        levels = range(len(features) - 1, 0, -1)
        self.ups = nnx.List(
            TransposedConvolution(features[s], features[s - 1], kernel=strides[s], stride=strides[s], draw=draw)
            for s in levels
        )
        self.stages = nnx.List(
            Stage(
                2 * features[s - 1],
                features[s - 1],
                count=count,
                kernel=kernels[s - 1],
                stride=(1, 1, 1),
                draw=draw,
                normalised=normalised,
            )
            for s, count in zip(levels, counts, strict=True)
        )
        with_output = levels if deep_supervision else levels[-1:]
        self.heads = nnx.List(
            Convolution(features[s - 1], classes, kernel=(1, 1, 1), bias=True, draw=draw) for s in with_output
        )

    def __call__(self, skips: list[Feature], *, training: bool) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        feature, outputs = skips[-1], []
        for up, stage, skip in zip(self.ups, self.stages, skips[-2::-1], strict=True):
            feature = stage(joined(plain(read(up, feature)), skip), training=training)
            outputs.append(feature)
        # From the finest to the coarsest; outside of training only the finest is wanted.
        pairs = list(zip(reversed(self.heads), reversed(outputs), strict=False))
        return tuple(read(head, output) for head, output in (pairs if training else pairs[:1]))


class PlainConvUNet(nnx.Module):
    """An encoder of plain stages and the decoder."""

    def __init__(self, config: PlainConvUNetConfig, *, draw: Draw) -> None:
        before = (config.channels, *config.features)
        normalised = config.normalisation == "instance"
        self.encoder = nnx.List(
            Stage(before[s], features, count=count, kernel=kernel, stride=stride, draw=draw, normalised=normalised)
            for s, (features, count, kernel, stride) in enumerate(
                zip(config.features, config.convolutions, config.kernels, config.strides, strict=True)
            )
        )
        self.decoder = Decoder(
            config.features,
            config.kernels,
            config.strides,
            counts=config.decoder_convolutions,
            classes=config.classes,
            deep_supervision=config.deep_supervision,
            draw=draw,
            normalised=normalised,
        )

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        del key
        skips, feature = [], plain(x)
        for stage in self.encoder:
            feature = stage(feature, training=training)
            skips.append(feature)
        return self.decoder(skips, training=training)
