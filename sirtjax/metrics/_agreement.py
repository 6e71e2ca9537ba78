"""Agreement of two measurements of the same things: differences, limits of agreement, correlation, concordance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import InputError

FEWEST = 3
# Of the normal distribution: 95 % of the differences are within this many standard deviations.
LIMIT_SD = 1.96
CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The agreement of two lists of paired values.

    Attributes:
      count: number of pairs.
      bias: mean difference, second minus first, in the unit of the values.
      bias_interval: 95 % confidence interval of the bias.
      lower_limit, upper_limit: limits of agreement, bias minus and plus 1.96 standard deviations.
      lower_interval, upper_interval: 95 % confidence intervals of the limits.
      pearson: linear correlation; None if one of the lists is constant.
      spearman: rank correlation; None if one of the lists is constant.
      concordance: Lin's concordance correlation coefficient; None if both lists are constant and equal.
    """

    count: int
    bias: float
    bias_interval: Interval
    lower_limit: float
    upper_limit: float
    lower_interval: Interval
    upper_interval: Interval
    pearson: float | None
    spearman: float | None
    concordance: float | None


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Compares paired values by Bland and Altman's limits of agreement and by three correlations.

    The standard error of a limit is s * sqrt(1/n + 1.96^2 / (2 (n - 1))), with t quantiles for the intervals.

    Args:
      first: values of one method, such as planned doses.
      second: values of the other method in the same order, such as delivered doses.

    Raises:
      InputError: lists of different length, fewer than three pairs, or a value that is not finite.

    Reference:
      Bland and Altman, Lancet 327 (1986) 307; Lin, Biometrics 45 (1989) 255.

    Examples:
      >>> from sirtjax import metrics
      >>> found = metrics.agreement([100.0, 150.0, 210.0], [110.0, 165.0, 215.0])
      >>> round(found.bias, 6), round(found.spearman, 6)
      (10.0, 1.0)
    """
    from scipy import stats  # half a second, which no other figure needs

    one, two = _values("first", first), _values("second", second)
    if len(one) != len(two):
        raise InputError(f"{len(one)} and {len(two)} values; agreement needs pairs")
    count = len(one)
    difference = two - one
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1))
    of_bias = quantile * spread / float(np.sqrt(count))
    of_limit = quantile * spread * float(np.sqrt(1 / count + LIMIT_SD**2 / (2 * (count - 1))))
    lower, upper = bias - LIMIT_SD * spread, bias + LIMIT_SD * spread
    varied = bool(np.ptp(one) > 0 and np.ptp(two) > 0)
    return Agreement(
        count=count,
        bias=bias,
        bias_interval=(bias - of_bias, bias + of_bias),
        lower_limit=lower,
        upper_limit=upper,
        lower_interval=(lower - of_limit, lower + of_limit),
        upper_interval=(upper - of_limit, upper + of_limit),
        pearson=float(np.corrcoef(one, two)[0, 1]) if varied else None,
        spearman=float(np.corrcoef(stats.rankdata(one), stats.rankdata(two))[0, 1]) if varied else None,
        concordance=_concordance(one, two),
    )


def _concordance(one: NDArray[np.float64], two: NDArray[np.float64]) -> float | None:
    """2 s12 / (s1^2 + s2^2 + (m1 - m2)^2), with sums divided by n as in Lin's estimate."""
    scale = float(one.var() + two.var() + (one.mean() - two.mean()) ** 2)
    if scale == 0:
        return None
    return 2 * float(((one - one.mean()) * (two - two.mean())).mean()) / scale


def _values(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if len(array) < FEWEST:
        raise InputError(f"{name}: too few values ({len(array)}); agreement needs at least {FEWEST} pairs")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: a value is not finite; omit the pair")
    return array
