from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, PRNGKeyArray

from sirtjax.train._tile_shape import Shape
from sirtjax.typing import Array


def random_patch(
    key: PRNGKeyArray,
    image: Float[Array, "i j k"],
    labels: Integer[Array, "i j k"],
    *,
    wanted: Bool[Array, "i j k"],
    shape: Shape,
    judged: Shape,
    foreground: float,
    unseen: float,
) -> tuple[Float[jax.Array, "a b c"], Integer[jax.Array, "a b c"]]:
    """Returns a random patch of a sample, at a position drawn as in `train._patches.patch_of`.

    Args:
      key: random key of the position.
      image: image of the sample.
      labels: label map of the sample.
      wanted: mask of the voxels that belong to a class.
      shape: voxels of the patch; it is extended if it reaches beyond the sample.
      judged: voxels of its middle that the network predicts; if that is larger than the sample, it contains the sample.
      foreground: probability that the middle of the patch is a voxel of a class.
      unseen: value of the image outside the sample; the labels are 0 there.
    """
    choice_key, rank_key, place_key = jax.random.split(key, 3)
    margin = [(n - m) // 2 for n, m in zip(shape, judged, strict=True)]
    lowest = [min(0, n - m) for n, m in zip(image.shape, judged, strict=True)]
    highest = [max(0, n - m) for n, m in zip(image.shape, judged, strict=True)]
    total = jnp.cumsum(wanted.ravel(), dtype=jnp.int32)
    rank = jax.random.randint(rank_key, (), 0, jnp.maximum(total[-1], 1))
    at = jnp.stack(jnp.unravel_index(jnp.searchsorted(total, rank, side="right"), image.shape))
    around = jnp.clip(at - jnp.array(judged) // 2, jnp.array(lowest), jnp.array(highest))
    anywhere = jax.random.randint(place_key, (3,), jnp.array(lowest), jnp.array(highest) + 1)
    chosen = (jax.random.uniform(choice_key) < foreground) & (total[-1] > 0)
    before = [m - a for m, a in zip(margin, lowest, strict=True)]
    after = [max(0, b - m + p - n) for b, m, p, n in zip(highest, margin, shape, image.shape, strict=True)]
    pad = list(zip(before, after, strict=True))
    start = jnp.where(chosen, around, anywhere) - jnp.array(lowest)
    return (
        jax.lax.dynamic_slice(jnp.pad(image, pad, constant_values=unseen), start, shape),
        jax.lax.dynamic_slice(jnp.pad(labels, pad), start, shape),
    )
