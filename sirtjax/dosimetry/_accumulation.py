from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.dosimetry._biology import bed_gy
from sirtjax.typing import Array, Scalar


def accumulate_bed(
    dose_gy: Real[Array, "treatments ..."],
    *,
    alpha_beta_gy: Scalar,
    repair_half_time_h: Scalar,
    half_life_h: Scalar | Real[Array, " treatments"],
) -> Float[jax.Array, "..."]:
    """Computes the BED of several treatments in each voxel: the sum of the BEDs of each.

    Each treatment has its own dose rate, that of its nuclide. The BED of the summed dose would be too high by the
    cross terms `2 D1 D2 / (alpha/beta) * T_rep / (T_rep + T_half)` and belongs to simultaneous treatments. Treatments
    that are close in time keep a part of the cross term, which the sum neglects (docs/accumulation.md).

    Args:
      dose_gy: (treatments, ...) absorbed dose of each treatment in the same voxels, not negative.
      alpha_beta_gy: alpha/beta of the tissue.
      repair_half_time_h: half-time of sublethal damage repair.
      half_life_h: half-life of the nuclide of each treatment, (treatments,), or of all of them.

    Returns:
      BED in Gy, of the shape of one dose.

    Reference:
      Dale, Br J Radiol 58:515, 1985, doi:10.1259/0007-1285-58-690-515.

    Examples:
      Twice 60 Gy of yttrium-90, months apart, have a lower BED than 120 Gy at once.

      >>> import numpy as np
      >>> from sirtjax import dosimetry
      >>> liver = dict(alpha_beta_gy=2.5, repair_half_time_h=2.5, half_life_h=64.1)
      >>> twice = dosimetry.accumulate_bed(np.array([[60.0], [60.0]]), **liver)
      >>> at_once = dosimetry.bed_gy(np.array([120.0]), **liver)
      >>> round(float(twice[0]), 1), round(float(at_once[0]), 1)
      (228.1, 336.2)
    """
    dose = jnp.asarray(dose_gy)
    half_life = jnp.broadcast_to(jnp.asarray(half_life_h), dose.shape[:1])
    each = jax.vmap(
        lambda one, hours: bed_gy(
            one, alpha_beta_gy=alpha_beta_gy, repair_half_time_h=repair_half_time_h, half_life_h=hours
        )
    )(dose, half_life)
    return jnp.sum(each, axis=0)
