from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sirtjax.errors import InputError

LEVEL = 0.05
# Of Shapiro and Wilk's test.
_FEWEST = 3
# Differences are rounded to this fraction of the largest value. Rounding errors are about 1e-16 of it.
_RESOLUTION = 1e-9


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """A statistical test whether two models differ in a metric over the same cases.

    Attributes:
      test: t-test if the values of both models are normally distributed, otherwise Wilcoxon's signed-rank test.
      p: two-sided p value of the test; 1 if no case differs.
      mean_difference: mean difference of the first model's values minus the second's.
      normality_p: p value of Shapiro and Wilk's test for the values of each model.
      count: number of pairs.
    """

    test: Literal["paired t", "Wilcoxon signed-rank"]
    p: float
    mean_difference: float
    normality_p: tuple[float, float]
    count: int

    @property
    def significant(self) -> bool:
        """Whether p is below 0.05."""
        return self.p < LEVEL


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compares two models over the same cases, as in the thesis (4.3.4).

    Shapiro and Wilk's test says whether the values of a model are normally distributed; if both are, at a level of
    0.05, a paired t-test follows, otherwise Wilcoxon's signed-rank test. Differences are rounded to 1e-9 of the
    largest absolute value, so that equal differences such as 0.16 - 0.15 and 0.92 - 0.91 are ties.

    Args:
      first: values of one model, one number per case.
      second: values of the other model, in the same order.

    Raises:
      InputError: lists of different length, fewer than three pairs, or a value that is not a number.
    """
    from scipy import stats  # half a second, which no other figure needs

    one, two = _values("first", first), _values("second", second)
    if len(one) != len(two):
        raise InputError(f"{len(one)} and {len(two)} values; a paired test needs the same cases for both")
    normality = _normality(one), _normality(two)
    differences = _rounded_differences(one, two)
    if not differences.any():
        test: Literal["paired t", "Wilcoxon signed-rank"] = "Wilcoxon signed-rank"
        p = 1.0
    elif min(normality) >= LEVEL and np.ptp(differences) > 0:
        test, p = "paired t", float(stats.ttest_rel(one, two).pvalue)
    else:
        test, p = "Wilcoxon signed-rank", float(stats.wilcoxon(differences).pvalue)
    return PairedTest(test=test, p=p, mean_difference=float(np.mean(one - two)), normality_p=normality, count=len(one))


def kruskal_wallis_test(groups: Sequence[Sequence[float]]) -> float:
    """Returns the p value of the Kruskal-Wallis test of several groups.

    The groups need not be of the same cases.

    Raises:
      InputError: fewer than two groups, fewer than three values in one, or a value that is not a number.
    """
    from scipy import stats  # half a second, which no other figure needs

    values = [_values(f"group {number}", group) for number, group in enumerate(groups, start=1)]
    if len(values) < 2:
        raise InputError("the test of Kruskal and Wallis needs at least two groups")
    if np.ptp(np.concatenate(values)) == 0:
        return 1.0
    return float(stats.kruskal(*values).pvalue)


def _values(name: str, values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if len(array) < _FEWEST:
        raise InputError(f"{name}: {len(array)} values; the tests need at least {_FEWEST} cases")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: a value is not a number; omit the case on both sides")
    return array


def _rounded_differences(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences in whole steps of the resolution: only their order and their zeros count."""
    largest = max(float(np.abs(one).max()), float(np.abs(two).max()))
    return np.zeros_like(one) if largest == 0 else np.round((one - two) / (largest * _RESOLUTION))


def _normality(values: NDArray[np.float64]) -> float:
    from scipy import stats  # half a second, which no other figure needs

    # If all values are equal, the test is not defined.
    return 0.0 if np.ptp(values) == 0 or math.isclose(np.ptp(values), 0) else float(stats.shapiro(values).pvalue)
