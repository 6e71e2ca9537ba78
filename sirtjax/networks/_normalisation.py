"""Normalisation over groups of channels, and the choice of a normalisation and an activation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Float

from sirtjax.networks._config_monai import Normalised
from sirtjax.networks._feature import Activation, Scaling, moments
from sirtjax.networks._layers import EPSILON, BatchNorm, InstanceNorm, leaky_relu
from sirtjax.typing import Array


class GroupNorm(nnx.Module):
    """Normalises groups of channels to mean 0 and variance 1, then scales and shifts each channel.

    Wu and He, Group Normalization, ECCV 2018, arXiv 1803.08494.
    """

    def __init__(self, features: int, *, groups: int, affine: bool = True) -> None:
        self.groups = groups
        self.scale = nnx.Param(np.ones(features, np.float32)) if affine else None
        self.shift = nnx.Param(np.zeros(features, np.float32)) if affine else None

    def __call__(self, y: Float[Array, "n i j k features"], *, training: bool) -> Scaling:
        del training
        means, variances = moments(y)
        mean = self._over_groups(means)
        # The variance within channels and between them.
        factor = lax.rsqrt(self._over_groups(variances + jnp.square(means - mean)) + EPSILON)
        if self.scale is None or self.shift is None:
            return Scaling(mean=mean, factor=factor, shift=jnp.zeros_like(mean))
        scale, shift = (leaf[...].reshape(1, 1, 1, 1, -1) for leaf in (self.scale, self.shift))
        return Scaling(mean=mean, factor=factor * scale, shift=shift)

    def _over_groups(self, values: Float[Array, "n 1 1 1 features"]) -> Float[jax.Array, "n 1 1 1 features"]:
        """The mean over each group, repeated for its channels."""
        by_group = values.reshape(values.shape[0], self.groups, -1).mean(axis=2)
        return jnp.repeat(by_group, values.shape[-1] // self.groups, axis=1)[:, None, None, None]


def norm_of(config: Normalised, features: int) -> GroupNorm | InstanceNorm | BatchNorm:
    """Returns the normalisation that a config names, for a number of channels."""
    if config.normalisation == "group":
        return GroupNorm(features, groups=config.groups, affine=config.affine)
    return BatchNorm(features) if config.normalisation == "batch" else InstanceNorm(features, affine=config.affine)


def activation_of(config: Normalised) -> Activation:
    """Returns the activation that a config names."""
    return jax.nn.relu if config.activation == "relu" else leaky_relu
