from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import inference
from sirtjax.segmentation._model import Model, network_function

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One transformed copy of an image, as further input of the network.

    Attributes:
      name: name of the variant.
      scale: scale factor of the patient along all axes.
      shift_voxels: shift of the patient on the network's grid, including half voxels.
      blur_voxels: standard deviation of a Gaussian blur.
      noise: standard deviation of noise added, in units of the input.
    """

    name: str
    scale: float = 1.0
    shift_voxels: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blur_voxels: float = 0.0
    noise: float = 0.0


NOISE_SEED = 6
# Within the training range of the liver model, in which the output for a known organ stays the same.
VARIANTS = (
    Variant(name="smaller", scale=0.88, shift_voxels=(3.0, -2.0, 5.0)),
    Variant(name="shifted", shift_voxels=(7.5, 5.5, -7.5)),
    Variant(name="blurred", blur_voxels=0.9),
    Variant(name="noisy", noise=0.08, shift_voxels=(1.0, -1.0, 1.0)),
)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """The tile around the liver that the network processes in one call.

    Attributes:
      image: (i, j, k) input of the network.
      probability: (i, j, k) probability of the liver in the first output.
      mask: (i, j, k) the liver after post-processing.
      variants: (v, i, j, k) probabilities of each variant, resampled to the image; NaN outside its tile.
    """

    image: Float32[np.ndarray, "i j k"]
    probability: Float32[np.ndarray, "i j k"]
    mask: Bool[np.ndarray, "i j k"]
    variants: Float32[np.ndarray, "variants i j k"]


def tile_around(
    model: Model,
    image: Float32[np.ndarray, "i j k channels"],
    probability: Float32[np.ndarray, "i j k"],
    mask: Bool[np.ndarray, "i j k"],
    *,
    fill: float,
    classes: Sequence[int],
    variants: Sequence[Variant] = VARIANTS,
    devices: Sequence[jax.Device] | None = None,
) -> Tile:
    """Returns the tile around the liver, and the network's output on variants of it.

    Every variant costs one call of the network, whatever the size of the image.

    Args:
      model: model of one network and tiles of one shape.
      image: (i, j, k, 1) input of the network, on its grid.
      probability: (i, j, k) probability of the liver.
      mask: (i, j, k) mask of the liver found, not empty.
      fill: value outside the image.
      classes: classes of the network's output that make up the liver.
      variants: transformed copies of the image.
      devices: devices of which the first runs the network.
    """
    shape = model.spec.tiles.shape
    low, high = (np.array([f(axis) for axis in np.nonzero(mask)]) for f in (np.min, np.max))
    start = [int(a) for a in np.round((low + high + 1 - np.array(shape)) / 2)]
    seen = _cut(image[..., 0], start, shape, fill)
    answers = []
    for variant in variants:
        shown = _shown(seen, variant, fill)
        logits = inference.predict_tiles(
            network_function(model.spec.network),
            shown[..., None],
            patch_shape=shape,
            variables=model.folds[0],
            overlap=model.spec.tiles.overlap,
            blending=model.spec.tiles.blending,
            fill=fill,
            devices=None if devices is None else devices[:1],
        )
        found = inference.class_probabilities(logits, activation=model.spec.activation)
        answers.append(_back(found[..., list(classes)].sum(axis=-1), variant))
    return Tile(
        image=seen,
        probability=_cut(probability, start, shape, 0.0),
        mask=_cut(mask, start, shape, False),
        variants=np.stack(answers),
    )


def _cut(array: NDArray[Any], start: Sequence[int], shape: Sequence[int], fill: Any) -> NDArray[Any]:
    """A part of an array that may reach beyond it."""
    result = np.full(tuple(shape), fill, array.dtype)
    source = tuple(slice(max(a, 0), min(a + n, m)) for a, n, m in zip(start, shape, array.shape, strict=True))
    target = tuple(slice(s.start - a, s.stop - a) for s, a in zip(source, start, strict=True))
    result[target] = array[source]
    return result


def _shown(image: FloatArray, variant: Variant, fill: float) -> FloatArray:
    """The image as a variant shows it."""
    low, high = float(image.min()), float(image.max())
    seen = image
    if variant.blur_voxels:
        seen = ndimage.gaussian_filter(seen, variant.blur_voxels)
    if variant.scale != 1.0 or any(variant.shift_voxels):
        matrix, offset = _from_shown(image.shape, variant)
        seen = ndimage.affine_transform(seen, matrix, offset, order=1, cval=fill)
    changed = seen
    if variant.noise:
        changed = seen + variant.noise * np.random.default_rng(NOISE_SEED).standard_normal(image.shape, np.float32)
    # Air stays air, and the window stays the window.
    return np.where(seen <= low + 1e-3, low, np.clip(changed, low, high)).astype(np.float32)


def _back(probability: FloatArray, variant: Variant) -> FloatArray:
    """The output for a variant on the voxels of the image; NaN outside its tile."""
    found = probability
    if variant.scale != 1.0 or any(variant.shift_voxels):
        matrix, offset = _from_shown(probability.shape, variant)
        found = ndimage.affine_transform(probability, 1 / matrix, -offset / matrix, order=1, cval=np.nan)
    return np.asarray(found, np.float32)


def _from_shown(shape: Sequence[int], variant: Variant) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Diagonal and offset that map a voxel of the variant to one of the image."""
    middle = (np.asarray(shape) - 1) / 2
    diagonal = np.full(3, 1 / variant.scale)
    return diagonal, middle - diagonal * (middle + np.asarray(variant.shift_voxels))
