"""Points of a histogram and their derivatives, against sorted voxels and normal distributions."""

import jax
import numpy as np
import pytest
from scipy import stats

from sirtjax.uncertainty._histogram import histogram_points

RNG = np.random.default_rng(5)
FRACTIONS = np.array([0.3, 0.7], np.float32)


@pytest.mark.slow
def test_the_derivative_of_a_factor_and_a_shift():
    dose = RNG.normal(200.0, 30.0, 400).astype(np.float32)
    weight = RNG.uniform(0.2, 1.0, 400).astype(np.float32)

    def points(factor, shift):
        return histogram_points(dose * factor + shift, weight, FRACTIONS, np.float32(180.0))

    (levels, part), (by_factor, part_step) = jax.jvp(lambda f: points(f, 0.0), (1.0,), (1.0,))
    np.testing.assert_allclose(by_factor, levels, rtol=0.02)  # the levels are multiplied
    _, (by_shift, _) = jax.jvp(lambda s: points(1.0, s), (0.0,), (1.0,))
    np.testing.assert_allclose(by_shift, 1.0, rtol=1e-4)
    # V above 180 Gy changes by the density there times the change of 180 Gy.
    expected = stats.norm.pdf(180.0, 200.0, 30.0) * 180.0
    assert float(part_step) == pytest.approx(expected, rel=0.15) and 0.6 < float(part) < 0.85


@pytest.mark.slow
def test_the_derivative_of_a_random_field_is_that_of_its_mean_at_the_level():
    x = np.linspace(-1.0, 1.0, 3000)
    dose = (100.0 + 20.0 * x).astype(np.float32)
    change = (5.0 * x + RNG.normal(0.0, 3.0, x.size)).astype(np.float32)  # noise that no single voxel should decide
    weight = np.ones_like(dose)
    _, (step, _) = jax.jvp(
        lambda t: histogram_points(dose + t * change, weight, FRACTIONS, np.float32(100.0)), (0.0,), (1.0,)
    )
    np.testing.assert_allclose(step, 5.0 * np.array([0.4, -0.4]), atol=0.5)
    gradient = jax.grad(lambda w: histogram_points(dose, w, FRACTIONS, np.float32(100.0))[0][1])(weight)
    # More volume of the hottest voxels raises D70 by (1 - 0.7) over the density of the volume.
    assert float(gradient[-1]) == pytest.approx(0.3 / (3000 / 40.0), rel=0.1)
    assert float(gradient[0]) == pytest.approx(-0.7 / (3000 / 40.0), rel=0.1)
