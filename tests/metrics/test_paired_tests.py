import numpy as np
import pytest
from scipy import stats

from sirtjax.errors import InputError
from sirtjax.metrics import kruskal_wallis_test, paired_test


def test_a_signed_rank_test_by_hand():
    """Six differences of one sign: of the 64 equally likely patterns of signs two are as extreme."""
    first = [0.9, 0.91, 0.92, 0.93, 0.94, 0.1]
    second = [0.88, 0.88, 0.88, 0.87, 0.86, -0.2]
    found = paired_test(first, second)
    assert found.test == "Wilcoxon signed-rank" and min(found.normality_p) < 0.05
    assert found.p == pytest.approx(2 / 64)
    assert found.significant and found.count == 6
    assert found.mean_difference == pytest.approx(np.mean(np.subtract(first, second)))


def test_a_t_test_by_hand():
    first, second = np.array([3.0, 5.0, 4.0, 6.0, 7.0]), np.array([2.0, 4.5, 4.0, 5.0, 5.5])
    found = paired_test(first, second)
    differences = first - second
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(5))
    assert found.test == "paired t" and min(found.normality_p) > 0.05
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4))
    assert paired_test(second, first).p == pytest.approx(found.p)
    assert paired_test(second, first).mean_difference == pytest.approx(-found.mean_difference)


def test_normality_is_judged_for_each_model():
    """Values, not differences, as in the thesis: one model with an outlier is enough for ranks."""
    even = np.linspace(0.8, 0.95, 12)
    outlier = even - 0.01
    outlier[0] = 0.0
    found = paired_test(even, outlier)
    assert found.normality_p[0] > 0.05 > found.normality_p[1]
    assert found.test == "Wilcoxon signed-rank"


def test_equal_differences_are_not_a_t_test_of_rounding_errors():
    found = paired_test([0.84, 0.8, 0.81, 0.95], [0.85, 0.81, 0.82, 0.96])
    assert found.test == "Wilcoxon signed-rank" and min(found.normality_p) > 0.05
    assert found.p == pytest.approx(2 / 16)  # two of the 16 patterns of signs


@pytest.mark.parametrize("seed", range(20))
def test_ties_of_values_with_two_digits(seed):
    """Judge: the same values as integers, whose differences are exact."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(85, 98, 9))
    first[0] = 0  # not normally distributed
    second = first + rng.choice([-2, -1, 0, 1, 1, 2, 3], 9)
    found, judge = paired_test(first / 100, second / 100), stats.wilcoxon(first - second)
    assert found.test == "Wilcoxon signed-rank"
    assert found.p == pytest.approx(judge.pvalue, rel=1e-12)


def test_values_that_differ_only_by_rounding():
    first = np.array([0.1 + 0.2, 0.7, 0.9])
    second = np.array([0.3, 0.1 * 7, 0.3 * 3])
    assert not np.array_equal(first, second)
    assert paired_test(first, second).p == 1


def test_small_values_keep_their_differences():
    first, second = np.array([3.0, 5.0, 4.0, 6.0, 7.0]) * 1e-7, np.array([2.0, 4.5, 4.0, 5.0, 5.5]) * 1e-7
    assert paired_test(first, second).p == pytest.approx(paired_test(first * 1e7, second * 1e7).p)


def test_models_that_are_the_same():
    values = [0.9, 0.8, 0.95]
    assert paired_test(values, values).p == 1 and not paired_test(values, values).significant
    assert kruskal_wallis_test([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]) == 1


def test_kruskal_and_wallis_by_hand():
    groups = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    # H = 12 / (N (N + 1)) sum R^2 / n - 3 (N + 1) with rank sums 6, 15, 24.
    h = 12 / 90 * (36 + 225 + 576) / 3 - 30
    assert kruskal_wallis_test(groups) == pytest.approx(stats.chi2.sf(h, 2))
    assert kruskal_wallis_test(groups[::-1]) == pytest.approx(kruskal_wallis_test(groups))


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(InputError, match="3 and 4 values; a paired test needs the same cases for both"):
        paired_test([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(InputError, match="first: 2 values; the tests need at least 3 cases"):
        paired_test([1, 2], [1, 2])
    with pytest.raises(InputError, match="second: a value is not a number; omit the case on both sides"):
        paired_test([1, 2, 3], [1, np.nan, 3])
    with pytest.raises(InputError, match="needs at least two groups"):
        kruskal_wallis_test([[1.0, 2.0, 3.0]])
