"""Agreement of paired values against the published example of Bland and Altman, SciPy and manual calculation."""

import numpy as np
import pytest
from scipy import stats

from sirtjax.errors import InputError
from sirtjax.metrics import agreement

# Peak expiratory flow, l/min: the first measurement with each meter (Bland and Altman, Lancet 327 (1986) 307, table 1).
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_the_example_of_bland_and_altman():
    """Published: bias -2.1 (-22.0 to 17.8), standard deviation 38.8, lower limit (mean - 2 s) -79.7."""
    found = agreement(MINI, LARGE)
    assert found.count == 17
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert found.bias_interval == (pytest.approx(-22.0, abs=0.1), pytest.approx(17.8, abs=0.1))
    assert (found.upper_limit - found.lower_limit) / (2 * 1.96) == pytest.approx(38.8, abs=0.05)
    # The article uses 2 s and a standard error of sqrt(3 / n) s: half a width of 2.12 * 16.3.
    assert found.lower_interval[1] - found.lower_limit == pytest.approx(2.12 * 38.8 * np.sqrt(3 / 17), rel=0.01)
    assert found.upper_interval[1] - found.upper_limit == pytest.approx(found.lower_limit - found.lower_interval[0])


def test_correlations_are_those_of_scipy():
    found = agreement(MINI, LARGE)
    assert found.pearson == pytest.approx(stats.pearsonr(MINI, LARGE).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(MINI, LARGE).statistic)


def test_concordance_by_hand():
    """Means 2 and 3, variances 2/3 each, covariance 2/3: 2 * 2/3 / (2/3 + 2/3 + 1) = 4/7; correlation stays 1."""
    found = agreement([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    assert found.concordance == pytest.approx(4 / 7)
    assert found.pearson == pytest.approx(1.0)
    assert (found.bias, found.lower_limit, found.upper_limit) == (1.0, 1.0, 1.0)


def test_equal_values_have_no_correlation_but_no_difference_either():
    found = agreement([5.0, 5.0, 5.0], [5.0, 5.0, 5.0])
    assert (found.pearson, found.spearman, found.concordance, found.bias) == (None, None, None, 0.0)


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0], r"first: too few values \(2\); agreement needs at least 3 pairs"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], "3 and 4 values; agreement needs pairs"),
        ([1.0, 2.0, 3.0], [1.0, float("nan"), 3.0], "second: a value is not finite"),
    ],
)
def test_what_has_no_agreement_is_refused(one, two, message):
    with pytest.raises(InputError, match=message):
        agreement(one, two)
