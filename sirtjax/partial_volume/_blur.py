from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.partial_volume._inputs import check_array, check_fwhm, check_spacing
from sirtjax.typing import Array, Scalar, Vector

SIGMA_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))
# A narrower Gaussian is the identity on voxels.
MIN_SIGMA_VOXELS = 0.05


def gaussian_blur(
    image: Float[Array, "i j k"],
    spacing_mm: Vector,
    fwhm_mm: Scalar | Vector,
    *,
    shift_mm: Float[Array, "3"] | None = None,
) -> Float[jax.Array, "i j k"]:
    """Blurs an image with the Gaussian point spread function of a scanner, reflected at the faces.

    The kernel is the Gaussian at the voxel centres, normalised to 1. Applied to occupancies it yields the mean of the
    blurred region over each voxel. Beyond a face the image is its mirror image (`mode="reflect"` of SciPy), so a
    uniform image is unchanged, the total is preserved, and the operator is its own transpose. PETPVC repeats the voxels
    of the face instead. The two differ only within about one FWHM of the faces.

    Each axis is one product with a matrix. The FWHM may therefore be traced, without a static radius as in
    `ops.gaussian_filter`, and has a derivative. The time is proportional to the voxels times the sum of the axis
    lengths, so crop large images to the region of interest.

    Args:
      image: (i, j, k) values or occupancies.
      spacing_mm: (3,) voxel spacing.
      fwhm_mm: full width at half maximum of the point spread function, one number or one per axis; above 0, at most
        the extent of the image.
      shift_mm: (3,) translation of the image along its axes, without further interpolation.

    Returns:
      (i, j, k) blurred image.

    Raises:
      InputError: the image is not 3D, a value is not finite, or a spacing or FWHM is not positive.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import partial_volume
      >>> point = np.zeros((9, 9, 9), np.float32)
      >>> point[4, 4, 4] = 1.0
      >>> blurred = partial_volume.gaussian_blur(point, (2.0, 2.0, 4.0), 6.0)
      >>> round(float(blurred.sum()), 4)
      1.0
      >>> round(float(blurred[4, 4, 5] / blurred[4, 4, 4]), 4), round(2 ** -((4.0 / 3.0) ** 2), 4)
      (0.2916, 0.2916)

    Reference:
      Thomas et al., PETPVC, Phys Med Biol 61:7975-7993, 2016.
    """
    check_array("image", image, axes=3)
    check_spacing(spacing_mm)
    check_fwhm("fwhm_mm", fwhm_mm)
    return blur_unchecked(image, spacing_mm, fwhm_mm, shift_mm=shift_mm)


def blur_unchecked(
    image: Float[Array, "i j k"],
    spacing_mm: Vector,
    fwhm_mm: Scalar | Vector,
    *,
    shift_mm: Float[Array, "3"] | None = None,
) -> Float[jax.Array, "i j k"]:
    """Blurs an image whose values have been checked, and moves it by `shift_mm` along its axes."""
    sigma = sigma_voxels(spacing_mm, fwhm_mm)
    shift = None if shift_mm is None else jnp.asarray(shift_mm) / jnp.asarray(spacing_mm, jnp.float32)
    blurred = jnp.asarray(image, jnp.result_type(image, jnp.float32))
    for axis in range(3):
        matrix = _reflecting_matrix(blurred.shape[0], sigma[axis], 0.0 if shift is None else shift[axis])
        matrix = matrix.astype(blurred.dtype)
        # Contract the leading axis and append the blurred one: after three times the order is restored.
        blurred = jnp.tensordot(blurred, matrix, ((0,), (1,)), precision=jax.lax.Precision.HIGHEST)
    return blurred


def sigma_voxels(spacing_mm: Vector, fwhm_mm: Scalar | Vector) -> Float[jax.Array, " 3"]:
    """Returns the (3,) standard deviation in voxels."""
    spacing, fwhm = jnp.asarray(spacing_mm, jnp.float32), jnp.asarray(fwhm_mm)
    sigma = jnp.broadcast_to(fwhm, (3,)) * SIGMA_PER_FWHM / spacing
    return jnp.maximum(sigma, MIN_SIGMA_VOXELS)


def kernel_peak(spacing_mm: Vector, fwhm_mm: Scalar | Vector) -> Float[jax.Array, ""]:
    """Returns the weight of the centre of the kernel."""
    offset = np.arange(-64, 65)[None]
    scaled = offset / sigma_voxels(spacing_mm, fwhm_mm)[:, None]
    return 1.0 / jnp.prod(jnp.exp(-0.5 * scaled * scaled).sum(axis=1))


def _reflecting_matrix(length: int, sigma: jax.Array, shift: Scalar) -> jax.Array:
    # Column b collects the kernel of voxel b and of all its mirror images, which repeat every 2 lengths.
    index = np.arange(length)
    repeats = 2 + 64 // length
    direct, mirrored = index[:, None] - index, index[:, None] + index + 1
    offset = np.stack([2 * length * n + d for n in range(-repeats, repeats + 1) for d in (direct, mirrored)])
    scaled = (offset - shift) / sigma
    weight = jnp.exp(-0.5 * scaled * scaled).sum(axis=0)
    return weight / weight[0].sum()
