from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax import ops
from sirtjax.postprocess import FillHoles, LargestComponent, PostprocessStep, RemoveSmall, postprocess, remove_small
from sirtjax.segmentation._working_grid import Box, reach_on_image, slabs_on_image
from sirtjax.volume import Geometry

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
# As much below one half as a float32 can tell apart safely.
BELOW = np.float32(0.5 - 1e-3)


def restore_labels(
    probabilities: Mapping[int, Float32[np.ndarray, "i j k"]],
    grid: Geometry,
    geometry: Geometry,
    *,
    activation: Literal["softmax", "sigmoid"],
    steps: Mapping[int, Sequence[PostprocessStep]],
    region: Bool[np.ndarray, "i j k"] | None = None,
) -> tuple[UInt[np.ndarray, "a b c"], dict[int, Bool[np.ndarray, "i j k"]]]:
    """Returns labels on the image's grid from a network's probabilities, after post-processing.

    Args:
      probabilities: (i, j, k) probability of each label value, on the network's grid.
      grid: the network's grid.
      geometry: the image's grid.
      activation: "softmax" or "sigmoid", see `labels_on_image`.
      steps: post-processing of each mask by its label value.
      region: (i, j, k) voxels in which structures may be, on the network's grid; None for all voxels.

    Returns:
      Label values on the image's grid, and the mask (i, j, k) of each on the network's grid.
    """
    clean: dict[int, FloatArray] = {}
    masks: dict[int, Mask] = {}
    for value, probability in probabilities.items():
        clean[value], masks[value] = cleaned(probability, grid, steps=steps[value], region=region)
    return labels_on_image(clean, grid, geometry, activation=activation, steps=steps), masks


def cleaned(
    probability: Float32[np.ndarray, "i j k"],
    grid: Geometry,
    *,
    steps: Sequence[PostprocessStep],
    region: Bool[np.ndarray, "i j k"] | None = None,
) -> tuple[Float32[np.ndarray, "i j k"], Bool[np.ndarray, "i j k"]]:
    """Returns a probability after the steps of post-processing, and the mask above one half.

    If a step removes or adds voxels, their probability is moved across one half; if the mask stays unchanged,
    so does the probability, and thus the contour between the voxels. The probability becomes zero further than
    a voxel from the mask.

    Args:
      probability: (i, j, k) probability on the network's grid.
      grid: grid of the network.
      steps: post-processing steps of the mask.
      region: voxels in which the structure may be; None for all voxels.
    """
    before = probability > 0.5
    within = before if region is None else before & region
    after = postprocess(within, grid.spacing_mm, steps=steps, voxel_volume_ml=grid.voxel_volume_ml)
    near = ndimage.binary_dilation(after, np.ones((3, 3, 3), bool))
    changed = np.where(after, np.maximum(probability, 1 - BELOW), np.minimum(probability, BELOW))
    kept = np.where(after == before, probability, changed)
    return np.where(near, kept, 0).astype(np.float32), after


def labels_on_image(
    probabilities: Mapping[int, Float32[np.ndarray, "i j k"]],
    grid: Geometry,
    geometry: Geometry,
    *,
    activation: Literal["softmax", "sigmoid"],
    steps: Mapping[int, Sequence[PostprocessStep]],
) -> UInt[np.ndarray, "a b c"]:
    """Returns labels on the image's grid, computed from interpolated probabilities of the network's grid.

    Interpolating labels would leave stairs. Works on some planes at a time, and only on the box where something may be
    found.

    Args:
      probabilities: probability of each label value, after post-processing.
      grid: grid of the probabilities.
      geometry: grid of the image.
      activation: "softmax" gives a voxel to the most probable label if that is more probable than background, "sigmoid"
        to the last one with a probability above one half.
      steps: post-processing by label value. It is repeated, because an interpolation can undo it: components connected
        only by a corner, holes that open, and components that become too small.
    """
    result: NDArray[Any] = np.zeros(geometry.shape, np.uint8 if max(probabilities) < 256 else np.uint16)
    maps = list(probabilities.values())
    box = reach_on_image(np.logical_or.reduce([one > 0.25 for one in maps]), grid, geometry)
    if box is None:
        return result
    for place, values in slabs_on_image(maps, grid, geometry, box):
        part = result[place]
        if activation == "sigmoid" or len(values) == 1:
            for label, one in zip(probabilities, values, strict=True):
                part[one > 0.5] = label
            continue
        best = 1 - np.sum(values, axis=0)
        for label, one in zip(probabilities, values, strict=True):
            part[one > best] = label
            np.maximum(best, one, out=best)
    for label in probabilities:
        again = [step for step in steps[label] if isinstance(step, LargestComponent | FillHoles | RemoveSmall)]
        if again:
            _repeat(result, box, label, again, geometry)
    return result


def _repeat(labels: NDArray[Any], box: Box, label: int, steps: Sequence[PostprocessStep], geometry: Geometry) -> None:
    """Clean one label in place; what it loses becomes background, what it gains was background."""
    part = labels[box]
    before = part == label
    after = before
    for step in steps:
        if isinstance(step, RemoveSmall):
            after = remove_small(
                after,
                geometry.spacing_mm,
                min_volume_ml=step.min_volume_ml,
                voxel_volume_ml=geometry.voxel_volume_ml,
            )
        else:
            after = ops.largest_component(after) if isinstance(step, LargestComponent) else ops.binary_fill_holes(after)
    part[before & ~after] = 0
    part[after & (part == 0)] = label
