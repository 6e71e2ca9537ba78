from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sirtjax.ops import namespace
from sirtjax.typing import Array, Numbers, Scalar, Vector

# Voxels lighter than this hold gas, not tissue. A numerical guard, not a clinical value: it keeps the dose
# of noise outside the body finite and lies well below aerated lung (0.2 to 0.3 g/mL).
AIR_DENSITY_G_PER_ML = 0.05


def voxel_mass_g(
    density_g_per_ml: Numbers, spacing_mm: Vector, *, floor_g_per_ml: float = AIR_DENSITY_G_PER_ML
) -> Numbers:
    """Computes the mass of each voxel, with a minimum density so that dose in air remains finite.

    Args:
      density_g_per_ml: (i, j, k) mass density.
      spacing_mm: (3,) voxel spacing along i, j, k, on orthogonal axes.
      floor_g_per_ml: smallest density counted with.

    Returns:
      (i, j, k) grams.
    """
    xp = namespace(density_g_per_ml, spacing_mm)
    voxel_volume_ml = xp.prod(xp.asarray(spacing_mm, np.float32)) * np.float32(1e-3)
    result: Float[Array, "..."] = xp.maximum(density_g_per_ml, np.float32(floor_g_per_ml)) * voxel_volume_ml
    return result


def local_deposition_dose_gy(activity_mbq: Numbers, mass_g: Numbers, *, constant: Scalar) -> Numbers:
    """Computes the dose if every decay's energy stays in its own voxel (local deposition).

    Right for images already as blurred as the range of the betas, as SPECT and PET are. It overestimates the
    mean dose of a small hot lesion in a cold background (by 1/0.81 for a sphere of 10 mm radius) and, against
    full Monte Carlo, was 27 % low in mean lung dose (d'Andrea et al., Appl Sci 14:7684, 2024).

    Args:
      activity_mbq: (i, j, k) MBq per voxel at the start, all of which decays in place.
      mass_g: (i, j, k) mass of each voxel, positive.
      constant: dose constant in Gy.kg/GBq, as `Nuclide.dose_constant_gy_kg_per_gbq`.

    Returns:
      (i, j, k) Gy.

    Reference:
      Chiesa et al., EJNMMI Phys 8:77, 2021, doi:10.1186/s40658-021-00394-3.
    """
    return constant * activity_mbq / mass_g
