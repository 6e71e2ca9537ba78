"""Intervals of the volume above a dose, from those of the whole histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from sirtjax.typing import Array
from sirtjax.uncertainty._measure import EDGE
from sirtjax.uncertainty._sampling import REPLICATES
from sirtjax.uncertainty._treatment import DoseMetrics

# Volume fractions of the histogram whose doses are simulated. Volumes below the first one are reported as 0.
VOLUMES = np.array([EDGE, 0.03, *np.arange(0.05, 0.951, 0.05), 0.97, 1.0 - EDGE], np.float32)


@dataclass(frozen=True, eq=False)
class VolumeIntervals:
    """Intervals of the fraction of each VOI that receives at least a dose.

    Attributes:
      bounds: (v,) median, lower and upper fraction.
      log_ratios: (count, v) logit of the estimate minus that of the truth in each simulation.
      standard_deviation, standard_deviation_error: (v,) standard deviation of `log_ratios` and its Monte Carlo error.
    """

    bounds: tuple[Float[np.ndarray, " v"], ...]
    log_ratios: Float[np.ndarray, "count v"]
    standard_deviation: Float[np.ndarray, " v"]
    standard_deviation_error: Float[np.ndarray, " v"]


def volume_intervals(
    estimate: DoseMetrics,
    first: int,
    threshold_gy: Float[Array, " v"],
    bands: Sequence[DoseMetrics],
    log_ratios: DoseMetrics,
) -> VolumeIntervals:
    """Computes the intervals of volumes above a dose from the bands of the histogram.

    A volume of at least x receives T exactly if D_x is at least T. The lower bound of the volume is therefore where the
    lower bounds of D_x reach T. The volume itself has no such scale: where the estimate is 0 or 1, no simulation
    changes it, although its dose is as uncertain as any other.

    Args:
      estimate: doses of the estimate, with `VOLUMES` among the fractions.
      first: index of the first of `VOLUMES`.
      threshold_gy: (v,) dose T of each VOI.
      bands: median, lower and upper doses.
      log_ratios: logarithm of estimate over truth of each simulation.
    """
    doses = np.asarray(estimate.d_gy)[:, first:]
    thresholds = np.asarray(threshold_gy, np.float64)
    bounds = tuple(volume_above(np.asarray(one.d_gy)[:, first:], thresholds) for one in bands)
    truths = volume_above(doses * np.exp(-np.asarray(log_ratios.d_gy)[..., first:]), thresholds)
    ratios = _logit(np.asarray(estimate.v_fraction)) - _logit(truths)
    parts = ratios.reshape(REPLICATES, -1, *ratios.shape[1:]).std(axis=1, ddof=1)
    return VolumeIntervals(bounds, ratios, ratios.std(axis=0, ddof=1), parts.std(axis=0, ddof=1) / np.sqrt(REPLICATES))


def volume_above(
    doses_gy: Float[np.ndarray, "*count v x"], threshold_gy: Float[np.ndarray, " v"]
) -> Float[np.ndarray, "*count v"]:
    """Computes the volume fraction above a dose from the doses of `VOLUMES`, linear between them.

    Args:
      doses_gy: (..., v, x) dose of each volume fraction. They are sorted, because bands and samples of single doses
        need not fall everywhere.
      threshold_gy: (v,) doses.
    """
    ordered = -np.sort(-np.asarray(doses_gy, np.float64), axis=-1)
    threshold = np.asarray(threshold_gy, np.float64)[:, None]
    above = np.sum(ordered >= threshold, axis=-1)
    low = np.clip(above - 1, 0, len(VOLUMES) - 2)[..., None]
    high_gy, low_gy = (np.take_along_axis(ordered, low + k, axis=-1)[..., 0] for k in (0, 1))
    part = (high_gy - threshold[:, 0]) / np.maximum(high_gy - low_gy, 1e-9)
    volumes = np.asarray(VOLUMES, np.float64)
    found = volumes[low[..., 0]] + np.clip(part, 0.0, 1.0) * np.diff(volumes)[low[..., 0]]
    return np.where(above == 0, 0.0, np.where(above == len(VOLUMES), 1.0, found))


def _logit(fraction: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    found: np.ndarray = special.logit(np.clip(fraction, EDGE, 1.0 - EDGE))
    return found
