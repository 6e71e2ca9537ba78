"""The multi-compartment (partition) model: several tumours and the normal tissue of one territory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Real

from sirtjax.typing import Array, Numbers, Scalar


@partial(jax.tree_util.register_dataclass, data_fields=["tumour", "normal"], meta_fields=[])
@dataclass(frozen=True, kw_only=True)
class Compartments:
    """One number per compartment of a territory: uptake fractions, or doses in Gy.

    Attributes:
      tumour: (n,) one per tumour.
      normal: scalar, the normal tissue.
    """

    tumour: Real[Array, "*tumours"]
    normal: Scalar


def tumour_to_normal_ratio(
    tumour_counts: Numbers,
    tumour_volume_ml: Numbers,
    *,
    normal_counts: Scalar,
    normal_volume_ml: Scalar,
) -> Numbers:
    """Computes the T/N ratio: concentration of each tumour divided by that of the normal tissue.

    A ratio of concentrations, not of activities (Kao 2013 uses the latter). Counts may be in any unit.

    Args:
      tumour_counts: (n,) counts or activity in each tumour.
      tumour_volume_ml: (n,) volume of each tumour.
      normal_counts: counts or activity in the normal tissue, of the same image.
      normal_volume_ml: volume of the normal tissue.

    Returns:
      (n,) ratios.

    Reference:
      Thesis Eq. 1.7.
    """
    return (tumour_counts / tumour_volume_ml) / (normal_counts / normal_volume_ml)


def fractional_uptake(
    tumour_volume_ml: Real[Array, " n"], tn_ratio: Real[Array, " n"], *, normal_volume_ml: Scalar
) -> Compartments:
    """Computes the fraction of the territory's activity in each tumour and the normal tissue, sum 1.

    The thesis writes FU = A_i / A with A injected (Eq. 1.6) but uses it next to (1 - LSF) in Eq. 1.5, as a
    fraction of the activity that stays in the liver. This function computes the latter.

    Args:
      tumour_volume_ml: (n,) volume of each tumour.
      tn_ratio: (n,) T/N ratio of each tumour.
      normal_volume_ml: volume of the normal tissue of the territory.

    Returns:
      Fractions, tumours (n,) and normal.

    Reference:
      Thesis Eq. 1.8 and 1.9.
    """
    weighted = jnp.asarray(tn_ratio) * jnp.asarray(tumour_volume_ml)
    total = jnp.sum(weighted) + normal_volume_ml
    return Compartments(tumour=weighted / total, normal=normal_volume_ml / total)


def partition_dose_gy(
    activity_mbq: Scalar,
    tumour_volume_ml: Real[Array, " n"],
    tn_ratio: Real[Array, " n"],
    *,
    normal_volume_ml: Scalar,
    density_g_per_ml: Scalar,
    constant_gy_g_per_mbq: Scalar,
    lung_shunt_fraction: Scalar,
) -> Compartments:
    """Computes the mean dose of each tumour and of the normal tissue for an activity.

    `D_i = K (1 - LSF) A FU_i / (rho V_i)`. With FU_i / V_i = TN_i / (sum TN_j V_j + V_N) no volume is divided
    by, so that a vanishing tumour or no normal tissue stay finite.

    Args:
      activity_mbq: activity injected in this territory.
      tumour_volume_ml: (n,) volume of each tumour.
      tn_ratio: (n,) T/N ratio of each tumour.
      normal_volume_ml: volume of the normal tissue of the territory.
      density_g_per_ml: density of the liver, the same for all compartments.
      constant_gy_g_per_mbq: local-deposition constant of the nuclide.
      lung_shunt_fraction: lung shunt fraction, below 1.

    Returns:
      Doses in Gy.

    Reference:
      Thesis Eq. 1.5, 1.8, 1.9; Ho et al., Eur J Nucl Med 1996, doi:10.1007/BF00949868.
    """
    normal = activity_mbq * _normal_dose_per_activity(
        tumour_volume_ml,
        tn_ratio,
        normal_volume_ml,
        density_g_per_ml,
        constant_gy_g_per_mbq,
        lung_shunt_fraction,
    )
    return Compartments(tumour=jnp.asarray(tn_ratio) * normal, normal=normal)


def partition_activity_mbq(
    dose_gy: Scalar,
    tumour_volume_ml: Real[Array, " n"],
    tn_ratio: Real[Array, " n"],
    *,
    normal_volume_ml: Scalar,
    density_g_per_ml: Scalar,
    constant_gy_g_per_mbq: Scalar,
    lung_shunt_fraction: Scalar,
) -> Compartments:
    """Computes the activity for a mean dose to each compartment: Eq. 1.5 solved for A.

    `.normal` is the activity at which the normal tissue reaches `dose_gy`; `.tumour[i]` that at which tumour
    i does. For a target in all tumours take the maximum.

    Args:
      dose_gy: requested mean dose.
      tumour_volume_ml: (n,) volume of each tumour.
      tn_ratio: (n,) T/N ratio of each tumour.
      normal_volume_ml: volume of the normal tissue of the territory.
      density_g_per_ml: density of the liver.
      constant_gy_g_per_mbq: local-deposition constant of the nuclide.
      lung_shunt_fraction: lung shunt fraction, below 1.

    Returns:
      Activities in MBq at the time of injection.

    Reference:
      Thesis Eq. 1.5; van Roekel, thesis Utrecht, p. 30: A = D_N (TN M_T + M_N) / (K (1 - LSF)).
    """
    per_activity = _normal_dose_per_activity(
        tumour_volume_ml,
        tn_ratio,
        normal_volume_ml,
        density_g_per_ml,
        constant_gy_g_per_mbq,
        lung_shunt_fraction,
    )
    return Compartments(tumour=dose_gy / (jnp.asarray(tn_ratio) * per_activity), normal=dose_gy / per_activity)


def _normal_dose_per_activity(
    tumour_volume_ml: Array,
    tn_ratio: Array,
    normal_volume_ml: Scalar,
    density_g_per_ml: Scalar,
    constant_gy_g_per_mbq: Scalar,
    lung_shunt_fraction: Scalar,
) -> Array:
    equivalent_ml = jnp.sum(jnp.asarray(tn_ratio) * jnp.asarray(tumour_volume_ml)) + normal_volume_ml
    return constant_gy_g_per_mbq * (1.0 - lung_shunt_fraction) / (density_g_per_ml * equivalent_ml)
