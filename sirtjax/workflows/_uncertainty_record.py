"""The uncertainty of a plan or verification, as records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

UncertaintyMethod = Literal["samples", "eanm"]
UncertaintyMetric = Literal["mean", "D70", "V", "T/N", "BED", "TCP"]
IntervalStatus = Literal["interval", "no interval"]
SourceEvidence = Literal["measured", "assumed"]

# Spheres of the volume of a lesion: the intervals were validated from this radius on.
SMALLEST_RADIUS_MM = 6.0


@dataclass(frozen=True)
class UncertaintySource:
    """A source of uncertainty, as the intervals use it.

    Attributes:
      name: name of the source in the case, such as "calibration".
      sizes: standard deviations, in `unit`: one, or one per axis (left-right, front-back, head-feet) or per structure.
      unit: "mm", or "1" for a relative standard deviation.
      correlation_mm: distance over which a displacement or noise is correlated; None if that has no meaning.
      origin: publication or measurement that the size comes from.
      evidence: whether the size was measured for this patient or scanner, or is assumed.
      preset: name of the preset that states the source; None if the case does.
      expected: expected value in `unit` where the plan takes another one, such as the activity outside liver and lungs,
        which a plan takes as 0; None for all other sources.
    """

    name: str
    sizes: tuple[float, ...]
    unit: Literal["mm", "1"]
    correlation_mm: float | None
    origin: str
    evidence: SourceEvidence
    preset: str | None = None
    expected: float | None = None


@dataclass(frozen=True)
class Interval:
    """The uncertainty of one value, in the unit of the value.

    Attributes:
      median: value without the bias of the measurement, the middle of the interval.
      expectation: expectation of the true value.
      relative_bias: typical estimate divided by the true value, minus 1: what the correction leaves.
      standard_deviation: standard deviation of the true value by samples.
      standard_deviation_error: Monte Carlo standard error of `standard_deviation`.
      lower, upper: bounds of the interval, 5 and 95 % at a level of 0.9.
      linear_standard_deviation: standard deviation by linear propagation; None if it was not computed.
      differs: whether linear propagation and samples differ; the samples are then right.
      budget: fraction of the variance that each source explains without the others, by name; empty if not computed.
    """

    median: float
    expectation: float
    relative_bias: float
    standard_deviation: float
    standard_deviation_error: float
    lower: float
    upper: float
    linear_standard_deviation: float | None = None
    differs: bool = False
    budget: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class UncertaintyRow:
    """One dose metric of one VOI with its interval.

    Attributes:
      voi, kind: name and type of the VOI, as in `VoiResult`.
      metric: "mean", "D70", "V" (fraction of the volume that receives at least `threshold_gy`), "T/N", "BED" (mean) or
        "TCP".
      threshold_gy: dose of "V"; None for every other metric.
      unit: "Gy", or "1" for fractions and ratios.
      value: value of the plan or verification, without partial-volume correction.
      corrected: value after partial-volume correction; the interval belongs to this value.
      status: "interval", or "no interval" with its `reason`.
      reason: why there is no interval; empty otherwise.
      interval: the interval; None without one.
    """

    voi: str
    kind: str
    metric: UncertaintyMetric
    threshold_gy: float | None
    unit: Literal["Gy", "1"]
    value: float | None
    corrected: float | None
    status: IntervalStatus
    reason: str = ""
    interval: Interval | None = None


@dataclass(frozen=True)
class ActivityUncertainty:
    """One activity bound, or the activity of one injection or of all together, with its interval.

    Attributes:
      territory: territory of the injection; None for all injections together.
      name: objective that sets the bound, as in `BoundResult`; "activity" for the prescribed or delivered activity.
      side: "lower" or "upper" for a bound; None for an activity.
      value_mbq: activity of the plan, without partial-volume correction.
      corrected_mbq: the same with partial-volume correction; None if the objective has no corrected value.
      status, reason, interval: same as in `UncertaintyRow`, in MBq.
    """

    territory: str | None
    name: str
    side: Literal["lower", "upper"] | None
    value_mbq: float
    corrected_mbq: float | None
    status: IntervalStatus
    reason: str = ""
    interval: Interval | None = None


@dataclass(frozen=True)
class HistogramBand:
    """The cumulative dose-volume histogram of a VOI with its interval at each volume.

    Attributes:
      voi: name of the VOI.
      volume_percent: volumes, increasing.
      lower_gy, middle_gy, upper_gy: interval and middle of the dose that this volume receives at least.
    """

    voi: str
    volume_percent: tuple[float, ...]
    lower_gy: tuple[float, ...]
    middle_gy: tuple[float, ...]
    upper_gy: tuple[float, ...]


@dataclass(frozen=True)
class UncertaintyResult:
    """The intervals of a plan or verification.

    Attributes:
      method: "samples" of simulated measurements, or the formulas of the "eanm" guidance.
      level: probability of the intervals.
      samples: number of simulated measurements.
      budget_samples: simulated measurements of each set of the budget; None without a budget.
      seed: seed of the samples.
      status: "intervals", or "refused" with its `message`.
      message: why there are no intervals, in one sentence; empty otherwise.
      fwhm_mm: resolution of the activity image that correction and intervals use.
      spacing_mm: voxel spacing of the grid of the simulations.
      sources: every source, with its size, origin and evidence.
      not_included: sources that the intervals do not contain, one sentence each.
      rows: one row per VOI and metric.
      bounds: one row per activity bound.
      activities: one row per injection, and one for all together.
      histograms: one band per VOI.
    """

    method: UncertaintyMethod
    level: float
    samples: int
    budget_samples: int | None
    seed: int
    status: Literal["intervals", "refused"]
    message: str
    fwhm_mm: float
    spacing_mm: tuple[float, float, float] | None
    sources: tuple[UncertaintySource, ...]
    not_included: tuple[str, ...]
    rows: tuple[UncertaintyRow, ...] = ()
    bounds: tuple[ActivityUncertainty, ...] = ()
    activities: tuple[ActivityUncertainty, ...] = ()
    histograms: tuple[HistogramBand, ...] = ()

    def row(self, voi: str, metric: UncertaintyMetric, *, threshold_gy: float | None = None) -> UncertaintyRow:
        """Returns the row of a VOI and metric.

        Args:
          voi: name of the VOI.
          metric: metric of the row.
          threshold_gy: dose of "V"; None takes the first.

        Raises:
          KeyError: there is no such row.
        """
        for row in self.rows:
            if row.voi == voi and row.metric == metric and threshold_gy in (None, row.threshold_gy):
                return row
        raise KeyError((voi, metric, threshold_gy))
