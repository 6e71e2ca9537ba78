from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

Array = Any
# Slots for landmarks: points, or centroids of masks. Unused slots have zero weight, so that another number of
# landmarks does not compile again.
LANDMARKS = 32
# Mask channels: the liver, and all landmarks together.
LIVER, LESIONS = 0, 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class ImagePair:
    """Two images, their masks and landmarks on working lattices along the world's axes: the solver's data.

    Attributes:
      reference: (i, j, k) image scaled to [0, 1].
      reference_weight: (i, j, k) how much each node counts in the comparison of images; 0 outside the image.
      reference_near: (i, j, k) 1 for the nodes that can be sampled, otherwise 0.
      reference_masks: (i, j, k, 2) occupancy by the liver and by all landmarks.
      floating: (i, j, k) image scaled to [0, 1].
      floating_inside: (i, j, k) 1 where the floating image was measured, otherwise 0.
      floating_masks: (i, j, k, 2) as `reference_masks`.
      mask_weight: (2,) weight of either channel; 0 for one that does not guide.
      reference_origin_mm: (3,) world position of the first node of the reference grid.
      reference_pitch_mm: (3,) node spacing of the reference grid.
      floating_origin_mm: (3,) world position of the first node of the floating grid.
      floating_pitch_mm: (3,) node spacing of the floating grid.
      landmarks_reference_mm: (LANDMARKS, 3) points.
      landmarks_floating_mm: (LANDMARKS, 3) where they are in the floating image.
      landmarks_weight: (LANDMARKS,) 1 for a landmark, 0 for an empty place.
      start: (4, 4) floating_from_reference to begin with.
      centre_mm: (3,) about which the affine map turns and stretches, in the reference.
    """

    reference: Array
    reference_weight: Array
    reference_near: Array
    reference_masks: Array
    floating: Array
    floating_inside: Array
    floating_masks: Array
    mask_weight: Array
    reference_origin_mm: Array
    reference_pitch_mm: Array
    floating_origin_mm: Array
    floating_pitch_mm: Array
    landmarks_reference_mm: Array
    landmarks_floating_mm: Array
    landmarks_weight: Array
    start: Array
    centre_mm: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of the terms of the objective, as scalars that may be traced."""

    image: Array
    masks: Array
    landmarks: Array
    regularisation: Array
    folding: Array
    volume: Array
