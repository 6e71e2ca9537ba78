"""Voxels of a row as channels: `width` of a result's as features, what they read as channels, and kernels as bands.

Three times the products or less, but otherwise few channels would leave most of each vector register empty.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.networks._slabs import pad
from sirtjax.typing import Array

# So many voxels that as few features fill a vector register; where features are more, two for so many channels.
_VECTOR, _FEW_FEATURES, _PAIRED_CHANNELS = 16, 4, 2


class Rows(NamedTuple):
    """The division of a row into blocks.

    Attributes:
      width: number of voxels of a result's row in a block.
      step: distance between consecutive results in the row of the image, in voxels.
      low: number of zeros before the image's row.
      columns: number of voxels in a row of the result.
      beyond: number of voxels of the next block that kernels read.
    """

    width: int
    step: int
    low: int
    columns: int
    beyond: int

    @property
    def span(self) -> int:
        """Voxels of the image's row from one block to the next."""
        return self.width * self.step

    def blocks(self, x: Float[Array, "n slices rows size channels"]) -> Float[jax.Array, "n slices rows blocks band"]:
        """Blocks of each row of (n, slices, rows, size, channels), with what kernels read of the next."""
        n, slices, rows, size, channels = x.shape
        count = -(-self.columns // self.width)
        x = pad(x, 3, self.low, (count + 1) * self.span - self.low - size)
        x = x.reshape(n, slices, rows, count + 1, self.span * channels)
        return jnp.concatenate([x[..., :-1, :], x[..., 1:, : self.beyond * channels]], axis=-1)

    def bands(self, w: Float[Array, "a b c channels features"]) -> Float[jax.Array, "a b 1 band block_features"]:
        """Returns block kernels (a, b, c, in, out): one per voxel of a result's row, shifted to its position."""
        a, b, c, channels, features = w.shape
        size = self.span + self.beyond
        shifted = [pad(w, 2, first, size - c - first) for first in range(0, self.span, self.step)]
        return jnp.stack(shifted, axis=4).reshape(a, b, 1, size * channels, self.width * features)

    def voxels(
        self, y: Float[jax.Array, "n slices rows blocks block_features"]
    ) -> Float[jax.Array, "n slices rows columns features"]:
        """Blocks of results as voxels."""
        return y.reshape(*y.shape[:3], y.shape[3] * self.width, -1)[:, :, :, : self.columns]


def rows_of(w: Float[Array, "a b c channels features"], *, step: int, low: int, columns: int) -> Rows | None:
    """Returns the rows for kernels (a, b, c, in, out) of few channels; None if rows are not faster."""
    reach, channels, features = w.shape[2:]
    wide = _VECTOR // channels if features <= _FEW_FEATURES else 2 if channels <= _PAIRED_CHANNELS else 1
    if wide * step == 1:
        return None
    beyond = max(0, reach - step)
    # A block only needs voxels of the next block.
    return Rows(width=max(wide, -(-beyond // step)), step=step, low=low, columns=columns, beyond=beyond)
