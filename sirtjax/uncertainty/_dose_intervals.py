"""Intervals of the doses of a treatment from its activity image and contours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Integer, PRNGKeyArray

from sirtjax.errors import InputError
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._estimate import (
    DoseMetrics,
    TreatmentData,
    deposited_dose_gy,
    dose_metrics,
    recovered_concentration,
    regions_of,
)
from sirtjax.uncertainty._intervals import CentredInterval, centred_interval
from sirtjax.uncertainty._measure import KnownTreatment, MeasurementErrors, log_ratios
from sirtjax.uncertainty._sampling import SampledPropagation, propagate_samples
from sirtjax.uncertainty._sources import Source

# Voxels reserved for the histogram of a lesion: 4096 of 4 mm are a sphere of 40 mm radius.
CAPACITY = 4096
# Voxels up to this distance outside a contour can belong to a sampled contour.
REACH_MM = 8.0


@dataclass(frozen=True, eq=False)
class DoseIntervals:
    """Doses of a treatment with their intervals.

    Attributes:
      estimate: doses after partial-volume correction, with the bias of the measurement.
      interval: intervals of the same doses without that bias, in the order of `names`.
      names: name of each dose.
      sampled: the simulated measurements: logarithms of estimate over truth.
    """

    estimate: DoseMetrics
    interval: CentredInterval
    names: tuple[str, ...]
    sampled: SampledPropagation = field(repr=False)


def dose_intervals(
    image: Float[Array, "i j k"],
    distance_mm: Float[Array, "m i j k"],
    lung_shunt_fraction: Scalar,
    data: TreatmentData,
    sources: Sequence[Source],
    key: PRNGKeyArray,
    *,
    noise_fwhm_mm: Scalar,
    noise_fraction: Scalar,
    names: Sequence[str],
    count: int = 256,
    batch_size: int = 4,
    level: float = 0.9,
) -> DoseIntervals:
    """Computes doses with intervals from many simulated measurements of the corrected image.

    Args:
      image: (i, j, k) measured concentration, aligned with the contours.
      distance_mm: (m, i, j, k) signed distance to the contours of the lesions and, last, of the liver.
      lung_shunt_fraction: measured lung shunt.
      data: constants of the patient.
      sources: the sources of `MeasurementErrors`, all of them.
      key: random key.
      noise_fwhm_mm: width of the correlation of the noise (FWHM).
      noise_fraction: standard deviation of the noise relative to the mean concentration of the liver.
      names: names of the lesions.
      count: number of simulated measurements, a power of two from 64.
      batch_size: simulations that are computed together.
      level: probability of the intervals.

    Raises:
      InputError: sources that are missing or unknown, another number of names than lesions, or as `propagate_samples`.
    """
    if len(names) != len(distance_mm) - 1:
        raise InputError(f"names: expected {len(distance_mm) - 1}, one per lesion, got {len(names)}")
    expected, got = set(MeasurementErrors.__annotations__), {source.name for source in sources}
    if expected != got:
        raise InputError(f"sources: missing {sorted(expected - got)}, unknown {sorted(got - expected)}")
    estimate, recovered = _estimate(image, distance_mm, lung_shunt_fraction, data)
    known = KnownTreatment(
        concentration=recovered,
        distance_mm=distance_mm,
        lung_shunt_fraction=lung_shunt_fraction,
        noise_fwhm_mm=noise_fwhm_mm,
        noise_fraction=noise_fraction,
        data=data,
    )
    sampled = propagate_samples(log_ratios, sources, key, args=(known,), count=count, batch_size=batch_size)
    values = np.asarray(ravel_pytree(estimate)[0], np.float64)
    interval = centred_interval(np.maximum(values, 1e-6), np.exp(sampled.samples), level=level)
    labels = (
        [f"{name}: mean" for name in (*names, "normal liver")] + [f"{name}: D70" for name in names] + ["lungs: mean"]
    )
    return DoseIntervals(estimate=estimate, interval=interval, names=tuple(labels), sampled=sampled)


@jax.jit
def _estimate(
    image: Array, distance_mm: Array, lung_shunt_fraction: Scalar, data: TreatmentData
) -> tuple[DoseMetrics, jax.Array]:
    regions = regions_of(jnp.asarray(distance_mm), jnp.asarray(data.spacing_mm))
    recovered = recovered_concentration(jnp.asarray(image), regions, data)
    dose_gy = deposited_dose_gy(recovered, 1.0 - regions[-1], lung_shunt_fraction, data)
    return dose_metrics(dose_gy, regions, lung_shunt_fraction, data), recovered


def near_voxels(
    distance_mm: Float[np.ndarray, "n i j k"], *, capacity: int = CAPACITY
) -> Integer[np.ndarray, "n capacity"]:
    """Returns the voxels that can belong to each lesion, for `TreatmentData.near`.

    A lesion with more voxels than the capacity is represented by evenly chosen ones.

    Args:
      distance_mm: (n, i, j, k) signed distance to the contours of the lesions.
      capacity: number of voxels to reserve for each lesion.
    """
    rows = []
    for one in np.asarray(distance_mm):
        found = np.flatnonzero(one.ravel() < REACH_MM)
        if found.size > capacity:
            found = found[np.linspace(0, found.size - 1, capacity).astype(int)]
        rows.append(np.pad(found, (0, capacity - found.size), constant_values=-1))
    return np.stack(rows).astype(np.int32)
