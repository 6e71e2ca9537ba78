"""Energy that the betas of the liver carry into the lungs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sirtjax.compilation_cache import cached_jit
from sirtjax.dosimetry._convolution import convolve_octant
from sirtjax.dosimetry._kernels import Radius, kernel_radius_voxels, octant_kernel
from sirtjax.dosimetry._nuclides import Nuclide
from sirtjax.dosimetry._radial import RadialKernel, get_radial_kernel
from sirtjax.errors import ConfigError, InputError
from sirtjax.typing import Array, Scalar, Vector


def lung_absorbed_fraction(
    lung: Float[Array, "i j k"],
    spacing_mm: Vector,
    *,
    radial: RadialKernel,
    medium_density_g_per_ml: Scalar,
    radius_voxels: Radius,
) -> Float[jax.Array, "i j k"]:
    """Computes for each voxel the fraction of the energy of a decay in its tissue that the lungs absorb.

    The sum of the liver's activity times this map is the activity whose energy ends in the lungs. Energy that passes
    the surface of the lungs is absorbed in them whatever their density. The kernel of soft tissue therefore gives the
    right energy, although not its distribution within the lungs.

    The energy comes from a layer of a few millimetres, so a voxel that is partly lung must not count as a mixture: its
    activity is in the other part. For a plane parallel to the faces of the voxels the mixture adds exactly the fraction
    of the energy that a layer of voxels keeps, times the lung's fraction of the voxel. The mean of this over the three
    axes is subtracted. On spheres what remains is at most 1.3 % at 3 mm and 3.2 % at 4.4 x 4.4 x 2.5 mm for 90Y.

    Args:
      lung: (i, j, k) fraction of each voxel that is lung, in [0, 1].
      spacing_mm: (3,) voxel spacing along i, j, k, on orthogonal axes.
      radial: point kernel.
      medium_density_g_per_ml: density of the tissue of the liver.
      radius_voxels: static extent of the kernel, from `kernel_radius_voxels`.

    Returns:
      (i, j, k) fractions, for activity outside the lungs: within them they have no meaning.
    """
    octant = octant_kernel(
        spacing_mm, radial=radial, medium_density_g_per_ml=medium_density_g_per_ml, radius_voxels=radius_voxels
    )
    mask = jnp.asarray(lung, jnp.float32)
    # Each layer is its first octant; an offset above 0 occurs on both sides.
    layers = []
    for axis in range(3):
        layer = jnp.take(octant, 0, axis=axis)
        both = [jnp.where(jnp.arange(n) > 0, 2.0, 1.0) for n in layer.shape]
        layers.append(jnp.sum(layer * both[0][:, None] * both[1][None]))
    mixed = jnp.mean(jnp.stack(layers))
    return convolve_octant(mask, octant) - mixed * mask


def lung_absorbed_map(
    lung: ArrayLike, spacing_mm: Sequence[float], *, nuclide: Nuclide, medium_density_g_per_ml: float
) -> Float[np.ndarray, "i j k"]:
    """Computes `lung_absorbed_fraction` (NumPy), compiled once per grid shape and kernel size step.

    Args:
      lung: (i, j, k) fraction of each voxel that is lung, in [0, 1].
      spacing_mm: voxel spacing along i, j, k, on orthogonal axes.
      nuclide: record whose point kernel to use.
      medium_density_g_per_ml: density of the tissue of the liver, g/mL.

    Returns:
      (i, j, k) fraction of the energy of a decay in the tissue of each voxel that the lungs absorb.

    Raises:
      ConfigError: if the nuclide has no point kernel, or the voxels are too fine for it.
      InputError: if the mask is not a volume of fractions.
    """
    if nuclide.radial_kernel is None:
        raise ConfigError(f"nuclide '{nuclide.name}' has no point kernel, so its betas in the lungs are not known")
    mask = np.asarray(lung, np.float32)
    if mask.ndim != 3 or not np.isfinite(mask).all() or mask.min(initial=0.0) < 0 or mask.max(initial=0.0) > 1.0001:
        raise InputError(
            f"lung: shape {mask.shape}, expected a volume (i, j, k) of fractions from 0 to 1; "
            "provide the fraction of each voxel that is lung"
        )
    radial = get_radial_kernel(nuclide.radial_kernel)
    radius = kernel_radius_voxels(spacing_mm, radial=radial, medium_density_g_per_ml=medium_density_g_per_ml)
    spacing, medium = np.asarray(spacing_mm, np.float32), np.float32(medium_density_g_per_ml)
    return np.asarray(_absorbed(mask, spacing, medium, radial=radial, radius_voxels=radius))


@partial(cached_jit, static_argnames=("radial", "radius_voxels"))
def _absorbed(
    lung: jax.Array, spacing: jax.Array, medium: jax.Array, *, radial: RadialKernel, radius_voxels: Radius
) -> jax.Array:
    return lung_absorbed_fraction(
        lung, spacing, radial=radial, medium_density_g_per_ml=medium, radius_voxels=radius_voxels
    )
