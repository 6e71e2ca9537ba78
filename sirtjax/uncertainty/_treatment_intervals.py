"""Intervals of the doses of a treatment from its activity image and contours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy import special

from sirtjax.errors import InputError
from sirtjax.typing import Array, Scalar
from sirtjax.uncertainty._budget import fractions_by_source
from sirtjax.uncertainty._estimate import apply_model, doses_of_concentration, region_model
from sirtjax.uncertainty._intervals import CentredInterval, centred_interval
from sirtjax.uncertainty._linear import propagate_linear
from sirtjax.uncertainty._measure import KnownTreatment, MeasurementErrors, known_treatment, log_ratios, transformed
from sirtjax.uncertainty._propagate import deviations_differ
from sirtjax.uncertainty._realign import realignment
from sirtjax.uncertainty._regions import regions_of, territory_shares
from sirtjax.uncertainty._sampling import propagate_samples
from sirtjax.uncertainty._sources import Source
from sirtjax.uncertainty._treatment import DoseMetrics, TreatmentData
from sirtjax.uncertainty._uptake import uptake_texture
from sirtjax.uncertainty._volumes import VOLUMES, volume_intervals

# The linear method is applied to D70 and not to the other doses of the histogram.
D70 = 0.7


@dataclass(frozen=True, eq=False)
class LinearIntervals:
    """The linear propagation of a treatment, NaN for D_x other than D70 and for the BED.

    Attributes:
      standard_deviation: standard deviation of the logarithm of estimate over truth, to first order.
      bias: expectation of that logarithm, to second order.
      budget: fraction of the variance by source.
    """

    standard_deviation: DoseMetrics
    bias: DoseMetrics
    budget: dict[str, DoseMetrics]


@dataclass(frozen=True, eq=False)
class TreatmentIntervals:
    """Doses of a treatment with their intervals; every entry has the shapes of `DoseMetrics`.

    Attributes:
      estimate: doses after partial-volume correction, with the bias of the measurement.
      median, lower, upper: the same doses without that bias, and the bounds of the interval.
      relative_bias: typical estimate over truth, minus 1. For the volume fraction, estimate minus truth.
      standard_deviation: standard deviation of the logarithm of estimate over truth, of the logit for the volume
        fraction.
      standard_deviation_error: Monte Carlo standard error of `standard_deviation`.
      linear: the same by derivatives; None if it was not asked for.
      differs: whether both deviations differ by more than 10 % and three Monte Carlo errors; None without `linear`.
      budget: fraction of the variance that each source explains, by name; None without it.
      budget_error: Monte Carlo standard error of `budget`.
      log_ratios: logarithm of estimate over truth of each simulation, with a leading axis.
    """

    estimate: DoseMetrics
    median: DoseMetrics
    lower: DoseMetrics
    upper: DoseMetrics
    relative_bias: DoseMetrics
    standard_deviation: DoseMetrics
    standard_deviation_error: DoseMetrics
    linear: LinearIntervals | None
    differs: DoseMetrics | None
    budget: dict[str, DoseMetrics] | None
    budget_error: dict[str, DoseMetrics] | None
    log_ratios: DoseMetrics = field(repr=False)

    def truth_samples(self) -> DoseMetrics:
        """Returns samples of the true doses given the measurement, correlated as the errors are."""
        middle = transformed(self.estimate)
        return _doses(DoseMetrics(*(np.asarray(m) - r for m, r in zip(middle, self.log_ratios, strict=True))))

    def interval_of(
        self, function: Callable[[DoseMetrics], Float[np.ndarray, "*count"]], *, level: float = 0.9
    ) -> CentredInterval:
        """Returns the interval of a positive number that is computed from several doses, such as an activity.

        The largest of several uncertain numbers is found too large on average. The interval is therefore that of the
        number as repeated measurements of the estimate find it, and not the quantiles of `truth_samples`.

        Args:
          function: number computed from doses, along a leading axis.
          level: probability of the interval.
        """
        middle = transformed(self.estimate)
        measured = _doses(DoseMetrics(*(np.asarray(m) + r for m, r in zip(middle, self.log_ratios, strict=True))))
        single = DoseMetrics(*(np.asarray(values, np.float64)[None] for values in self.estimate))
        estimate = np.asarray(function(single), np.float64)
        return centred_interval(estimate, np.asarray(function(measured))[:, None] / estimate, level=level)


def treatment_intervals(
    image: Float[Array, "i j k"],
    distance_mm: Float[Array, "m i j k"],
    lung_shunt_fraction: Float[Array, " t"],
    data: TreatmentData,
    sources: Sequence[Source],
    key: PRNGKeyArray,
    *,
    noise_fwhm_mm: Scalar,
    noise_fraction: Scalar,
    uptake_fwhm_mm: Scalar | None = None,
    uptake_fraction: Scalar | None = None,
    relative_uptake: Float[Array, "n i j k"] | None = None,
    aligned: bool = False,
    count: int = 256,
    linear: bool = False,
    probes: int = 4,
    budget_count: int | None = None,
    batch_size: int = 4,
    level: float = 0.9,
) -> TreatmentIntervals:
    """Computes doses with intervals from many simulated measurements of the corrected image.

    Args:
      image: (i, j, k) measured concentration, aligned with the contours.
      distance_mm: (n + t + 1, i, j, k) signed distances, negative inside, to the contours of the lesions, to the
        territories continued beyond the liver, and to the liver with its lesions.
      lung_shunt_fraction: (t,) measured lung shunt of each injection.
      data: constants of the patient.
      sources: the sources of `MeasurementErrors`, all of them; size 0 for one that is not considered. `uptake` only
        with `uptake_fraction`. `outside` may be omitted.
      key: random key.
      noise_fwhm_mm: width of the correlation of the noise (FWHM).
      noise_fraction: standard deviation of the noise relative to the mean concentration of the liver.
      uptake_fwhm_mm: width of the correlation of the uneven uptake within regions (FWHM).
      uptake_fraction: standard deviation of the uptake within regions, relative to its mean. None simulates only the
        unevenness that the image shows, noise included.
      relative_uptake: (n, i, j, k) shape of the uptake within each lesion, such as that of a cold core from
        `relative_core_uptake`. It belongs to the simulated truth. The estimate takes lesions as uniform, and the
        interval is freed from the bias that follows. None simulates what the image shows.
      aligned: whether the contours were aligned to the image by `partial_volume.align_masks`. The simulations then
        repeat it, and `shift_mm` is only the displacement that an alignment cannot find.
      count: number of simulated measurements, a power of two from 64.
      linear: whether to propagate linearly as well.
      probes: random directions of the second-order bias of each large source, see `propagate_linear`.
      budget_count: samples of each set of the budget; None omits it. Sources of size 0 are left out.
      batch_size: simulations that are computed together, which multiplies the memory.
      level: probability of the intervals.

    Raises:
      InputError: sources that are missing or unknown, another number of distances, a `relative_uptake` of another shape
        or with values that are negative or not finite, or as `propagate_samples`.
    """
    wanted = data.lesions + len(np.asarray(data.activity_mbq)) + 1
    if len(distance_mm) != wanted:
        raise InputError(f"distance_mm: expected {wanted}, of lesions, territories and liver, got {len(distance_mm)}")
    if relative_uptake is not None:
        uptake, shape = np.asarray(relative_uptake), (data.lesions, *np.shape(image))
        if uptake.shape != shape or not np.all(np.isfinite(uptake) & (uptake >= 0.0)):
            raise InputError(f"relative_uptake: expected finite numbers of at least 0 with the shape {shape}")
    expected, got = set(MeasurementErrors.__annotations__), {source.name for source in sources}
    if (uptake_fraction is None) != (uptake_fwhm_mm is None):
        raise InputError("uptake_fraction, uptake_fwhm_mm: expected both or none of them")
    if uptake_fraction is None:
        expected.remove("uptake")
    if "outside" not in got:
        expected.remove("outside")
    if expected != got:
        raise InputError(f"sources: missing {sorted(expected - got)}, unknown {sorted(got - expected)}")
    kept = len(np.asarray(data.fractions))
    wide = replace(data, fractions=np.concatenate([np.asarray(data.fractions, np.float32), VOLUMES]))
    known = _known(
        image, distance_mm, lung_shunt_fraction, wide, noise_fwhm_mm=noise_fwhm_mm, noise_fraction=noise_fraction,
        uptake_fwhm_mm=uptake_fwhm_mm, uptake_fraction=uptake_fraction,
        relative_uptake=relative_uptake, aligned=aligned,
    )  # fmt: skip
    sampling, directions, sets = jax.random.split(key, 3)
    sampled = propagate_samples(log_ratios, sources, sampling, args=(known,), count=count, batch_size=batch_size)
    # Without a known shape of the uptake, the truth that is simulated is the estimate.
    estimated = known.truth if known.estimate is None else known.estimate
    every = DoseMetrics(*(np.asarray(values, np.float64) for values in estimated))
    middle, unravel = _flat(transformed(every)), _unraveller(every)
    found = centred_interval(np.exp(middle), np.exp(sampled.samples), level=level)
    bands = [_doses(unravel(np.log(one))) for one in (found.median, found.lower, found.upper)]
    ratios, deviation = unravel(sampled.samples), unravel(found.log_standard_deviation)
    error, bias = unravel(sampled.standard_deviation_error), unravel(found.relative_bias)
    volumes = volume_intervals(every, kept, data.threshold_gy, bands, ratios)

    def narrow(doses: DoseMetrics, v_fraction: Float[Array, "..."]) -> DoseMetrics:
        return doses._replace(d_gy=doses.d_gy[..., :kept], v_fraction=v_fraction)

    estimate = narrow(every, every.v_fraction)
    median, lower, upper = (narrow(one, v) for one, v in zip(bands, volumes.bounds, strict=True))
    ratios, deviation = narrow(ratios, volumes.log_ratios), narrow(deviation, volumes.standard_deviation)
    error = narrow(error, volumes.standard_deviation_error)
    whole = known
    known = replace(known, data=data, estimate=None, truth=known.truth._replace(d_gy=known.truth.d_gy[:, :kept]))
    unravel = _unraveller(estimate)
    derivative = different = budget = budget_error = None
    if linear:
        derivative = _linear(sources, directions, known, probes)
        flags = deviations_differ(_flat(derivative.standard_deviation), _flat(deviation), _flat(error))
        different = unravel(flags)
    if budget_count is not None:
        used = [source.name for source in sources if np.any(np.asarray(source.size) > 0)]
        # The same program as that of the samples, with the doses of the whole histogram.
        parts = fractions_by_source(
            log_ratios, sources, sets, args=(whole,), count=budget_count, batch_size=batch_size, varied=used
        )
        divide = _unraveller(every)
        budget, budget_error = (
            {name: narrow(one, one.v_fraction) for name, one in ((name, divide(row)) for name, row in rows.items())}
            for rows in (parts.fraction, parts.error)
        )
    return TreatmentIntervals(
        estimate=estimate,
        median=median,
        lower=lower,
        upper=upper,
        relative_bias=narrow(bias, estimate.v_fraction - median.v_fraction),
        standard_deviation=deviation,
        standard_deviation_error=error,
        linear=derivative,
        differs=different,
        budget=budget,
        budget_error=budget_error,
        log_ratios=ratios,
    )


@functools.partial(jax.jit, static_argnames="aligned")
def _known(
    image: Array,
    distance_mm: Array,
    lung_shunt_fraction: Array,
    data: TreatmentData,
    *,
    noise_fwhm_mm: Scalar,
    noise_fraction: Scalar,
    uptake_fwhm_mm: Scalar | None = None,
    uptake_fraction: Scalar | None = None,
    relative_uptake: Array | None = None,
    aligned: bool = False,
) -> KnownTreatment:
    regions = regions_of(jnp.asarray(distance_mm), data.spacing_mm, lesions=data.lesions)
    shares = territory_shares(jnp.asarray(distance_mm), data.spacing_mm, lesions=data.lesions)
    synthetic, spread = region_model(image, regions, data, shares=shares, relative_uptake=relative_uptake)
    texture = None
    if uptake_fraction is not None and uptake_fwhm_mm is not None:
        texture = uptake_texture(
            image,
            spread,
            regions,
            distance_mm,
            data,
            uptake_fraction=uptake_fraction,
            uptake_fwhm_mm=uptake_fwhm_mm,
            noise_fraction=noise_fraction,
            noise_fwhm_mm=noise_fwhm_mm,
        )
    known = known_treatment(
        apply_model(image, synthetic, spread),
        distance_mm,
        lung_shunt_fraction,
        data,
        noise_fwhm_mm=noise_fwhm_mm,
        noise_fraction=noise_fraction,
        texture=texture,
    )
    if relative_uptake is not None:  # the estimate and the alignment take lesions as uniform
        synthetic, spread = region_model(image, regions, data, shares=shares)
        recovered = apply_model(image, synthetic, spread)
        estimate = doses_of_concentration(recovered, distance_mm, regions, shares, lung_shunt_fraction, data)
        known = replace(known, estimate=estimate)
    if not aligned:
        return known
    return replace(known, alignment=realignment(synthetic, regions, distance_mm, data, noise_scale=known.noise_scale))


def _essential(errors: MeasurementErrors, known: KnownTreatment) -> DoseMetrics:
    """Without BED and the doses of the histogram other than D70: each output takes one derivative."""
    found = log_ratios(errors, known)
    nearest = jnp.argmin(jnp.abs(jnp.asarray(known.data.fractions) - D70))
    return found._replace(d_gy=found.d_gy[:, nearest], bed_gy=found.bed_gy[:0])


def _linear(sources: Sequence[Source], key: PRNGKeyArray, known: KnownTreatment, probes: int) -> LinearIntervals:
    found = propagate_linear(_essential, sources, key, args=(known,), probes=probes)
    variance = np.maximum(found.standard_deviation**2, 1e-30)

    def spread(values: Float[np.ndarray, " m"]) -> DoseMetrics:
        vois, fractions = known.truth.d_gy.shape
        mean, d70, part, tn, lung = np.split(values, np.cumsum([vois, vois, vois, known.data.lesions]))
        rows = np.full((vois, fractions), np.nan)
        rows[:, int(np.argmin(np.abs(np.asarray(known.data.fractions) - D70)))] = d70
        return DoseMetrics(mean, rows, part, np.full(vois, np.nan), tn, lung)

    return LinearIntervals(
        standard_deviation=spread(found.standard_deviation),
        bias=spread(found.bias),
        budget={name: spread(row / variance) for name, row in found.variances.items()},
    )


def _flat(doses: DoseMetrics) -> Float[np.ndarray, " m"]:
    found: np.ndarray = np.concatenate([np.asarray(values, np.float64).ravel() for values in doses])
    return found


def _unraveller(like: DoseMetrics) -> Callable[[np.ndarray], DoseMetrics]:
    """Returns the function that divides (..., m) numbers into the shapes of doses."""
    shapes = [np.shape(values) for values in like]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def divide(values: np.ndarray) -> DoseMetrics:
        parts = np.split(values, ends, axis=-1)
        return DoseMetrics(*(p.reshape(*p.shape[:-1], *shape) for p, shape in zip(parts, shapes, strict=True)))

    return divide


def _doses(values: DoseMetrics) -> DoseMetrics:
    """The doses of logarithms, and the volume fractions of logits."""
    doses = DoseMetrics(*(np.exp(np.asarray(one, np.float64)) for one in values))
    return doses._replace(v_fraction=special.expit(np.asarray(values.v_fraction, np.float64)))
