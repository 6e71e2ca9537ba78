"""DeepMedic: pathways that see the image at several resolutions, combined by layers of one voxel."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Float, PRNGKeyArray

from sirtjax.networks._config import DeepMedicConfig
from sirtjax.networks._convolution import Padding, Three
from sirtjax.networks._feature import Feature, joined, plain, read
from sirtjax.networks._layers import (
    BatchNorm,
    Convolution,
    Draw,
    Dropout,
    ParametricReLU,
    crop_centre,
    mean_pool,
    repeat,
)
from sirtjax.typing import Array

VALID: Padding = ((0, 0), (0, 0), (0, 0))


def pathway_size(config: DeepMedicConfig, pathway: int, output: int) -> int:
    """Returns the input size of a pathway for an output size along one axis, in its own voxels."""
    return output // config.factors[pathway] + 2 * len(config.features[pathway])


class Layer(nnx.Module):
    """Dropout, a convolution without padding, batch normalisation and a slope for each feature."""

    def __init__(self, channels: int, features: int, *, kernel: Three, dropout: float, number: int, draw: Draw) -> None:
        self.dropout = Dropout(dropout, number)
        self.conv = Convolution(channels, features, kernel=kernel, padding=VALID, draw=draw)
        self.norm = BatchNorm(features)
        self.slope = ParametricReLU(features)

    def __call__(self, feature: Feature, *, key: PRNGKeyArray | None, training: bool) -> Feature:
        y = read(lambda x: self.conv(self.dropout(x, key)), feature)
        scaling = self.norm(y, training=training)
        return Feature(kept=(y,), make=lambda y: self.slope(scaling.of(y)))


class Pathway(nnx.Module):
    """Block means of the image, layers of 3 x 3 x 3, and their output repeated to the image's voxels."""

    def __init__(self, channels: int, features: tuple[int, ...], *, factor: int, draw: Draw) -> None:
        self.factor = factor
        self.layers = nnx.List(
            Layer(before, own, kernel=(3, 3, 3), dropout=0.0, number=0, draw=draw)
            for before, own in zip((channels, *features), features, strict=False)
        )

    def __call__(self, x: Float[Array, "n i j k channels"], shape: Three, *, training: bool) -> Feature:
        factor, margin = self.factor, 2 * len(self.layers)
        seen = crop_centre(x, (shape[0] + factor * margin, shape[1] + factor * margin, shape[2] + factor * margin))
        feature = plain(mean_pool(seen, (factor, factor, factor)) if factor > 1 else seen)
        for layer in self.layers:
            feature = layer(feature, key=None, training=training)
        make = feature.make
        return Feature(kept=feature.kept, make=lambda y: repeat(make(y), (factor, factor, factor)))


class DeepMedic(nnx.Module):
    """The pathways and the layers that combine them."""

    def __init__(self, config: DeepMedicConfig, *, draw: Draw) -> None:
        self.margin = 2 * len(config.features[0]) * max(config.factors)
        self.pathways = nnx.List(
            Pathway(config.channels, features, factor=factor, draw=draw)
            for factor, features in zip(config.factors, config.features, strict=True)
        )
        joint = sum(features[-1] for features in config.features)
        sizes = (joint, *config.combined)
        # The first layer after the pathways is not dropped from.
        self.combined = nnx.List(
            Layer(
                sizes[index],
                own,
                kernel=(1, 1, 1),
                dropout=config.dropout if index else 0.0,
                number=index,
                draw=draw,
            )
            for index, own in enumerate(config.combined)
        )
        self.dropout = Dropout(config.dropout, len(config.combined))
        self.head = Convolution(sizes[-1], config.classes, kernel=(1, 1, 1), bias=True, draw=draw)

    def __call__(
        self, x: Float[Array, "n i j k channels"], *, key: PRNGKeyArray | None, training: bool
    ) -> tuple[Float[jax.Array, "n _ _ _ classes"], ...]:
        key = key if training else None
        shape = (x.shape[1] - self.margin, x.shape[2] - self.margin, x.shape[3] - self.margin)
        feature = joined(*(pathway(x, shape, training=training) for pathway in self.pathways))
        for layer in self.combined:
            feature = layer(feature, key=key, training=training)
        return (read(lambda y: self.head(self.dropout(y, key)), feature),)
