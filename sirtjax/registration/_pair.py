from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

Array = Any
# Places for landmarks given as points, or as the mass centres of masks; a patient with fewer leaves the others without
# weight, so that the number of landmarks is no reason to compile.
LANDMARKS = 32
# Mask channels: the liver, and all landmarks together.
LIVER, LESIONS = 0, 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images, their masks and landmarks on working lattices along the world's axes: all that a solver sees.

    Attributes:
      reference: (i, j, k) image scaled to [0, 1].
      reference_weight: (i, j, k) how much each node counts in the comparison of images; 0 outside the image.
      reference_near: (i, j, k) 1 for the nodes that are looked at at all, else 0.
      reference_masks: (i, j, k, 2) occupancy by the liver and by all landmarks.
      floating: (i, j, k) image scaled to [0, 1].
      floating_inside: (i, j, k) 1 where the floating image has been measured, else 0.
      floating_masks: (i, j, k, 2) as `reference_masks`.
      mask_weight: (2,) weight of either channel; 0 for one that does not guide.
      reference_origin_mm: (3,) world position of the first node.
      reference_pitch_mm: (3,) distance of nodes.
      floating_origin_mm: (3,) likewise.
      floating_pitch_mm: (3,) likewise.
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
    regularity: Array
    folding: Array
    volume: Array
