from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.errors import InputError
from sirtjax.partial_volume._blur import blur_unchecked
from sirtjax.partial_volume._inputs import check_array, check_fwhm, check_masks, check_same_grid, check_spacing
from sirtjax.typing import Array, Scalar, Vector

# Below this fraction of its maximum the model says nothing about the origin of counts: they stay where they are.
_KNOWN = 1e-6


def reassign_spill(
    image: Float[Array, "i j k"],
    models: Float[Array, "n i j k"],
    masks: Float[Array, "n i j k"],
    spacing_mm: Vector,
    fwhm_mm: Scalar | Vector,
) -> Float[jax.Array, "n i j k"]:
    """Returns the counts of each organ, with those that the blur put into other organs moved back.

    A voxel's counts are divided among the organs in proportion to their blurred models. The part of an organ that is
    inside it stays in its voxel. The part outside returns to the voxels it may have come from, in proportion to
    model and point spread function. Counts are conserved. Within an organ nothing is sharpened. Exact if image and
    models have the same shape.

    Args:
      image: (i, j, k) counts, not negative.
      models: (n, i, j, k) expected counts of each organ without blur, such as its GTM means times its occupancy. Only
        their ratios matter.
      masks: (n, i, j, k) occupancies of the organs; they do not overlap and fill the image.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: resolution of the image, one number or one per axis.

    Returns:
      (n, i, j, k) counts of each organ; their sum over organs and voxels is that of the image.

    Raises:
      InputError: shapes differ, masks overlap, are empty or have values outside 0 to 1, values are not finite, or a
        spacing or FWHM is not positive.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> liver = np.zeros((24, 8, 8), np.float32)
      >>> liver[:12] = 1.0
      >>> organs = np.stack([liver, 1.0 - liver])
      >>> models = organs * np.array([1.0, 0.05], np.float32)[:, None, None, None]
      >>> image = partial_volume.gaussian_blur(models.sum(0), (4.0, 4.0, 4.0), 12.0)
      >>> found = partial_volume.reassign_spill(image, models, organs, (4.0, 4.0, 4.0), 12.0)
      >>> [round(float(found[1, i, 4, 4] + found[0, i, 4, 4]), 3) for i in (11, 12)], round(float(image[12, 4, 4]), 3)
      ([1.0, 0.05], 0.376)

    Reference:
      One expectation-maximisation step (Shepp and Vardi, IEEE Trans Med Imaging 1:113-122, 1982) with the model as
      its start, restricted to counts that cross the surface of an organ.
    """
    check_array("image", image, axes=3)
    check_array("models", models, axes=4)
    check_masks(masks, disjoint=True)
    check_same_grid(image, masks)
    if jnp.shape(models) != jnp.shape(masks):
        raise InputError(f"models: shape {jnp.shape(models)} differs from that of the masks, {jnp.shape(masks)}")
    check_spacing(spacing_mm)
    check_fwhm("fwhm_mm", fwhm_mm)
    return reassign_unchecked(image, models, masks, spacing_mm, fwhm_mm)


def reassign_unchecked(
    image: Float[Array, "i j k"],
    models: Float[Array, "n i j k"],
    masks: Float[Array, "n i j k"],
    spacing_mm: Vector,
    fwhm_mm: Scalar | Vector,
) -> Float[jax.Array, "n i j k"]:
    """Returns `reassign_spill` of arrays that have been checked."""
    counts = jnp.asarray(image, jnp.float32)
    expected = jnp.asarray(models, jnp.float32)
    blurred = jax.lax.map(lambda model: blur_unchecked(model, spacing_mm, fwhm_mm), expected)
    total = blurred.sum(axis=0)
    known = total > _KNOWN * total.max()
    ratio = jnp.where(known, counts / jnp.where(known, total, 1.0), 0.0)

    def organ(parts: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        model, seen, mask = parts
        inside = jnp.where(known, ratio * seen, counts) * mask
        # The transpose of the blur is the blur.
        return inside + model * blur_unchecked(ratio * (1.0 - mask), spacing_mm, fwhm_mm)

    found: jax.Array = jax.lax.map(organ, (expected, blurred, jnp.asarray(masks, jnp.float32)))
    return found
