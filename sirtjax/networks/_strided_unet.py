"""U-Nets of residual units between strided and transposed convolutions: MONAI's, and the Y-90 paper's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config import MonaiUNetConfig, Y90UNetConfig
from sirtjax.networks._convolution import Three
from sirtjax.networks._feature import Feature, joined, plain, read
from sirtjax.networks._layers import (
    BatchNorm,
    Convolution,
    Draw,
    Dropout,
    InstanceNorm,
    ParametricReLU,
    TransposedConvolution,
    leaky_relu,
    together,
)
from sirtjax.typing import Array

ONE: Three = (1, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Style:
    """The settings that all layers of a network share."""

    normalisation: str
    activation: str
    draw: Draw
    numbers: Callable[[], int] = field(default_factory=lambda: count().__next__)


class Finish(nnx.Module):
    """Normalisation, dropout and activation, in this order, when it is read."""

    def __init__(self, features: int, *, style: Style, dropout: float) -> None:
        batch = style.normalisation == "batch"
        self.norm = BatchNorm(features) if batch else InstanceNorm(features, affine=False)
        self.slope = ParametricReLU() if style.activation == "prelu" else None
        self.dropout = Dropout(dropout, style.numbers())

    def __call__(self, y: Float[jax.Array, "n i j k features"], *, key: PRNGKeyArray | None, training: bool) -> Feature:
        scaling = self.norm(y, training=training)
        activation = leaky_relu if self.slope is None else self.slope
        return Feature(kept=(y,), make=lambda y: activation(self.dropout(scaling.of(y), key)))


class Layer(nnx.Module):
    """A convolution, and its finish unless it ends the network."""

    def __init__(
        self,
        conv: Convolution | TransposedConvolution,
        features: int,
        *,
        style: Style,
        dropout: float,
        last: bool = False,
    ) -> None:
        self.conv = conv
        self.finish = None if last else Finish(features, style=style, dropout=dropout)

    def __call__(self, feature: Feature, *, key: PRNGKeyArray | None, training: bool) -> Feature:
        return self.finished(read(self.conv, feature), key=key, training=training)

    def finished(self, y: Float[jax.Array, "n i j k features"], *, key: PRNGKeyArray | None, training: bool) -> Feature:
        """Applies normalisation, dropout and activation to the result of the convolution."""
        return plain(y) if self.finish is None else self.finish(y, key=key, training=training)


class ResidualUnit(nnx.Module):
    """Layers in a row, the first one strided, and a convolution around them where size or features change."""

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        units: int,
        stride: Three,
        style: Style,
        dropout: float,
        last: bool = False,
    ) -> None:
        self.layers = nnx.List(
            Layer(
                Convolution(
                    channels if index == 0 else features,
                    features,
                    stride=stride if index == 0 else ONE,
                    bias=last and index == units - 1,
                    draw=style.draw,
                ),
                features,
                style=style,
                dropout=dropout,
                last=last and index == units - 1,
            )
            for index in range(units)
        )
        kernel = (3, 3, 3) if stride != ONE else ONE
        # Of one kernel and stride, so that they can run as one.
        self.alike = kernel != ONE
        around = partial(Convolution, kernel=kernel, stride=stride, bias=True, draw=style.draw)
        self.around = around(channels, features) if stride != ONE or channels != features else None

    def __call__(self, feature: Feature, *, key: PRNGKeyArray | None, training: bool) -> Feature:
        first, *others = self.layers
        conv, around = first.conv, self.around
        if around is None:
            y, skip = read(conv, feature), feature
        elif self.alike and isinstance(conv, Convolution):
            # One convolution of twice the features costs less than two of the same image.
            y, beside = read(lambda x: together(conv, around, x), feature)
            skip = plain(beside)
        else:
            y, skip = read(conv, feature), plain(read(around, feature))
        path = first.finished(y, key=key, training=training)
        for layer in others:
            path = layer(path, key=key, training=training)
        size = len(path.kept)
        return Feature(
            kept=(*path.kept, *skip.kept), make=lambda *kept: path.make(*kept[:size]) + skip.make(*kept[size:])
        )


class Level(nnx.Module):
    """A down-sampling layer, the layers below, and an up-sampling layer that joins both."""

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        features: tuple[int, ...],
        strides: tuple[Three, ...],
        units: int,
        style: Style,
        dropout: tuple[float, ...],
        top: bool = True,
    ) -> None:
        own, below, stride = features[0], features[1], strides[0]
        self.down = down(channels, own, units=units, stride=stride, style=style, dropout=dropout[0])
        self.below: Level | ResidualUnit | Layer
        if len(features) > 2:
            self.below = Level(
                own,
                own,
                features=features[1:],
                strides=strides[1:],
                units=units,
                style=style,
                dropout=dropout[1:],
                top=False,
            )
        else:
            self.below = down(own, below, units=units, stride=ONE, style=style, dropout=dropout[1])
        joint = own + (own if len(features) > 2 else below)
        ends = top and units == 0
        self.up = Layer(
            TransposedConvolution(joint, outputs, kernel=(3, 3, 3), stride=stride, bias=ends, draw=style.draw),
            outputs,
            style=style,
            dropout=dropout[0],
            last=ends,
        )
        self.unit = (
            ResidualUnit(outputs, outputs, units=1, stride=ONE, style=style, dropout=dropout[0], last=top)
            if units
            else None
        )

    def __call__(self, feature: Feature, *, key: PRNGKeyArray | None, training: bool) -> Feature:
        encoded = self.down(feature, key=key, training=training)
        below = self.below(encoded, key=key, training=training)
        found = self.up(joined(encoded, below), key=key, training=training)
        return found if self.unit is None else self.unit(found, key=key, training=training)


def down(
    channels: int, features: int, *, units: int, stride: Three, style: Style, dropout: float
) -> ResidualUnit | Layer:
    """Returns a residual unit, or one convolution if there are no units."""
    if units:
        return ResidualUnit(channels, features, units=units, stride=stride, style=style, dropout=dropout)
    conv = Convolution(channels, features, stride=stride, draw=style.draw)
    return Layer(conv, features, style=style, dropout=dropout)


class StridedUNet(nnx.Module):
    """The levels, from the image on."""

    def __init__(self, config: MonaiUNetConfig | Y90UNetConfig, *, draw: Draw) -> None:
        levels = len(config.features)
        if isinstance(config, Y90UNetConfig):
            style = Style(normalisation="instance", activation="leaky-relu", draw=draw)
            dropout = tuple(config.dropout if level >= config.dropout_from else 0.0 for level in range(levels))
        else:
            style = Style(normalisation=config.normalisation, activation=config.activation, draw=draw)
            dropout = (config.dropout,) * levels
        self.top = Level(
            config.channels,
            config.classes,
            features=config.features,
            strides=config.strides,
            units=config.units,
            style=style,
            dropout=dropout,
        )

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        feature = self.top(plain(x), key=key if training else None, training=training)
        return (read(lambda logits: logits, feature),)
