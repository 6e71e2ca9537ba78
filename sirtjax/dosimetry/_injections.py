"""Several injections superposed: doses of compartments, VOIs and voxels add."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

Array = Any


def superposed_dose_gy(dose_gy_per_mbq: Array, activity_mbq: Array) -> Array:
    """Computes the dose of several injections: the sum of dose per MBq times activity.

    Args:
      dose_gy_per_mbq: (..., n_injections); the leading axes are VOIs, or the voxels of a map.
      activity_mbq: (n_injections,) that entered the patient.

    Returns:
      (...) dose in Gy.
    """
    return jnp.asarray(dose_gy_per_mbq) @ jnp.asarray(activity_mbq)


def mass_weighted_dose_gy(dose_gy: Array, mass_g: Array) -> Array:
    """Computes the mean dose of a VOI of several compartments (normal liver of all territories).

    Args:
      dose_gy: (n, ...) mean dose of each compartment; an untreated part has 0.
      mass_g: (n,) mass of each compartment.

    Returns:
      (...) dose in Gy.
    """
    mass_g = jnp.asarray(mass_g)
    return jnp.tensordot(mass_g, jnp.asarray(dose_gy), axes=1) / jnp.sum(mass_g)
