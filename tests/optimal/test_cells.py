"""Voxels grouped into cells: volume and mean dose are kept, and a quantile hardly moves."""

import numpy as np
import pytest

from sirtjax.optimal._cells import dose_cells


def test_cells_keep_mean_and_quantiles():
    rng = np.random.default_rng(1)
    dose, weight = rng.gamma(3, 1.0, (20000, 3)), rng.uniform(0.1, 1, 20000)
    cells, filled = dose_cells(dose, weight, 1024)
    assert cells.shape == (1024, 3)
    assert filled.sum() == pytest.approx(weight.sum())
    assert filled @ cells / filled.sum() == pytest.approx(weight @ dose / weight.sum())
    for activity in ([1.0, 0.0, 0.0], [1.0, 2.0, 0.5]):
        for fraction in (0.3, 0.7):
            exact = np.quantile(dose @ activity, fraction, weights=weight, method="inverted_cdf")
            found = np.quantile(cells @ activity, fraction, weights=filled, method="inverted_cdf")
            assert found == pytest.approx(exact, rel=0.03)


def test_few_voxels_are_unchanged():
    dose, weight = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.asarray([1.0, 0.0, 2.0])
    cells, filled = dose_cells(dose, weight, 4)
    assert cells[:2].tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert filled.tolist() == [1.0, 2.0, 0.0, 0.0]
