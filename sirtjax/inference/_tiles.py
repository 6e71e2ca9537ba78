from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Shaped

Index = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class TileLayout:
    """The positions of an image's tiles, for a network whose output is as large as its input or smaller.

    The outputs cover a canvas: the image, with as much on both sides as it lacks of one output.

    Attributes:
      image_shape: voxels of the image.
      patch_shape: voxels that the network takes.
      output_shape: voxels of the network's output, the middle of its input.
      starts: first voxel of the outputs in the canvas, along each axis; a tile for each combination.
    """

    image_shape: Index
    patch_shape: Index
    output_shape: Index
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @property
    def canvas_shape(self) -> Index:
        """Voxels that the outputs cover together."""
        i, j, k = (max(n, t) for n, t in zip(self.image_shape, self.output_shape, strict=True))
        return i, j, k

    @property
    def image_start(self) -> Index:
        """The image's first voxel in the canvas."""
        i, j, k = ((c - n) // 2 for c, n in zip(self.canvas_shape, self.image_shape, strict=True))
        return i, j, k

    @property
    def margin(self) -> Index:
        """Voxels that the network takes before the first one that it gives."""
        i, j, k = ((p - t) // 2 for p, t in zip(self.patch_shape, self.output_shape, strict=True))
        return i, j, k

    @property
    def count(self) -> int:
        """Number of tiles."""
        return math.prod(len(one) for one in self.starts)

    def tiles(self) -> Iterator[Index]:
        """Yields the first voxel of each output tile in the canvas."""
        return product(*self.starts)


def tile_starts(size: int, tile: int, *, overlap: float) -> tuple[int, ...]:
    """Returns the first voxels of the fewest tiles that cover `size` voxels with a minimum overlap.

    They are spread evenly, the first and the last at the ends, as in nnU-Net v2 (its step is `1 - overlap`).

    Args:
      size: number of voxels to cover.
      tile: number of voxels of a tile; if it is `size` or more, there is one tile.
      overlap: fraction of a tile, 0 to less than 1.

    Raises:
      ValueError: no voxel to cover or to cover with, or the overlap is out of range.

    Reference:
      Isensee et al., nnU-Net, Nat Methods 2021;18:203-211, doi:10.1038/s41592-020-01008-z.

    Examples:
      >>> from sirtjax import inference
      >>> inference.tile_starts(100, 40, overlap=0.5)  # at least 20 voxels in common
      (0, 20, 40, 60)
    """
    if size < 1 or tile < 1:
        raise ValueError(f"tiles of {tile} voxels can't cover {size}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be from 0 to less than 1, got {overlap}")
    if tile >= size:
        return (0,)
    steps = math.ceil((size - tile) / (tile * (1 - overlap)))
    return tuple(int(np.round((size - tile) / steps * n)) for n in range(steps + 1))


def tile_layout(
    image_shape: Sequence[int], patch_shape: Sequence[int], output_shape: Sequence[int], *, overlap: float
) -> TileLayout:
    """Returns the tiles of an image; `overlap` is a fraction of the network's output.

    Args:
      image_shape: voxels along i, j, k.
      patch_shape: voxels of the network's input.
      output_shape: voxels of the network's output.
      overlap: fraction of the output, 0 to less than 1.

    Raises:
      ValueError: the output of the network is larger than its input, or see `tile_starts`.
    """
    image, patch, output = (_index(shape) for shape in (image_shape, patch_shape, output_shape))
    if any(t > p for t, p in zip(output, patch, strict=True)):
        raise ValueError(f"a network that makes {output} voxels of {patch} can't be run in tiles")
    i, j, k = (tile_starts(max(n, t), t, overlap=overlap) for n, t in zip(image, output, strict=True))
    return TileLayout(image_shape=image, patch_shape=patch, output_shape=output, starts=(i, j, k))


def read_tile(
    image: Shaped[np.ndarray, "i j k channels"],
    layout: TileLayout,
    tile: Index,
    target: Float[np.ndarray, "a b c channels"],
) -> None:
    """Copies the input of one tile from an (i, j, k, c) image; voxels outside the image are unchanged."""
    sources, targets = [], []
    for axis in range(3):
        start = tile[axis] - layout.image_start[axis] - layout.margin[axis]
        first, last = max(0, start), min(layout.image_shape[axis], start + layout.patch_shape[axis])
        sources.append(slice(first, max(first, last)))
        targets.append(slice(first - start, max(first, last) - start))
    target[tuple(targets)] = image[tuple(sources)]


def _index(shape: Sequence[int]) -> Index:
    i, j, k = (int(n) for n in shape)
    return i, j, k
