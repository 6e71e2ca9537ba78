"""Gradients without dose, activity or counts, against one-sided differences in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from sirtjax import dosimetry as d
from sirtjax.dosimetry._outcome_formulas import OutcomeRay, best_multiple, ray_tcp

LINEAR, QUADRATIC = np.array([0.1, 0.06]), np.array([0.0, 2e-5])


def ray(linear=LINEAR):
    numbers = [linear, QUADRATIC, 120.0, 1.2, 0.02, 0.0, 50.0, 0.3]
    return OutcomeRay(*(jnp.asarray(number, jnp.float32) for number in numbers))


def tcp(dose, d50=292.0, gamma50=0.8):
    return 1.0 / (1.0 + (d50 / dose) ** (4 * gamma50)) if dose > 0 else 0.0


def rise(function, step=1e-6):
    return (function(step) - function(0.0)) / step


def plan_tcp(multiple):
    return np.prod([tcp(a * multiple + b * multiple**2, 120.0, 1.2) for a, b in zip(LINEAR, QUADRATIC, strict=True)])


def test_tcp_of_a_lesion_without_dose():
    dose = jnp.asarray([0.0, 250.0])
    found = jax.grad(lambda gy: d.tcp_logit(gy, d50_gy=292.0, gamma50=0.8).mean())(dose)
    judge = [rise(tcp) / 2, (tcp(250.001) - tcp(249.999)) / 0.002 / 2]
    np.testing.assert_allclose(found, judge, rtol=1e-4, atol=1e-9)
    for argument in ("d50_gy", "gamma50"):
        numbers = {"d50_gy": 292.0, "gamma50": 0.8}
        assert jax.grad(lambda x, name=argument, all=numbers: d.tcp_logit(0.0, **(all | {name: x})))(1.0) == 0.0


def test_tcp_of_a_plan_without_activity():
    value, slope = jax.value_and_grad(ray_tcp)(jnp.float32(0.0), ray())
    assert value == 0.0
    assert float(slope) == pytest.approx(rise(plan_tcp), abs=1e-9)
    by_ray = jax.grad(ray_tcp, argnums=1)(jnp.float32(0.0), ray())
    assert all(np.all(np.asarray(one) == 0.0) for one in by_ray)


@pytest.mark.slow
def test_best_multiple_if_the_limits_allow_no_activity():
    best, slope = jax.value_and_grad(lambda most: best_multiple(ray(), most))(jnp.float32(0.0))
    assert best == 0.0
    assert slope == 1.0  # the limit decides, and the best multiple follows it
    by_ray = jax.grad(lambda one: best_multiple(one, jnp.float32(0.0)))(ray())
    assert all(np.all(np.asarray(one) == 0.0) for one in by_ray)


def test_best_multiple_with_a_target_that_no_activity_reaches():
    def judge(liver_d50):
        multiples = np.linspace(1.0, 2400.0, 2_000_001)
        value = -np.log1p((120.0 / (0.1 * multiples)) ** 4.8)
        value += special.log_ndtr((liver_d50 - 0.02 * multiples) / (0.3 * liver_d50))
        return multiples[np.argmax(value)]

    given = ray(np.array([0.1, 0.0]))._replace(tumour_quadratic=jnp.zeros(2))
    best, slope = jax.value_and_grad(lambda d50: best_multiple(given._replace(liver_d50_gy=d50), jnp.inf))(50.0)
    assert float(best) == pytest.approx(judge(50.0), rel=1e-4)
    assert float(slope) == pytest.approx((judge(51.0) - judge(49.0)) / 2, rel=0.01)


@pytest.mark.parametrize("anterior", [90.0, 100.0])
def test_counts_at_or_below_their_background(anterior):
    def mean(front, back):
        return d.geometric_mean_counts(front, back, anterior_background_counts=100.0)

    value, slopes = jax.value_and_grad(mean, argnums=(0, 1))(anterior, 400.0)
    assert value == 0.0
    assert [float(one) for one in slopes] == [0.0, 0.0]


def test_counts_above_their_background():
    slopes = jax.grad(d.geometric_mean_counts, argnums=(0, 1))(400.0, 100.0)
    np.testing.assert_allclose(slopes, [0.25, 1.0], rtol=1e-6)
