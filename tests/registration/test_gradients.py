"""Derivatives of a registration through the recorded steps of its optimiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_gradients as small

from sirtjax import registration
from sirtjax.registration._optimize import minimise


def test_slopes_through_adam_are_finite_where_a_slope_is_zero_and_right_elsewhere():
    def reached(target):
        def objective(at, key):
            # The second number has no slope at all.
            value = (at[0] - target) ** 4 + 0.0 * at[1]
            return value, value[None]

        found, _ = minimise(objective, jnp.zeros(2), jax.random.key(0), steps=12, step_mm=0.1)
        return found[0] + found[1]

    slope = jax.jit(jax.grad(reached))(3.0)
    run = jax.jit(reached)
    assert np.isfinite(slope)
    assert slope == pytest.approx(float(run(3.05) - run(2.95)) / 0.1, rel=0.02)


SMALL_STEPS = (1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02)


def check(config, *, h, tolerance):
    pair, weights, key = small.pair(), registration.weights_of(config.weights), jax.random.key(0)

    # The pair is an argument, not a constant: XLA would work out at length what depends on constants alone.
    @jax.jit
    @jax.value_and_grad
    def place(theta, pair, weights):
        images, terms = small.changed(theta, pair, weights)
        solution = registration.solve(images, terms, key, config=config)
        return small.lesion_place(solution.affine, solution.displacement_mm, images)

    found = place(np.zeros(len(small.CHANGES), np.float32), pair, weights)[1]
    expected = small.differences(lambda theta: place(theta, pair, weights)[0], h=h)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-5)
    return found
