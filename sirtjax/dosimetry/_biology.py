from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real

from sirtjax.typing import Array, Numbers, Scalar

_TINY = float(np.finfo(np.float32).tiny)


def bed_gy(
    dose_gy: Numbers, *, alpha_beta_gy: Scalar, repair_half_time_h: Scalar, half_life_h: Scalar
) -> Float[jax.Array, "..."]:
    """Computes the BED of a permanently trapped nuclide that decays completely.

    `BED = D + D^2 / (alpha/beta) * T_rep / (T_rep + T_half)`, without repopulation.

    Args:
      dose_gy: absorbed dose, any shape.
      alpha_beta_gy: alpha/beta of the tissue.
      repair_half_time_h: half-time of sublethal damage repair.
      half_life_h: half-life of the nuclide (64.1 h for Y-90, 26.8 h for Ho-166).

    Returns:
      BED in Gy, of the shape of the dose.

    Reference:
      Dale, Br J Radiol 58:515, 1985, doi:10.1259/0007-1285-58-690-515.
    """
    dose = jnp.asarray(dose_gy)
    return dose + jnp.square(dose) / alpha_beta_gy * repair_half_time_h / (repair_half_time_h + half_life_h)


def eud_gy(
    dose_gy: Real[Array, "*voxels"], weight: Real[Array, "*voxels"], *, alpha_per_gy: Scalar
) -> Float[jax.Array, ""]:
    """Computes the EUD by survival: the uniform dose with the same mean surviving fraction.

    `EUD = -ln(mean(exp(-alpha D))) / alpha`; dominated by the cold part of the VOI. Of BED it is the EUBED.

    Args:
      dose_gy: (voxels,) dose or BED of each voxel.
      weight: (voxels,) occupancy; entries of weight 0 don't count.
      alpha_per_gy: radiosensitivity, above 0.

    Returns:
      Scalar in Gy, between the lowest and the mean dose.

    Reference:
      Niemierko, Med Phys 24:103, 1997, doi:10.1118/1.598063.
    """
    dose, share = jnp.asarray(dose_gy), jnp.asarray(weight)
    survival = jax.nn.logsumexp(-alpha_per_gy * dose, b=share)
    return (jnp.log(jnp.sum(share)) - survival) / alpha_per_gy


def eubed_gy(
    dose_gy: Real[Array, "*voxels"],
    weight: Real[Array, "*voxels"],
    *,
    alpha_per_gy: Scalar,
    alpha_beta_gy: Scalar,
    repair_half_time_h: Scalar,
    half_life_h: Scalar,
) -> Float[jax.Array, ""]:
    """Computes the equivalent uniform BED: the survival EUD of the voxels' BED, scalar in Gy.

    Args:
      dose_gy: dose per voxel, same as in `bed_gy`.
      weight: fraction of each voxel inside the VOI, same as in `eud_gy`.
      alpha_per_gy: linear coefficient alpha, 1/Gy.
      alpha_beta_gy: alpha/beta, same as in `bed_gy`.
      repair_half_time_h: half-time of sublethal damage repair, h.
      half_life_h: physical half-life, h.
    """
    bed = bed_gy(dose_gy, alpha_beta_gy=alpha_beta_gy, repair_half_time_h=repair_half_time_h, half_life_h=half_life_h)
    return eud_gy(bed, weight, alpha_per_gy=alpha_per_gy)


def generalised_eud_gy(
    dose_gy: Real[Array, "*voxels"], weight: Real[Array, "*voxels"], *, exponent: Scalar
) -> Float[jax.Array, ""]:
    """Computes the generalised EUD: the power mean `(mean(D^a))^(1/a)` of the dose.

    `exponent` 1 is the mean dose; large values tend to the maximum (serial organs), negative ones to the
    minimum (tumours). A voxel without dose makes it 0 if the exponent is negative.

    Args:
      dose_gy: (voxels,) dose, not negative.
      weight: (voxels,) occupancy; entries of weight 0 don't count.
      exponent: a, not 0.

    Returns:
      Scalar in Gy.

    Reference:
      Niemierko, Med Phys 26:1100, 1999 (abstract); AAPM TG-166, Med Phys 39:1386, 2012,
      doi:10.1118/1.3685447.
    """
    dose, share = jnp.asarray(dose_gy), jnp.asarray(weight)
    # The floor keeps the logarithm and its gradient finite where there is no dose.
    log_dose = jnp.log(jnp.maximum(dose, _TINY))
    log_mean = jax.nn.logsumexp(exponent * log_dose, b=share) - jnp.log(jnp.sum(share))
    return jnp.exp(log_mean / exponent)


def tcp_logit(dose_gy: Numbers, *, d50_gy: Scalar, gamma50: Scalar) -> Float[jax.Array, "..."]:
    """Computes the log-logistic tumour control probability: `1 / (1 + (D50 / D)^(4 gamma50))`.

    Args:
      dose_gy: the dose metric the parameters were fitted to (mean dose, EUD, EUBED), any shape.
      d50_gy: value of that metric for 50 % control.
      gamma50: normalised slope at 50 %: one per cent more dose gives `gamma50` points of control.

    Returns:
      Probability in [0, 1], of the shape of the dose.

    Reference:
      Okunieff et al., Int J Radiat Oncol Biol Phys 32:1227, 1995, doi:10.1016/0360-3016(94)00475-Z;
      AAPM TG-166.
    """
    dose = jnp.asarray(dose_gy)
    # Logarithms are subtracted because the quotient of the floor and D50 underflows.
    return jax.nn.sigmoid(4 * gamma50 * (jnp.log(jnp.maximum(dose, _TINY)) - jnp.log(d50_gy)))


def tcp_linear_logit(dose_gy: Numbers, *, d50_gy: Scalar, slope_per_gy: Scalar) -> Float[jax.Array, "..."]:
    """Computes the tumour control probability, logistic in the dose: `1 / (1 + exp(-s (D - D50)))`.

    The form of logit regressions of response on dose; `slope_per_gy` is the fitted coefficient.
    """
    return jax.nn.sigmoid(slope_per_gy * (jnp.asarray(dose_gy) - d50_gy))


def ntcp_lkb(dose_gy: Numbers, *, td50_gy: Scalar, m: Scalar) -> Float[jax.Array, "..."]:
    """Computes the Lyman-Kutcher-Burman complication probability: `Phi((D - TD50) / (m TD50))`.

    Args:
      dose_gy: generalised EUD (exponent 1/n), or the metric the parameters were fitted to, any shape.
      td50_gy: value of that metric for 50 % complications.
      m: slope parameter; smaller is steeper.

    Returns:
      Probability in [0, 1], of the shape of the dose.

    Reference:
      Lyman, Radiat Res 104:S13, 1985; Kutcher & Burman, Int J Radiat Oncol Biol Phys 16:1623, 1989.
    """
    return jax.scipy.stats.norm.cdf((jnp.asarray(dose_gy) - td50_gy) / (m * td50_gy))
