"""Clips, stents and coils on CT, with the streaks around them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PRNGKeyArray

from sirtjax.synthesis._config import SynthesisConfig

_METAL_HU = 2500.0
_METAL_MM, _SLICE_MM = 6.0, 5.0


def with_metal(
    key: PRNGKeyArray,
    image: Float[jax.Array, "i j k"],
    liver: Bool[jax.Array, "i j k"],
    config: SynthesisConfig,
    *,
    fraction: float,
    ct: Bool[jax.Array, ""],
) -> Float[jax.Array, "i j k"]:
    """Returns a CT with a piece of metal in or near the liver, or the image itself if there is none.

    The streaks fade with the distance in the slice, and over a few millimetres along the body.

    Args:
      key: random key.
      image: (i, j, k) intensities in HU.
      liver: (i, j, k) mask of the liver.
      config: preset.
      fraction: fraction of CTs with metal.
      ct: () whether the image is a CT.
    """
    keys = jax.random.split(key, 5)
    there = ct & (jax.random.uniform(keys[0]) < fraction) & jnp.any(liver)
    chance = jax.random.uniform(keys[1], liver.shape)
    place = jnp.stack(jnp.unravel_index(jnp.argmax(jnp.where(liver, chance, -1.0)), liver.shape))
    place = place + jax.random.normal(keys[2], (3,)) * 20.0 / config.spacing_mm
    x, y, z = (
        (jnp.arange(n) - place[axis]).reshape([-1 if axis == a else 1 for a in range(3)]) * config.spacing_mm
        for axis, n in enumerate(image.shape)
    )
    distance = jnp.sqrt(x**2 + y**2 + 1e-3)
    phase, size = jax.random.uniform(keys[3], (2,))
    lines = jnp.round(jax.random.uniform(keys[4], minval=2.0, maxval=6.0))
    wave = jnp.cos(2.0 * lines * jnp.arctan2(y, x) + 2.0 * jnp.pi * phase)
    near = jnp.exp(-0.5 * (z / _SLICE_MM) ** 2)
    streaks = (40.0 + 160.0 * size) * wave * 20.0 / (distance + 20.0) * near
    metal = jnp.clip(1.0 - jnp.sqrt(x**2 + y**2 + z**2 + 1e-3) / _METAL_MM, 0.0, 1.0)
    return jnp.where(there, image + streaks + metal * _METAL_HU, image)
