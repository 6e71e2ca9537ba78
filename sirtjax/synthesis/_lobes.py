from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PRNGKeyArray

from sirtjax.synthesis._config import UnusualAnatomy
from sirtjax.typing import Array

# Fraction of the liver's width that the right lobe takes, up to the fissure of the round ligament.
_RIGHT_SHARE = 0.62
# A turned left lobe bends over this length (mm), and its thickness changes over this one.
_BEND_MM, _THICKENING_MM = 20.0, 40.0


class Lobes(NamedTuple):
    """How the lobes of a liver differ from those of its shape.

    Attributes:
      right: scale of the right lobe across.
      left: scale of the left lobe across.
      tip: scale of the right lobe's lower half downwards.
      start: place where the left lobe turns, as a fraction of the liver's width from the right.
      descent: millimetres that the left lobe descends for each millimetre to the left.
      back: millimetres that the left lobe goes back for each millimetre to the left.
      height: scale of the left lobe in height, about the top of the liver.
      follows: fraction of the descent that the diaphragm follows.
    """

    right: Float[jax.Array, ""]
    left: Float[jax.Array, ""]
    tip: Float[jax.Array, ""]
    start: Float[jax.Array, ""]
    descent: Float[jax.Array, ""]
    back: Float[jax.Array, ""]
    height: Float[jax.Array, ""]
    follows: Float[jax.Array, ""]


# The lobes of the shape itself.
_OWN = (1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 1.0, 1.0)


def own_lobes() -> Lobes:
    """Returns the lobes of the shape itself."""
    return Lobes(*(jnp.float32(value) for value in _OWN))


def draw_lobes(
    scale_key: PRNGKeyArray, turn_key: PRNGKeyArray, config: UnusualAnatomy | None
) -> tuple[Lobes, Bool[jax.Array, ""]]:
    """Returns random lobes, and whether they are scaled across or at the tip.

    Args:
      scale_key: random key of the scales.
      turn_key: random key of the turned left lobe.
      config: fractions of livers with scaled and with turned lobes; None for none.
    """
    own = own_lobes()
    if config is None:
        return own, jnp.zeros((), bool)
    kind_key, size_key = jax.random.split(scale_key)
    chance, kind = jax.random.uniform(kind_key, (2,))
    size = jax.random.uniform(size_key, (3,))
    shrunken = jnp.stack([0.62 + 0.3 * size[0], 1.05 + 0.55 * size[1], jnp.ones(())])
    elongated = jnp.stack([0.9 + 0.2 * size[0], 0.8 + 0.4 * size[1], 1.2 + 0.5 * size[2]])
    draped = jnp.stack([jnp.ones(()), 1.2 + 0.5 * size[1], jnp.ones(())])
    scales = jnp.where(kind < 0.5, shrunken, jnp.where(kind < 0.75, elongated, draped))
    scaled = chance < config.remodelled_fraction
    right, left, tip = jnp.where(scaled, scales, 1.0)
    lobes = own._replace(right=right, left=left, tip=tip)
    if not config.turned_fraction:
        return lobes, scaled
    draws = jax.random.uniform(turn_key, (6,))
    chance, size = draws[0], draws[1:]
    # No lobe rises: the heart is above it, and has the brightness of liver on a CT without contrast.
    turned = lobes._replace(
        start=0.4 + 0.3 * size[0],
        descent=0.7 * size[1],
        back=-0.3 + 0.6 * size[2],
        height=1.0 + 0.6 * size[3],
        follows=size[4],
    )
    is_turned = chance < config.turned_fraction
    return jax.tree.map(lambda one, other: jnp.where(is_turned, one, other), turned, lobes), scaled


def shape_points_mm(
    lobes: Lobes, box_mm: Float[Array, "2 3"], points_mm: Float[jax.Array, " 3 *points"]
) -> tuple[Float[jax.Array, "*points"], Float[jax.Array, "*points"], Float[jax.Array, "*points"]]:
    """Returns x, y and z (...) in mm, within the shape, of points (3, ...) of a liver with these lobes.

    The right edge of the liver stays where it is: the left lobe follows the middle of the liver and reaches farther.

    Args:
      lobes: the lobes.
      box_mm: lowest and highest corner of the shape.
      points_mm: positions whose origin is that of the shape.
    """
    lowest, highest = box_mm
    x, y, z = points_mm
    bent, thicker, level = _turned(lobes, box_mm, x)
    y = y - lobes.back * bent
    z = level + (z + lobes.descent * bent - level) / thicker
    length = _RIGHT_SHARE * (highest[0] - lowest[0])
    seam = lowest[0] + lobes.right * length
    across = jnp.where(
        x < seam, lowest[0] + (x - lowest[0]) / lobes.right, lowest[0] + length + (x - seam) / lobes.left
    )
    # Only the right half has a tip that may reach down, as Riedel's lobe does.
    middle = 0.5 * (lowest[2] + highest[2])
    weight = jnp.clip((lowest[0] + length - across) / (0.5 * length), 0.0, 1.0)
    down = middle + (z - middle) / (1.0 + (lobes.tip - 1.0) * weight)
    return across, y, jnp.where(z < middle, down, z)


def diaphragm_height_mm(
    lobes: Lobes,
    box_mm: Float[Array, "2 3"],
    x_mm: Float[jax.Array, "*points"],
    top_mm: Float[jax.Array, "*points"],
) -> Float[jax.Array, "*points"]:
    """Returns the height (...) in mm of the diaphragm over a liver with these lobes.

    Heights are those from the origin of the shape.

    Args:
      lobes: the lobes.
      box_mm: lowest and highest corner of the shape.
      x_mm: position across, from the origin of the shape.
      top_mm: height of the top of the shape there.
    """
    bent, thicker, level = _turned(lobes, box_mm, x_mm)
    moved = level + (top_mm - level) * thicker - lobes.descent * bent
    # A lobe that rises lifts the diaphragm; over one that descends, other tissue can fill the space.
    return jnp.where(moved < top_mm, top_mm + lobes.follows * (moved - top_mm), moved)


def _turned(
    lobes: Lobes, box_mm: Float[Array, "2 3"], x_mm: Float[jax.Array, "*points"]
) -> tuple[Float[jax.Array, "*points"], Float[jax.Array, "*points"], Float[jax.Array, ""]]:
    """Length of the turned part of the left lobe up to x (...), its scale in height there, and that scale's centre."""
    lowest, highest = box_mm
    width = (lobes.right * _RIGHT_SHARE + lobes.left * (1.0 - _RIGHT_SHARE)) * (highest[0] - lowest[0])
    beyond = jnp.maximum(x_mm - (lowest[0] + lobes.start * width), 0.0)
    bent = beyond**2 / (beyond + _BEND_MM)
    thicker = 1.0 + (lobes.height - 1.0) * jnp.clip(bent / _THICKENING_MM, 0.0, 1.0)
    return bent, thicker, highest[2]
