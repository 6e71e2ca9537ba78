import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax.dosimetry import (
    dose_at_volume_fraction_gy,
    pack_voi,
    smooth_cumulative_dvh,
    smooth_differential_dvh_per_gy,
    smooth_dose_at_volume_fraction_gy,
    smooth_volume_fraction_at_dose,
    volume_fraction_at_dose,
)

_rng = np.random.default_rng(1)
DOSE = _rng.gamma(3.0, 30.0, 400).astype(np.float32)
WEIGHT = _rng.uniform(0.05, 1, 400).astype(np.float32)


quantile = jax.jit(smooth_dose_at_volume_fraction_gy)


def test_by_hand():
    # 73.1 % of the voxel one bandwidth above and 26.9 % of the one below.
    found = smooth_volume_fraction_at_dose(jnp.array([52.0, 48.0]), jnp.array([1.0, 0.5]), 50.0, bandwidth_gy=2.0)
    assert found == pytest.approx((0.7310586 + 0.5 * 0.2689414) / 1.5, rel=1e-5)


def test_median_of_two_equal_voxels_is_their_mean():
    found = smooth_dose_at_volume_fraction_gy(jnp.array([40.0, 60.0]), jnp.array([1.0, 1.0]), 0.5, bandwidth_gy=3.0)
    assert found == pytest.approx(50.0, abs=1e-3)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.7, 0.98])
@pytest.mark.slow
def test_tends_to_the_exact_form(fraction):
    dose, weight = pack_voi(DOSE, WEIGHT)
    exact = float(dose_at_volume_fraction_gy(dose, weight, fraction))
    errors = [abs(float(quantile(dose, weight, fraction, bandwidth_gy=h)) - exact) for h in (16.0, 4.0, 0.25)]
    assert errors[2] < 0.6
    assert errors[2] < errors[0]
    counted = smooth_volume_fraction_at_dose(dose, weight, 90.0, bandwidth_gy=0.05)
    assert counted == pytest.approx(float(volume_fraction_at_dose(dose, weight, 90.0)), abs=2e-3)


def test_d_and_v_are_inverse():
    level = quantile(DOSE, WEIGHT, 0.7, bandwidth_gy=5.0)
    assert smooth_volume_fraction_at_dose(DOSE, WEIGHT, level, bandwidth_gy=5.0) == pytest.approx(0.7, abs=1e-5)


def test_curves():
    doses = jnp.linspace(-80.0, 480.0, 561)
    curve = jax.jit(smooth_cumulative_dvh)(DOSE, WEIGHT, doses, bandwidth_gy=4.0)
    assert (np.diff(curve) <= 1e-6).all()
    per_gy = smooth_differential_dvh_per_gy(DOSE, WEIGHT, doses, bandwidth_gy=4.0)
    assert np.trapezoid(per_gy, doses) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(-np.gradient(curve, doses), per_gy, atol=2e-5)


@pytest.mark.slow
def test_gradients_and_jit():
    dose, weight = jnp.asarray(DOSE[:40]), jnp.asarray(WEIGHT[:40])

    def v70(dose, weight, threshold):
        return smooth_volume_fraction_at_dose(dose, weight, threshold, bandwidth_gy=8.0)

    def d70(dose, weight, fraction):
        return smooth_dose_at_volume_fraction_gy(dose, weight, fraction, bandwidth_gy=8.0)

    check_grads(jax.jit(v70), (dose, weight, 70.0), order=1, modes=("fwd", "rev"), rtol=2e-2, atol=1e-4, eps=1e-2)
    check_grads(jax.jit(d70), (dose, weight, 0.7), order=1, modes=("fwd", "rev"), rtol=3e-2, atol=2e-3, eps=1e-2)
    assert jax.jit(jax.grad(d70))(dose, weight, 0.7).sum() == pytest.approx(1.0, rel=1e-5)
    assert jax.jit(d70)(dose, weight, 0.7) == pytest.approx(float(d70(dose, weight, 0.7)), rel=1e-6)


def test_scaling_the_activity_scales_d70():
    # d(D70)/d(activity) at unit dose per activity is D70 itself where the bandwidth is small.
    def d70(activity):
        return quantile(activity * jnp.asarray(DOSE), WEIGHT, 0.7, bandwidth_gy=activity * 2.0)

    assert jax.grad(d70)(1.0) == pytest.approx(float(d70(1.0)), rel=0.02)


def test_maps_over_vois():
    dose, weight = jnp.stack([DOSE, DOSE[::-1] * 2]), jnp.stack([WEIGHT, WEIGHT[::-1]])
    one, two = jax.vmap(lambda d, w: quantile(d, w, 0.5, bandwidth_gy=1.0))(dose, weight)
    assert two == pytest.approx(2 * float(one), rel=2e-2)
