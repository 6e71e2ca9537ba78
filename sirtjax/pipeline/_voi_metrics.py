"""Means, D_x and V_x of a VOI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sirtjax import dosimetry
from sirtjax.ops import namespace
from sirtjax.pipeline._records import VoiConfig
from sirtjax.typing import Array, Scalar


class VoiMetrics(NamedTuple):
    """Metrics of one VOI.

    Attributes:
      mean_gy: mean dose.
      d_gy: (fractions,) dose D_x of each fraction.
      v_fraction: (levels,) V_x as a fraction.
    """

    mean_gy: Scalar
    d_gy: Float[Array, " fractions"]
    v_fraction: Float[Array, " levels"]


def voi_metrics(
    dose_gy: Float[Array, "I J K"],
    weight: Float[Array, "I J K"],
    *,
    config: VoiConfig,
    voxel_ml: float = 1.0,
    fractions: Sequence[float] = (),
    levels_gy: Sequence[float] = (),
) -> VoiMetrics:
    """Returns the metrics of one VOI.

    On the host `dosimetry.dvh_from_arrays` computes them, and its traced form inside a transformation.

    Args:
      dose_gy: dose per voxel.
      weight: fraction of each voxel inside the VOI.
      config: the VOI; on the host its size is found from the weights.
      voxel_ml: volume of one voxel; no metric here depends on it.
      fractions: the x / 100 of D_x.
      levels_gy: the x of V_x.
    """
    if namespace(dose_gy, weight) is np:
        dvh = dosimetry.dvh_from_arrays(dose_gy, weight, voxel_ml, name=config.name)
        return VoiMetrics(
            np.asarray(dvh.mean_gy),
            np.asarray([dvh.dose_at_percent_gy(100 * fraction) for fraction in fractions]),
            np.asarray(dvh.percent_at_dose(np.asarray(levels_gy, np.float64))) / 100,
        )
    if not fractions and not levels_gy:
        return VoiMetrics(dosimetry.traced_mean_gy(dose_gy, weight), jnp.zeros(0), jnp.zeros(0))
    samples = dosimetry.voi_samples(dose_gy, weight, subsamples=config.subsamples, capacity=config.capacity)
    d_gy = [dosimetry.traced_dose_at_fraction(samples, fraction) for fraction in fractions]
    above = [dosimetry.traced_volume_fraction(samples, jnp.float32(level)) for level in levels_gy]
    return VoiMetrics(samples.mean_gy, jnp.asarray(d_gy), jnp.asarray(above))
