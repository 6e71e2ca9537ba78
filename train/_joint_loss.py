"""The loss of a registration network on one pair: similarity, overlap, smoothness, and a known displacement."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float
from pydantic import Field

from sirtjax import losses, ops, spatial
from sirtjax.config import Table
from sirtjax.typing import Array, Vector

Weight = Annotated[float, Field(ge=0)]
# Every second voxel along each axis gives the similarity well enough.
_STRIDE = 2
# Scaled images are from -1 (air) to 1.
_AIR = -0.98


class JointLossConfig(Table):
    """Weights of the parts of the loss.

    Attributes:
      mutual_information: weight of the mutual information (nats) of the body without air.
      dice: weight of one minus the soft Dice of the warped and the reference liver.
      bending: weight of the bending energy in mm^-2.
      displacement: weight of the mean distance to the known displacement in the liver, in units of 10 mm. Only for
        pairs whose displacement is known.
      descriptors: weight of the mean squared difference of the self-similarity descriptors (MIND-SSC) of the body.
        They do not depend on the contrast, which helps if it differs between parts of the images.
      segmentation: weight of one minus the soft Dice of the liver that the network segments in the reference image and
        the reference liver. Only for networks with a segmentation; pairs without liver masks do not count.
      lesion_rigidity: factor on the bending energy in the lesions of the reference image, so that a lesion is moved
        almost without being bent. Only for pairs with lesion masks.
      around: weight of a voxel of the body outside the liver in this distance.
    """

    mutual_information: Weight
    dice: Weight
    bending: Weight
    displacement: Weight = 0.0
    descriptors: Weight = 0.0
    segmentation: Weight = 0.0
    lesion_rigidity: Annotated[float, Field(ge=1, le=1000)] = 1.0
    around: Annotated[float, Field(ge=0, le=1)] = 0.05


class JointPair(NamedTuple):
    """One pair of images on a common grid.

    Attributes:
      reference, floating: (i, j, k) images, scaled for the network.
      reference_liver, floating_liver: (i, j, k) occupancies of the liver, from 0 to 1.
      displacement_mm: (i, j, k, 3) known displacement along the axes of the grid; None if it is not known.
      seen: (i, j, k) whether both images show the point.
      reference_guide, floating_guide: (i, j, k) livers that a guided network is given, such as those of another
        network; None if only the images are.
      start_mm: (i, j, k, 3) smooth displacement of an alignment before the network; None for none.
      known: whether the displacement is known, where pairs with and without a known one alternate; None if it is.
      reference_lesions: (i, j, k) occupancies of the lesions, zero if there are none; None if they are not known.
    """

    reference: Float[Array, "i j k"]
    floating: Float[Array, "i j k"]
    reference_liver: Float[Array, "i j k"]
    floating_liver: Float[Array, "i j k"]
    displacement_mm: Float[Array, "i j k 3"] | None
    seen: Bool[Array, "i j k"]
    reference_guide: Float[Array, "i j k"] | None = None
    floating_guide: Float[Array, "i j k"] | None = None
    start_mm: Float[Array, "i j k 3"] | None = None
    known: Bool[Array, ""] | None = None
    reference_lesions: Float[Array, "i j k"] | None = None

    def sides(self) -> tuple[Float[jax.Array, "i j k inputs"], Float[jax.Array, "i j k inputs"]]:
        """Returns the input of a network: the reference and the floating image, each with its guide."""
        pairs = ((self.reference, self.reference_guide), (self.floating, self.floating_guide))
        one, two = (jnp.stack([x for x in (image, guide) if x is not None], axis=-1) for image, guide in pairs)
        return one, two


def joint_loss(
    field_mm: Float[Array, "i j k 3"],
    pair: JointPair,
    spacing_mm: Vector,
    *,
    config: JointLossConfig,
    liver: Float[Array, "i j k"] | None = None,
) -> tuple[Float[jax.Array, ""], dict[str, Float[jax.Array, ""]]]:
    """Computes the loss of a displacement of one pair.

    Args:
      field_mm: (i, j, k, 3) displacement along the axes of the grid, mm.
      pair: images and livers.
      spacing_mm: (3,) distance between voxels.
      config: weights.
      liver: (i, j, k) probability of the liver in the reference image, from a network that segments it.

    Returns:
      The weighted sum, and its parts by name without weights: "mutual_information", "dice", "bending", "descriptors"
      and "segmentation" if they have a weight, and "displacement" (10 mm) if it is known.

    Raises:
      ValueError: the displacement or the segmentation has a weight and is not given, or lesions are rigid and are not
        known.
    """
    if config.displacement and pair.displacement_mm is None:
        raise ValueError("the loss compares the displacement, which is not known for this pair: set its weight to 0")
    if config.segmentation and liver is None:
        raise ValueError("the loss compares a segmentation, which the network does not give: set its weight to 0")
    rigidity = None
    if config.lesion_rigidity != 1.0:
        if pair.reference_lesions is None:
            raise ValueError("lesion_rigidity needs lesion masks, which are not known for this pair: set it to 1")
        rigidity = 1.0 + (config.lesion_rigidity - 1.0) * jnp.asarray(pair.reference_lesions)
    both = jnp.stack([jnp.asarray(pair.floating), jnp.asarray(pair.floating_liver)], axis=-1)
    warped = spatial.sample_on_grid(both, field_mm, spacing_mm)
    seen = jnp.asarray(pair.seen).astype(jnp.float32)
    body = seen * (pair.reference > _AIR)
    few = (slice(None, None, _STRIDE),) * 3
    parts = {
        "mutual_information": losses.mutual_information_loss(
            _unit(warped[..., 0][few]), _unit(pair.reference[few]), weights=body[few].reshape(-1)
        ),
        "dice": losses.probability_dice_loss(warped[..., 1], pair.reference_liver, weights=seen),
        "bending": losses.bending_energy(field_mm, spacing_mm, rigidity=rigidity),
    }
    total = config.mutual_information * parts["mutual_information"]
    total = total + config.dice * parts["dice"] + config.bending * parts["bending"]
    if config.descriptors:
        # Descriptors of the floating image are sampled, as in a registration; no gradient passes through them.
        there = spatial.sample_on_grid(ops.mind_ssc(jnp.asarray(pair.floating)), field_mm, spacing_mm)
        here = ops.mind_ssc(jnp.asarray(pair.reference))
        parts["descriptors"] = losses.descriptor_loss(there, here, weights=body)
        total = total + config.descriptors * parts["descriptors"]
    if config.segmentation:
        own = losses.probability_dice_loss(jnp.asarray(liver), pair.reference_liver, weights=seen)
        # Pairs without masks have empty livers, which a segmentation must not learn.
        parts["segmentation"] = jnp.where(jnp.any(pair.reference_liver > 0), own, 0.0)
        total = total + config.segmentation * parts["segmentation"]
    if pair.displacement_mm is not None:
        missed = jnp.sqrt(jnp.sum((field_mm - pair.displacement_mm) ** 2, axis=-1) + 1e-3)
        weight = pair.reference_liver + config.around * body
        parts["displacement"] = jnp.sum(weight * missed) / (10.0 * jnp.maximum(jnp.sum(weight), 1.0))
        if pair.known is not None:
            parts["displacement"] = jnp.where(pair.known, parts["displacement"], 0.0)
        total = total + config.displacement * parts["displacement"]
    return total, parts


def _unit(values: Array) -> jax.Array:
    return jnp.clip((jnp.asarray(values).reshape(-1) + 1.0) / 2.0, 0.0, 1.0)
