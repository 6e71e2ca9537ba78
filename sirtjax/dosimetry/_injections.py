"""Several injections superposed: doses of compartments, VOIs and voxels add."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from sirtjax.ops import full_precision
from sirtjax.typing import Array


@full_precision
def superposed_dose_gy(
    dose_gy_per_mbq: Real[Array, "*vois injections"], activity_mbq: Real[Array, " injections"]
) -> Float[jax.Array, "*vois"]:
    """Computes the dose of several injections: the sum of dose per MBq times activity.

    Args:
      dose_gy_per_mbq: (..., n_injections); the leading axes are VOIs, or the voxels of a map.
      activity_mbq: (n_injections,) activities that entered the patient.

    Returns:
      (...) dose in Gy.
    """
    return jnp.asarray(dose_gy_per_mbq) @ jnp.asarray(activity_mbq)


@full_precision
def mass_weighted_dose_gy(dose_gy: Real[Array, " n *shape"], mass_g: Real[Array, " n"]) -> Float[jax.Array, "*shape"]:
    """Computes the mean dose of a VOI of several compartments (normal liver of all territories).

    Args:
      dose_gy: (n, ...) mean dose of each compartment; an untreated part has 0.
      mass_g: (n,) mass of each compartment.

    Returns:
      (...) dose in Gy.
    """
    mass_g = jnp.asarray(mass_g)
    return jnp.tensordot(mass_g, jnp.asarray(dose_gy), axes=1) / jnp.sum(mass_g)
