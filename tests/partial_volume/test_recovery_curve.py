import jax
import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.partial_volume import recovery_from_curve

VOLUMES_ML, RECOVERY = np.array([0.52, 1.15, 2.57, 26.5]), np.array([0.2, 0.35, 0.5, 0.86])


def test_linear_in_the_logarithm_of_the_volume():
    found = recovery_from_curve(
        np.array([0.52, np.sqrt(0.52 * 1.15), 2.57, np.sqrt(2.57 * 26.5), 26.5]), VOLUMES_ML, RECOVERY
    )
    np.testing.assert_allclose(found, [0.2, 0.275, 0.5, 0.68, 0.86], rtol=1e-5)


def test_no_extrapolation():
    found = np.asarray(recovery_from_curve(np.array([0.2, 0.5, 27.0, 1500.0]), VOLUMES_ML, RECOVERY))
    assert np.isnan(found).all()


def test_gradient_by_volume_under_jit():
    found = jax.jit(jax.grad(lambda v: recovery_from_curve(v, VOLUMES_ML, RECOVERY)))(10.0)
    slope = 0.36 / np.log(26.5 / 2.57) / 10.0
    assert float(found) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("volumes", "recovery", "message"),
    [
        ([1.0], [0.5], "expected two lists of equal length from 2"),
        ([1.0, 2.0], [0.5], "expected two lists of equal length"),
        ([2.0, 1.0], [0.5, 0.6], "curve_volume_ml: expected increasing volumes"),
        ([1.0, 2.0], [0.5, 1.2], "curve_recovery: expected at most 1"),
        ([1.0, 2.0], [0.0, 0.5], "curve_recovery: expected positive"),
    ],
)
def test_wrong_inputs(volumes, recovery, message):
    with pytest.raises(InputError, match=message):
        recovery_from_curve(1.5, np.array(volumes), np.array(recovery))
