"""The alignment of contours to the activity image, repeated in each simulated measurement."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float

from sirtjax.ops import full_precision
from sirtjax.partial_volume import gaussian_blur
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._treatment import TreatmentData

# Distance around the liver up to which voxels are compared, as in `partial_volume.align_masks`.
MARGIN_MM = 20.0
# Prior standard deviation of the translation, as in `partial_volume.align_masks`.
PRIOR_MM = 6.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, eq=False)
class Realignment:
    """The linear response of an alignment to the difference between image and fitted image.

    Attributes:
      derivatives: (3, i, j, k) change of the fitted image per mm of translation of the contours, without the part that
        other concentrations explain; 0 far from the liver.
      inverse: (3, 3) inverse of the products of the derivatives.
    """

    derivatives: Float[Array, "3 i j k"]
    inverse: Float[Array, "3 3"]


@full_precision
def realignment(
    synthetic: Float[Array, "i j k"],
    regions: Float[Array, "r i j k"],
    distance_mm: Float[Array, "m i j k"],
    data: TreatmentData,
    *,
    noise_scale: Scalar,
) -> Realignment:
    """Prepares one Gauss-Newton step of `partial_volume.align_masks` at a known treatment.

    Contours that were aligned to an image have smaller errors than contours: the translation that fits best follows
    what the errors of several contours and the noise have in common. A simulation without this step displaces contours
    too far and states too large losses.

    Args:
      synthetic: (i, j, k) concentration of uniform regions, as of `region_model`.
      regions: (r, i, j, k) occupancies as of `regions_of`.
      distance_mm: (m, i, j, k) signed distances as in `regions_of`.
      data: constants of the patient.
      noise_scale: standard deviation of the noise over the root of the concentration, for blurred white noise. With
        more noise, a prior holds the contours more firmly.
    """
    weight = jnp.where(jnp.asarray(distance_mm)[-1] < MARGIN_MM, 1.0, 0.0)

    def blurred(values: Array, shift_mm: Array) -> jax.Array:
        return gaussian_blur(values, data.spacing_mm, data.fwhm_mm, shift_mm=shift_mm)

    still = jnp.zeros(3, jnp.float32)
    basis = jax.lax.map(lambda one: weight * blurred(one, still), jnp.asarray(regions))
    change = jax.lax.map(
        lambda axis: weight * jax.jvp(lambda s: blurred(synthetic, s), (still,), (axis,))[1], jnp.eye(3)
    )
    products = jnp.tensordot(basis, basis, axes=((1, 2, 3), (1, 2, 3)))
    ridge = 1e-6 * jnp.trace(products) / len(products) * jnp.eye(len(products))  # a region can be empty
    explained = jnp.linalg.solve(products + ridge, jnp.tensordot(basis, change, axes=((1, 2, 3), (1, 2, 3))))
    derivatives = change - jnp.tensordot(explained.T, basis, axes=1)
    information = jnp.tensordot(derivatives, derivatives, axes=((1, 2, 3), (1, 2, 3)))
    in_liver = 1.0 - jnp.asarray(regions)[-1]
    level = jnp.sum(synthetic * in_liver) / jnp.maximum(jnp.sum(in_liver), 1e-3)
    # Variance of a sum over the noise: that of the blurred white noise, whose neighbours count together.
    variance = jnp.asarray(noise_scale) ** 2 * level
    return Realignment(
        derivatives=derivatives, inverse=jnp.linalg.inv(information + variance / PRIOR_MM**2 * jnp.eye(3))
    )


@full_precision
def realigned_shift_mm(fit: Realignment, residual: Float[Array, "i j k"]) -> Float[jax.Array, "3"]:
    """Returns the translation of contours that fits them to an image.

    Args:
      fit: response at the known treatment.
      residual: (i, j, k) image minus fitted image with the contours as they are.
    """
    found: jax.Array = jnp.asarray(fit.inverse) @ jnp.tensordot(jnp.asarray(fit.derivatives), residual, axes=3)
    return found
