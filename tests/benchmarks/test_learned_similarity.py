"""The loss of `learned_similarity.py`: its error for a known map, and its derivative against differences of minima."""

import jax
import jax.numpy as jnp
import learned_similarity as learned
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree


@pytest.fixture(scope="module")
def pair():
    return learned.make_pair(3900)


@pytest.mark.slow
def test_untrained_networks_add_nothing_and_the_true_map_has_no_error(pair):
    parameters = {"floating": learned.untrained(0), "reference": learned.untrained(1)}
    changed = learned.compared(parameters, pair.images)
    np.testing.assert_array_equal(changed.floating, pair.images.floating)
    np.testing.assert_array_equal(changed.reference, pair.images.reference)
    affine = jnp.eye(4)
    at_rest_mm = learned.moved_mm(affine, jnp.zeros((*pair.liver.shape, 3)), pair.images)
    assert float(learned.squared_error(affine, pair.truth_mm - at_rest_mm, pair)) < 1e-6
    shifted = pair.truth_mm - at_rest_mm + jnp.array([0.0, 3.0, 4.0])[None, None, None]
    assert float(learned.squared_error(affine, shifted, pair)) == pytest.approx(25.0, rel=1e-4)


@pytest.mark.slow
def test_the_derivative_through_the_minimum_is_that_of_differences(pair):
    start = {
        "networks": {"floating": learned.untrained(0), "reference": learned.untrained(1)},
        "log_weight": jnp.float32(0.0),
    }
    value_and_gradient = jax.jit(jax.value_and_grad(learned.minimum_loss, has_aux=True))
    (_, left_mm), gradient = value_and_gradient(start, pair)
    assert left_mm < 0.01
    flat, unravel = ravel_pytree(gradient)
    direction = unravel(flat / jnp.linalg.norm(flat))

    def at(step):
        (value, _), _ = value_and_gradient(jax.tree.map(lambda x, d: x + step * d, start, direction), pair)
        return float(value)

    step = 1e-3
    assert (at(step) - at(-step)) / (2 * step) == pytest.approx(float(jnp.linalg.norm(flat)), rel=0.02)
