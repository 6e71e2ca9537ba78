"""The correlation layer: which of many shifts matches two images best, at every point."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float
from pydantic import Field

from sirtjax import ops
from sirtjax.config import Table
from sirtjax.typing import Array, Vector

AXES = 3
# Self-similarity descriptors of the image, and its guide.
DESCRIPTORS = 12


class CorrelationConfig(Table):
    """A correlation layer in front of a network.

    Attributes:
      reach: largest shift along each axis, in blocks.
      sharpness: factor on the mean squared difference of the features in the exponent of the weights. Higher values
        choose one shift; lower ones average over several.
      guide: weight of the liver masks relative to one descriptor.
      difference_passes: passes of a mean over 3 x 3 x 3 blocks of the differences.
      displacement_passes: the same of the displacement.
    """

    reach: Annotated[int, Field(ge=1, le=4)] = 2
    sharpness: Annotated[float, Field(gt=0)] = 200.0
    guide: Annotated[float, Field(ge=0)] = 1.0
    difference_passes: Annotated[int, Field(ge=0, le=8)] = 2
    displacement_passes: Annotated[int, Field(ge=0, le=8)] = 4

    @property
    def channels(self) -> int:
        """Number of channels that the layer adds to the input of a network."""
        return AXES * (2 * self.reach + 1) + AXES + 1


class Matched(NamedTuple):
    """The outcome of a correlation layer on blocks of voxels.

    Attributes:
      displacement_mm: (a, b, c, 3) mean shift, smoothed.
      channels: (a, b, c, channels) weights of the shifts along each axis, the mean shift as a fraction of the reach,
        and the smallest difference.
    """

    displacement_mm: Float[jax.Array, "a b c 3"]
    channels: Float[jax.Array, "a b c channels"]


def matched_blocks(
    reference: Float[Array, "i j k inputs"],
    warped: Float[Array, "i j k inputs"],
    spacing_mm: Vector,
    *,
    block: int,
    config: CorrelationConfig,
) -> Matched:
    """Compares the blocks of two images under all shifts by whole blocks, and returns the mean shift.

    Blocks are compared by their mean descriptors (`ops.mind_ssc`), which are independent of the contrast, and by the
    mean of the guide if both images have one. The weight of a shift is exp(-sharpness difference), normalised.

    After the correlation layers of Heinrich (PDD-Net, MICCAI 2019, doi:10.1007/978-3-030-32226-7_6).

    Args:
      reference: (i, j, k, inputs) image, and its liver mask if there are two inputs.
      warped: (i, j, k, inputs) image to be moved, and its liver mask.
      spacing_mm: (3,) distance between voxels; may be traced.
      block: voxels of a block along each axis.
      config: the layer.
    """
    given = jnp.float32(1.0)
    if reference.shape[-1] > 1:
        given = jnp.asarray(jnp.any(reference[..., 1] > 0) & jnp.any(warped[..., 1] > 0), jnp.float32)
    one, two = (_features(image, block, config.guide * given) for image in (reference, warped))
    reach, side = config.reach, 2 * config.reach + 1
    padded = jnp.pad(two, [(reach, reach)] * AXES + [(0, 0)], mode="edge")
    corners = jnp.stack(jnp.meshgrid(*[jnp.arange(side)] * AXES, indexing="ij"), axis=-1).reshape(-1, AXES)

    @jax.checkpoint
    def difference(corner: jax.Array) -> jax.Array:
        here = lax.dynamic_slice(padded, (corner[0], corner[1], corner[2], 0), one.shape)
        return jnp.mean((one - here) ** 2, axis=-1)

    differences = _smoothed(jnp.moveaxis(ops.map_elements(difference, corners), 0, -1), config.difference_passes)
    weights = jax.nn.softmax(-config.sharpness * differences, axis=-1)
    cube = weights.reshape(*weights.shape[:AXES], side, side, side)
    along = [jnp.sum(cube, axis=tuple(AXES + other for other in range(AXES) if other != axis)) for axis in range(AXES)]
    steps = (jnp.arange(side, dtype=jnp.float32) - reach).reshape(1, 1, 1, side)
    shift = jnp.stack([jnp.sum(part * steps, axis=-1) for part in along], axis=-1)
    least = jnp.min(differences, axis=-1, keepdims=True)
    channels = jnp.concatenate([*along, shift / reach, config.sharpness * least], axis=-1)
    block_mm = block * jnp.asarray(spacing_mm, jnp.float32).reshape(1, 1, 1, AXES)
    return Matched(_smoothed(shift, config.displacement_passes) * block_mm, channels)


def _features(image: Array, block: int, guide: jax.Array) -> jax.Array:
    """Mean descriptors of the blocks, and their weighted guide (i / block, j / block, k / block, features)."""
    found = ops.mind_ssc(jnp.asarray(image[..., 0], jnp.float32))
    if image.shape[-1] > 1:
        found = jnp.concatenate([found, guide * jnp.asarray(image[..., 1:2], jnp.float32)], axis=-1)
    return block_means(found, block)


def block_means(images: Float[Array, "i j k channels"], block: int) -> Float[jax.Array, "a b c channels"]:
    """Returns the mean of each block of voxels."""
    i, j, k, channels = images.shape
    split = jnp.asarray(images, jnp.float32).reshape(i // block, block, j // block, block, k // block, block, channels)
    means: jax.Array = jnp.mean(split, axis=(1, 3, 5))
    return means


def _smoothed(values: jax.Array, passes: int) -> jax.Array:
    """The mean over 3 x 3 x 3 blocks, several times; beyond the faces values repeat."""
    for _ in range(passes):
        for axis in range(AXES):
            pad = [(1, 1) if each == axis else (0, 0) for each in range(values.ndim)]
            held, n = jnp.pad(values, pad, mode="edge"), values.shape[axis]
            first, second, third = (lax.slice_in_dim(held, tap, tap + n, axis=axis) for tap in range(3))
            values = (first + second + third) / 3.0
    return values
