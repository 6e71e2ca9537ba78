from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.errors import InputError
from sirtjax.partial_volume._blur import SIGMA_PER_FWHM, blur_unchecked
from sirtjax.partial_volume._inputs import check_fwhm, check_masks, check_positive, check_spacing, known
from sirtjax.typing import Array, Numbers, Scalar, Vector

# Below this ratio of radius to standard deviation the closed form cancels in single precision.
SERIES_BELOW = 0.8


def recovery_coefficients(
    masks: Float[Array, "n i j k"], spacing_mm: Vector, fwhm_mm: Scalar | Vector
) -> Float[jax.Array, " n"]:
    """Computes the recovery coefficient of each VOI from its own blurred mask, by volume and shape.

    The coefficient is the mean over the VOI of an image that is 1 inside it, 0 outside, and blurred:
    `sum(mask * blur(mask)) / sum(mask)`. Its complement is the weight of the surroundings. It equals the diagonal of
    `geometric_transfer_matrix`. VOIs may overlap, because each is considered separately.

    Args:
      masks: (n, i, j, k) occupancies of the VOIs, 0 to 1.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: resolution of the image, one number or one per axis.

    Returns:
      (n,) coefficients, 0 to 1. NaN for an empty mask that is traced.

    Raises:
      InputError: an empty mask, values outside 0 to 1 or not finite, or a spacing or FWHM that is not positive.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> masks = np.zeros((2, 24, 24, 24), np.float32)
      >>> masks[0, 10:14, 10:14, 10:14] = 1.0
      >>> masks[1, 6:18, 6:18, 6:18] = 1.0
      >>> found = partial_volume.recovery_coefficients(masks, (3.0, 3.0, 3.0), 12.0)
      >>> [round(float(value), 3) for value in found]
      [0.305, 0.706]

    Reference:
      Erlandsson et al., Phys Med Biol 57:R119-R159, 2012.
    """
    check_masks(masks, disjoint=False)
    check_spacing(spacing_mm)
    check_fwhm("fwhm_mm", fwhm_mm)
    array = jnp.asarray(masks, jnp.result_type(masks, jnp.float32))
    # One VOI after the other: the blurred masks are never in memory together.

    def coefficient(mask: jax.Array) -> jax.Array:
        return jnp.sum(mask * blur_unchecked(mask, spacing_mm, fwhm_mm)) / jnp.sum(mask)

    found: jax.Array = jax.lax.map(coefficient, array)
    return found


def recovery_corrected_means(means: Numbers, recovery: Numbers, *, background: Numbers) -> Float[jax.Array, "..."]:
    """Corrects means of VOIs with recovery coefficients and the mean of their surroundings.

    `mean = recovery x truth + (1 - recovery) x background`, solved for the truth. Dividing by the recovery without
    the background overestimates a lesion in warm tissue.

    Args:
      means: (...) means over the VOIs in the blurred image.
      recovery: (...) recovery coefficients, from `recovery_coefficients` or `sphere_recovery`.
      background: (...) mean of the tissue around each VOI, measured away from the VOI.

    Raises:
      InputError: a recovery that is not above 0 and at most 1.

    Examples:
      >>> from sirtjax import partial_volume
      >>> float(partial_volume.recovery_corrected_means(2.5, 0.5, background=1.0))
      4.0
    """
    if known(recovery):
        values = np.asarray(recovery)
        if not np.all((values > 0) & (values <= 1 + 1e-4)):
            raise InputError(f"recovery: expected numbers above 0 and at most 1, got {values.tolist()}")
    fraction, outside = jnp.asarray(recovery), jnp.asarray(background)
    return (jnp.asarray(means) - (1.0 - fraction) * outside) / fraction


def sphere_recovery(radius_mm: Numbers, fwhm_mm: Numbers) -> Float[jax.Array, "..."]:
    """Computes the recovery coefficient of a sphere from its radius, in closed form.

    The mean over the sphere of its indicator, convolved with an isotropic Gaussian. With t = sigma / radius:

        erf(sqrt(2) / t) - sqrt(2 / pi) / 2 (3 t - t^3 + (t^3 - t) exp(-2 / t^2))

    It follows from the overlap of two spheres at a distance, integrated over the Gaussian. A series is used if the
    radius is below 0.8 sigma.

    Args:
      radius_mm: (...) radius, above 0.
      fwhm_mm: (...) resolution of the image, above 0.

    Returns:
      (...) coefficients between 0 and 1.

    Raises:
      InputError: a radius or FWHM that is not positive.

    Examples:
      >>> from sirtjax import partial_volume
      >>> [round(float(partial_volume.sphere_recovery(r, 6.0)), 3) for r in (5.0, 10.0, 18.5)]
      [0.443, 0.702, 0.836]
    """
    check_positive("radius_mm", radius_mm)
    check_positive("fwhm_mm", fwhm_mm)
    ratio = jnp.asarray(radius_mm) / (jnp.asarray(fwhm_mm) * SIGMA_PER_FWHM)
    small = ratio < SERIES_BELOW
    # Each branch gets a harmless argument where the other applies, so that its derivative is finite.
    t = 1.0 / jnp.where(small, 1.0, ratio)
    bracket = 3.0 * t - t**3 + (t**3 - t) * jnp.exp(-2.0 / (t * t))
    closed = jax.scipy.special.erf(math.sqrt(2.0) / t) - math.sqrt(0.5 / math.pi) * bracket
    return jnp.where(small, _small_sphere(jnp.where(small, ratio, 0.5)), closed)


def _small_sphere(ratio: jax.Array) -> jax.Array:
    # The exponential as a power series, integrated term by term against the overlap of the two spheres.
    squared = (2.0 * ratio) ** 2
    total = jnp.zeros_like(ratio)
    for n in reversed(range(14)):
        moment = 1.0 / (2 * n + 3) - 0.75 / (n + 2) + 0.25 / (n + 3)
        total = total * squared + (-0.5) ** n / math.factorial(n) * moment
    return math.sqrt(2.0 / math.pi) * (2.0 * ratio) ** 3 * total
