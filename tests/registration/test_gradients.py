"""Derivatives of a registration through the recorded steps of its optimiser."""

from dataclasses import replace

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

        found, _ = minimise(objective, jnp.zeros(2), jnp.arange(12), step_mm=0.1)
        return found[0] + found[1]

    slope = jax.jit(jax.grad(reached))(3.0)
    run = jax.jit(reached)
    assert np.isfinite(slope)
    assert slope == pytest.approx(float(run(3.05) - run(2.95)) / 0.1, rel=0.02)


SMALL_STEPS = (1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02)


def check(config, pair, *, h, tolerance):
    weights, key = registration.weights_from_config(config.weights), jax.random.key(0)

    # The pair is an argument, not a constant: XLA would work out at length what depends on constants alone.
    @jax.jit
    @jax.value_and_grad
    def place(theta, pair, weights):
        images, terms = small.changed(theta, pair, weights)
        solution = registration.solve(images, terms, key, config=config)
        return small.lesion_place(solution.affine, solution.displacement_mm, images)

    found = place(np.zeros(len(small.CHANGES), np.float32), pair, weights)[1]
    expected = small.differences(lambda theta: place(theta, pair, weights)[0], h=h)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=2e-4)
    return found


@pytest.mark.slow
def test_affine_against_differences():
    """In small steps: where a first slope changes its sign, Adam's first step turns round and the result jumps."""
    found = check(small.AFFINE, small.inner_pair(), h=SMALL_STEPS, tolerance=0.02)
    # Image, mask and both weights move it; regularisation takes no part in an affine map.
    assert (np.abs(found[:5]) > 0.01).all()
    assert found[5] == 0


@pytest.mark.slow
def test_deformation_against_differences():
    config = small.DEFORMABLE
    few = config.deformable.model_copy(update={"steps": 12})
    found = check(config.model_copy(update={"deformable": few}), small.pair(), h=SMALL_STEPS, tolerance=0.05)
    assert (np.abs(found) > 0.01).all()


@pytest.mark.slow
def test_more_weight_for_landmarks_brings_them_closer():
    """The sign of a derivative known beforehand."""
    config, pair = small.AFFINE, small.pair()
    pair = replace(
        pair,
        landmarks_reference_mm=pair.landmarks_reference_mm.at[0].set(pair.centre_mm),
        landmarks_floating_mm=pair.landmarks_floating_mm.at[0].set(pair.centre_mm + 12.0),
        landmarks_weight=pair.landmarks_weight.at[0].set(1.0),
    )
    weights = replace(registration.weights_from_config(config.weights), landmarks=jnp.float32(1e-4))

    @jax.jit
    @jax.grad
    def slope(weight, pair, weights):
        solution = registration.solve(pair, replace(weights, landmarks=weight), jax.random.key(0), config=config)
        matrix = solution.affine
        return jnp.linalg.norm(matrix[:3, :3] @ pair.centre_mm + matrix[:3, 3] - pair.centre_mm - 12.0)

    assert slope(weights.landmarks, pair, weights) < 0
