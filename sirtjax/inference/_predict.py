from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, islice
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PyTree, Shaped
from numpy.typing import NDArray

from sirtjax.inference._blend import Blending, tile_weights
from sirtjax.inference._program import PROGRAMS_KEPT, Logits, Program, check_memory, compiled_program
from sirtjax.inference._tiles import Index, TileLayout, read_tile, tile_layout

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]


def predict_tiles(
    apply_function: Callable[..., Logits],
    image: Shaped[np.ndarray, "i j k channels"],
    *,
    patch_shape: Sequence[int],
    variables: PyTree = None,
    overlap: float = 0.5,
    blending: Blending = "gaussian",
    batch: int = 1,
    mirror_axes: Sequence[int] = (),
    fill: float = 0.0,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Float[np.ndarray, "i j k classes"]:
    """Applies a network to an image of any size, in blended tiles.

    The network has one input shape, so that it is compiled once for all images. Its output may be smaller than its
    input (valid convolutions): tiles then overlap by a fraction of the output, and the image is continued by `fill`.
    An image smaller than a tile is centred in it. The sums are kept in float32 on the host, as large as the
    result; the device holds one batch of tiles.

    Args:
      apply_function: pure function of (variables, tiles), or only of tiles if no variables are provided. Programs are
        stored by this object: pass the same one for the same network, and the weights as variables.
      image: (i, j, k, c) input of the network, finite.
      patch_shape: voxels that the network takes along i, j, k.
      variables: the network's parameters.
      overlap: fraction of a tile that its neighbour covers, too: 0 to less than 1.
      blending: "gaussian" (the middle of a tile counts most), "uniform", or "nnunet" (Gaussian to the bits of nnU-Net).
      batch: tiles in one call; with several devices a multiple of their number.
      mirror_axes: predict all combinations of flips along these of the axes 0, 1, 2, and average the logits.
      fill: the value outside the image.
      devices: devices that share each batch. Default: JAX's first device.
      progress: called with the number of calls of the network done and to do.

    Returns:
      (i, j, k, classes) float32 logits.

    Raises:
      ValueError: shapes, axes or numbers that make no sense.
      InputError: the device has too little memory.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import inference
      >>> image = np.arange(6.0, dtype=np.float32).reshape(6, 1, 1, 1)
      >>> logits = inference.predict_tiles(lambda tiles: 2 * tiles, image, patch_shape=(4, 1, 1))
      >>> logits.round(3).ravel().tolist()
      [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    values = np.asarray(image)
    devices = tuple(devices) if devices else (jax.devices()[0],)
    _check(values, patch_shape, batch, mirror_axes, len(devices))
    function = apply_function if variables is not None else _without_variables(apply_function)
    shape = (batch, *(int(n) for n in patch_shape), values.shape[3])
    program = compiled_program(function, variables, shape, devices)
    classes = program.output_shape[4]
    layout = tile_layout(values.shape[:3], patch_shape, program.output_shape[1:4], overlap=overlap)
    sums = math.prod(layout.canvas_shape) * classes * 4 if devices[0].platform == "cpu" else 0
    check_memory(program.needed_bytes + sums, devices[0])
    flips = _flips(mirror_axes)
    outputs = _run(program, program.place_variables(variables), values, layout, shape, flips, fill, progress)
    return _blended(outputs, layout, blending, classes, len(flips))


def _check(
    image: NDArray[Any], patch_shape: Sequence[int], batch: int, mirror_axes: Sequence[int], devices: int
) -> None:
    if image.ndim != 4:
        raise ValueError(f"an image is (i, j, k, channel), got an array of shape {image.shape}")
    if len(patch_shape) != 3 or min(patch_shape) < 1:
        raise ValueError(f"a patch has three positive numbers of voxels, got {tuple(patch_shape)}")
    if batch < 1 or batch % devices:
        raise ValueError(f"a batch of {batch} tiles can't be shared by {devices} devices evenly")
    if sorted(set(mirror_axes) & {0, 1, 2}) != sorted(mirror_axes):
        raise ValueError(f"mirror_axes are some of 0, 1, 2, each once; got {tuple(mirror_axes)}")


@lru_cache(maxsize=PROGRAMS_KEPT)
def _without_variables(function: Callable[[jax.Array], jax.Array]) -> Callable[[PyTree, jax.Array], jax.Array]:
    """A function of (None, tiles); the same object for the same function, as programs are found by it."""
    return lambda _, tiles: function(tiles)


def _flips(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Every combination of the axes, none first."""
    return [chosen for count in range(len(axes) + 1) for chosen in combinations(sorted(axes), count)]


def _run(
    program: Program,
    variables: PyTree,
    image: NDArray[Any],
    layout: TileLayout,
    shape: tuple[int, ...],
    flips: list[tuple[int, ...]],
    fill: float,
    progress: Progress | None,
) -> Iterator[tuple[list[Index], FloatArray]]:
    """The tiles of each batch and their logits, once for each flip."""
    tiles = layout.tiles()
    total = -(-layout.count // shape[0]) * len(flips)
    done = 0
    while group := list(islice(tiles, shape[0])):
        patches = np.full(shape, fill, np.float32)
        for patch, tile in zip(patches, group, strict=False):
            read_tile(image, layout, tile, patch)
        for axes in flips:
            turned = tuple(1 + axis for axis in axes)
            logits = program.run(variables, program.place(np.ascontiguousarray(np.flip(patches, turned))))
            yield group, np.flip(np.asarray(logits), turned)
            done += 1
            if progress is not None:
                progress(done, total)


def _blended(
    outputs: Iterator[tuple[list[Index], FloatArray]],
    layout: TileLayout,
    blending: Blending,
    classes: int,
    flips: int,
) -> FloatArray:
    inside = tuple(slice(s, s + n) for s, n in zip(layout.image_start, layout.image_shape, strict=True))
    if layout.count == 1 and flips == 1:
        return np.ascontiguousarray(next(outputs)[1][0][inside])
    total = np.zeros((*layout.canvas_shape, classes), np.float32)
    weight, sums = tile_weights(layout, blending=blending)
    for group, logits in outputs:
        for tile, one in zip(group, logits, strict=False):
            part = total[tuple(slice(s, s + n) for s, n in zip(tile, layout.output_shape, strict=True))]
            part += one * weight[..., None]
    total /= np.float32(flips)
    for factor in sums:
        total /= factor[..., None]
    return total[inside]
