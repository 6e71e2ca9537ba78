from __future__ import annotations

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer, PRNGKeyArray
from pydantic import Field

from sirtjax.config import Table
from sirtjax.ops import full_precision, sample_linear, sample_nearest
from sirtjax.typing import Array

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class IntensityShift(Table):
    """A normally distributed offset of a whole CT image; the thesis (3.3.2) uses N(-40, 40) HU."""

    mean_hu: float
    std_hu: NotNegative


class AugmentConfig(Table):
    """The random variation of training images.

    Attributes:
      flip: probability of a flip along each axis i, j, k.
      rotation_deg: bound of the uniform angle about each axis.
      scale: bound of the uniform change of size, as a fraction.
      elastic_mm: standard deviation of a smooth displacement along each axis at its control points; 0 for none. Cubic
        interpolation averages them: over the image the standard deviation is (57 / 70)^1.5 = 0.73 of it.
      elastic_grid_mm: distance between the control points of this displacement.
      shift: shift of CT intensities before they are clipped.
    """

    flip: tuple[Share, Share, Share] = (0.0, 0.0, 0.0)
    rotation_deg: tuple[NotNegative, NotNegative, NotNegative] = (0.0, 0.0, 0.0)
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    elastic_mm: NotNegative = 0.0
    elastic_grid_mm: Positive = 40.0
    shift: IntensityShift | None = None

    @property
    def moves(self) -> bool:
        """Whether voxels change their place by more than flips."""
        return bool(any(self.rotation_deg) or self.scale or self.elastic_mm)


def augment(
    key: PRNGKeyArray,
    image: Float[Array, "i j k channels"],
    labels: Integer[Array, "i j k"],
    *,
    config: AugmentConfig,
    spacing_mm: tuple[float, float, float],
) -> tuple[Float[jax.Array, "i j k channels"], Integer[jax.Array, "i j k"]]:
    """Rotates, scales, deforms and flips an image and its labels together at random.

    Pure and jittable; voxels from outside take the nearest value at the edge, in image and labels.

    Args:
      key: random key.
      image: (i, j, k, channels) floating values.
      labels: (i, j, k) whole numbers.
      config: variation to apply; static.
      spacing_mm: voxel spacing along i, j, k; static.
    """
    to_place, to_flip = jax.random.split(key)
    if config.moves:
        index = _places(to_place, image.shape[:3], config, spacing_mm)
        moved, moved_labels = jnp.asarray(sample_linear(image, index)), jnp.asarray(sample_nearest(labels, index))
    else:
        moved, moved_labels = jnp.asarray(image), jnp.asarray(labels)
    if any(config.flip):
        draw = jax.random.uniform(to_flip, (3,))
        for axis, chance in enumerate(config.flip):
            if chance:
                flipped = draw[axis] < chance
                moved = jnp.where(flipped, jnp.flip(moved, axis), moved)
                moved_labels = jnp.where(flipped, jnp.flip(moved_labels, axis), moved_labels)
    return moved, moved_labels


def shift_hu(key: PRNGKeyArray, shift: IntensityShift) -> Float[jax.Array, ""]:
    """Returns the random offset of a CT image, HU."""
    return shift.mean_hu + shift.std_hu * jax.random.normal(key)


@full_precision
def _places(
    key: PRNGKeyArray, shape: tuple[int, ...], config: AugmentConfig, spacing_mm: tuple[float, float, float]
) -> Array:
    """The position in the image of each voxel of the result, (i, j, k, 3) indices inside the image."""
    keys = jax.random.split(key, 3)
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    middle = (jnp.asarray(shape, jnp.float32) - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*(jnp.arange(n, dtype=jnp.float32) for n in shape), indexing="ij"), axis=-1)
    away_mm = (grid - _row(middle)) * _row(spacing)
    angles = jnp.deg2rad(jnp.asarray(config.rotation_deg)) * jax.random.uniform(keys[0], (3,), minval=-1.0)
    size = 1 + config.scale * jax.random.uniform(keys[1], minval=-1.0)
    moved_mm = jnp.einsum("ijkx,yx->ijky", away_mm, _rotation(angles) / size)
    if config.elastic_mm:
        moved_mm = moved_mm + _elastic_mm(keys[2], shape, config, spacing_mm)
    index = moved_mm / _row(spacing) + _row(middle)
    return jnp.clip(index, 0.0, _row(2 * middle))


def _elastic_mm(
    key: PRNGKeyArray, shape: tuple[int, ...], config: AugmentConfig, spacing_mm: tuple[float, float, float]
) -> Array:
    knots = [math.ceil(n * mm / config.elastic_grid_mm) + 3 for n, mm in zip(shape, spacing_mm, strict=True)]
    drawn = config.elastic_mm * jax.random.normal(key, (*knots, 3))
    # Cubic interpolation between the knots: the mean over a cell of the sum of its squared weights is 57 / 70 along
    # each axis, and so is the ratio of the variances. The margin of knots around the image is cropped.
    fine = [round((count - 1) * config.elastic_grid_mm / mm) for count, mm in zip(knots, spacing_mm, strict=True)]
    field = jax.image.resize(drawn, (*(max(a, b) for a, b in zip(fine, shape, strict=True)), 3), "cubic")
    starts = [(a - b) // 2 for a, b in zip(field.shape, shape, strict=False)]
    inside: Array = field[tuple(slice(a, a + n) for a, n in zip(starts, shape, strict=True))]
    return inside


@full_precision
def _rotation(angles: Array) -> Array:
    (a, b, c), (x, y, z) = jnp.cos(angles), jnp.sin(angles)
    zero, one = jnp.zeros(()), jnp.ones(())
    about_i = jnp.array([[one, zero, zero], [zero, a, -x], [zero, x, a]])
    about_j = jnp.array([[b, zero, y], [zero, one, zero], [-y, zero, b]])
    about_k = jnp.array([[c, -z, zero], [z, c, zero], [zero, zero, one]])
    return about_k @ about_j @ about_i


def _row(vector: Array) -> Array:
    return vector[None, None, None, :]
