from __future__ import annotations

from dataclasses import dataclass

import jax
from jaxtyping import Float

from sirtjax.typing import Array, Numbers

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
      reference_weight: (i, j, k) weight of each node in the comparison of images; 0 outside the image.
      reference_near: (i, j, k) 1 for the nodes that can be sampled, otherwise 0.
      reference_masks: (i, j, k, 2) occupancy by the liver and by all landmarks.
      floating: (i, j, k) image scaled to [0, 1].
      floating_inside: (i, j, k) 1 in measured voxels of the floating image, otherwise 0.
      floating_masks: (i, j, k, 2) occupancy by the floating liver and by all floating landmarks.
      mask_weight: (2,) weight of either channel; 0 for one that does not guide.
      reference_origin_mm: (3,) world position of the first node of the reference grid.
      reference_pitch_mm: (3,) node spacing of the reference grid.
      floating_origin_mm: (3,) world position of the first node of the floating grid.
      floating_pitch_mm: (3,) node spacing of the floating grid.
      landmarks_reference_mm: (LANDMARKS, 3) points of the reference.
      landmarks_floating_mm: (LANDMARKS, 3) the same points in the floating image.
      landmarks_weight: (LANDMARKS,) 1 for a landmark, 0 for an empty place.
      start: (4, 4) initial floating_from_reference.
      centre_mm: (3,) about which the affine map turns and stretches, in the reference.
    """

    reference: Float[Array, "*batch i j k"]
    reference_weight: Float[Array, "*batch i j k"]
    reference_near: Float[Array, "*batch i j k"]
    reference_masks: Float[Array, "*batch i j k 2"]
    floating: Float[Array, "*batch a b c"]
    floating_inside: Float[Array, "*batch a b c"]
    floating_masks: Float[Array, "*batch a b c 2"]
    mask_weight: Float[Array, "*batch 2"]
    reference_origin_mm: Float[Array, "*batch 3"]
    reference_pitch_mm: Float[Array, "*batch 3"]
    floating_origin_mm: Float[Array, "*batch 3"]
    floating_pitch_mm: Float[Array, "*batch 3"]
    landmarks_reference_mm: Float[Array, "*batch landmarks 3"]
    landmarks_floating_mm: Float[Array, "*batch landmarks 3"]
    landmarks_weight: Float[Array, "*batch landmarks"]
    start: Float[Array, "*batch 4 4"]
    centre_mm: Float[Array, "*batch 3"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of the terms of the objective, as scalars that may be traced."""

    image: Numbers
    masks: Numbers
    landmarks: Numbers
    regularisation: Numbers
    folding: Numbers
    volume: Numbers
