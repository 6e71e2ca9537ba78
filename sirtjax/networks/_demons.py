"""Demons forces: the displacement along the gradient that would make two images equal, to first order."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax.typing import Array, Vector

# Blur of both images, which sets the reach of the forces.
BLUR_MM = 10.0
LONGEST_MM = 20.0


def demons_forces(
    reference: Float[Array, "i j k inputs"],
    warped: Float[Array, "i j k inputs"],
    spacing_mm: Vector,
    *,
    blur_mm: float = BLUR_MM,
    longest_mm: float = LONGEST_MM,
) -> Float[jax.Array, "i j k components"]:
    """Computes the displacement along the gradient that matches two images, to first order.

    u = (r - w) g / (|g|^2 + (r - w)^2 / L^2), with g the mean gradient of the blurred images r and w and L twice the
    longest displacement. Across an edge of two shifted masks this is the shift. Where neither image changes it is zero.

    After Thirion, Med Image Anal 1998, doi:10.1016/S1361-8415(98)80022-4, with both gradients as in Vercauteren et al.,
    NeuroImage 2009, doi:10.1016/j.neuroimage.2008.10.040.

    Args:
      reference: (i, j, k, inputs) images at rest.
      warped: (i, j, k, inputs) images to be moved, on the same grid.
      spacing_mm: (3,) distance between voxels; may be traced.
      blur_mm: standard deviation of the blur of both.
      longest_mm: bound of the length of a force.

    Returns:
      (i, j, k, 3 inputs) forces in mm; the three components of one input are next to each other.
    """
    spacing = jnp.asarray(spacing_mm, jnp.float32)
    one, two = (_blurred(jnp.asarray(image, jnp.float32), spacing, blur_mm) for image in (reference, warped))
    mean, missing = (one + two) / 2.0, one - two
    gradient = jnp.stack([_difference(mean, axis) / spacing[axis] for axis in range(3)], axis=-1)
    # The smallest constant that keeps the ratio defined where both are flat.
    size = jnp.sum(gradient**2, axis=-1) + missing**2 / (2.0 * longest_mm) ** 2 + 1e-9
    forces = (missing / size)[..., None] * gradient
    return jnp.asarray(forces.reshape(*forces.shape[:3], -1))


def _difference(image: jax.Array, axis: int) -> jax.Array:
    """Central differences per voxel along an axis, one-sided at the faces."""
    return jnp.asarray(jnp.gradient(image, axis=axis))


def _blurred(image: jax.Array, spacing: jax.Array, blur_mm: float) -> jax.Array:
    """The image (i, j, k, inputs) after a Gaussian blur along each axis; beyond the faces it keeps its value."""
    for axis in range(3):
        n = image.shape[axis]
        apart = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :]).astype(np.float32)
        weights = jnp.exp(-0.5 * (apart * spacing[axis] / blur_mm) ** 2)
        weights = weights / jnp.sum(weights, axis=1, keepdims=True)
        image = jnp.moveaxis(jnp.tensordot(weights, image, axes=(1, axis)), 0, axis)
    return image
