from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from sirtjax.config import Table

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
# Nothing is estimated to be better or worse than what the calibration could have seen.
ERROR_RANGE = (0.02, 0.6)


class EvidenceWeight(Table):
    """One term of the regression: `weight` times the standardised evidence.

    Attributes:
      name: name of the evidence, see `mask_evidence`.
      low: lower limit, the 1st percentile of the calibration cases; smaller values are replaced by it.
      high: upper limit; larger values are replaced by it.
      centre: mean of the calibration cases.
      scale: standard deviation of the calibration cases.
      weight: change of the logarithm of 1 - DSC by one standard deviation.
    """

    name: str
    low: Finite
    high: Finite
    centre: Finite
    scale: Positive
    weight: Finite

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("`low` must be below `high`")
        return self

    def term(self, value: float) -> float:
        """Returns its contribution to the logarithm of 1 - DSC.

        For a value that is not finite, the worst contribution.
        """
        worst = self.high if self.weight > 0 else self.low
        known = value if math.isfinite(value) else worst
        return self.weight * (min(max(known, self.low), self.high) - self.centre) / self.scale


class Regression(Table):
    """A linear regression of the logarithm of 1 - DSC.

    Attributes:
      terms: one term per evidence.
      intercept: constant to which the terms are added.
      flag_limit: a lower estimate by only this regression raises the flag; None for the limit of the calibration. An
        estimate is near the mean of masks with the same evidence, some of which are worse.
    """

    terms: Annotated[tuple[EvidenceWeight, ...], Field(min_length=1)]
    intercept: Finite
    flag_limit: Fraction | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({term.name for term in self.terms}) != len(self.terms):
            raise ValueError("`terms` must name each evidence once")
        return self


class QualityCalibration(Table):
    """The estimate of a mask's DSC from evidence; fitted by `benchmarks/segmentation_quality.py`.

    Attributes:
      regressions: regression of all evidence, fitted to digital phantoms, and regression of only the shape, also fitted
        to degraded outlines. The worse result of both counts, because a network can be certain of a wrong result.
      low_quantile: number added to the logarithm for the best end of a 90 % interval.
      high_quantile: number added to the logarithm for the worst end of a 90 % interval.
      limit: a mask with a lower DSC is poor; a lower estimate raises the flag.
      source: the cases it was fitted to.
    """

    regressions: Annotated[tuple[Regression, ...], Field(min_length=1)]
    low_quantile: Finite
    high_quantile: Finite
    limit: Fraction = 0.9
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low_quantile <= 0 <= self.high_quantile:
            raise ValueError("`low_quantile` must not be above 0, `high_quantile` not below")
        return self


@dataclass(frozen=True, kw_only=True)
class QualityEstimate:
    """The expected quality of a mask, estimated without a review.

    Attributes:
      dsc: estimated Dice similarity with the true organ.
      low: lower end of the 90 % interval.
      high: upper end of the 90 % interval.
      limit: DSC below which a mask is poor.
      doubtful: whether the estimate is below the limit, or that of one regression below its own limit.
      evidence: evidence by name, from which the DSC was estimated.
      reasons: names of the evidence that lowers the estimate, the one with the largest effect first.
    """

    dsc: float
    low: float
    high: float
    limit: float
    doubtful: bool
    evidence: Mapping[str, float]
    reasons: tuple[str, ...]


def estimate_quality(calibration: QualityCalibration, found: Mapping[str, float]) -> QualityEstimate:
    """Returns the estimate of a mask's DSC.

    Args:
      calibration: calibration of the model that segmented the mask.
      found: evidence by name; missing or not finite counts as the worst.
    """
    every = [
        (one.intercept, {term.name: term.term(found.get(term.name, math.nan)) for term in one.terms})
        for one in calibration.regressions
    ]
    levels = [intercept + math.fsum(terms.values()) for intercept, terms in every]
    level = max(levels)
    raising = [
        own
        for own, one in zip(levels, calibration.regressions, strict=True)
        if 1 - math.exp(own) < max(one.flag_limit or 0.0, calibration.limit)
    ]
    # The reasons are those of the regression that raises the flag.
    terms = every[levels.index(max(raising or levels))][1]
    ends = (level + calibration.high_quantile, level, level + calibration.low_quantile)
    low, dsc, high = (1 - min(max(math.exp(one), ERROR_RANGE[0]), ERROR_RANGE[1]) for one in ends)
    order = sorted((name for name in terms if terms[name] > 0), key=lambda name: -terms[name])
    return QualityEstimate(
        dsc=dsc, low=low, high=high, limit=calibration.limit, doubtful=bool(raising),
        evidence=dict(found), reasons=tuple(order),
    )  # fmt: skip
