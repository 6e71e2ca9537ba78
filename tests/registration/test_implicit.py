"""Derivatives of a minimum: against closed forms, differences of re-solved minima, and the recorded optimiser."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_gradients as small
from small_patient import preset

from sirtjax import registration
from sirtjax.registration import ImplicitOptions, implicit_displacement, implicit_minimum, solve_implicit
from sirtjax.registration._affine import affine_matrix
from sirtjax.registration._implicit import _settle

EXACT = ImplicitOptions(newton_steps=8, cg_steps=50, tolerance=1e-6, damping=0.0)


def quadratic(free, inputs):
    matrix, target = inputs
    away = free - target**2
    return 0.5 * away @ (matrix @ away)


@pytest.mark.slow
def test_minimum_of_a_quadratic_moves_as_its_closed_form():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5))
    matrix = jnp.asarray(root @ root.T + np.eye(5), jnp.float32)
    target = jnp.asarray(rng.uniform(0.5, 2, 5), jnp.float32)
    probe = jnp.asarray(rng.normal(size=5), jnp.float32)
    slope = jax.grad(lambda t: probe @ implicit_minimum(quadratic, target**2, (matrix, t), EXACT))(target)
    # The minimum is target^2, whatever the matrix.
    np.testing.assert_allclose(slope, 2 * target * probe, rtol=1e-4)
    of_matrix = jax.grad(lambda m: probe @ implicit_minimum(quadratic, target**2, (m, target), EXACT))(matrix)
    np.testing.assert_allclose(of_matrix, 0, atol=1e-4)


@pytest.mark.slow
def test_damping_and_few_steps_leave_out_what_is_flat():
    matrix = jnp.diag(jnp.array([1.0, 10.0, 100.0]))
    target, probe = jnp.array([1.0, 2.0, 0.5]), jnp.ones(3)

    def slope(**options):
        chosen = replace(EXACT, **options)
        return jax.grad(lambda t: probe @ implicit_minimum(quadratic, target**2, (matrix, t), chosen))(target)

    whole = 2 * target
    # Three distinct curvatures need three steps; along the right side the curvature is 37, of which a tenth is added.
    np.testing.assert_allclose(slope(cg_steps=3), whole, rtol=1e-3)
    np.testing.assert_allclose(slope(cg_steps=1), whole * np.array([1, 10, 100]) / 37, rtol=1e-3)
    np.testing.assert_allclose(slope(damping=0.1), whole / (1 + 3.7 / np.array([1, 10, 100])), rtol=1e-3)


def wavy(free, inputs):
    """No closed form: a bowl with waves, whose minimum moves with both inputs."""
    shift, strength = inputs
    return jnp.sum((free - shift) ** 2) + strength * jnp.sum(jnp.sin(free)) + 0.1 * jnp.sum(free) ** 4


@pytest.mark.slow
def test_minimum_without_closed_form_against_differences_of_minima():
    shift, probe = jnp.array([0.3, -0.7, 1.1]), jnp.array([1.0, -2.0, 0.5])

    @jax.jit
    def of(shift, strength):
        found, further = _settle(wavy, jnp.zeros(3), (shift, strength), EXACT)
        return probe @ found, jnp.abs(further - found).max()

    value, left = of(shift, 0.4)
    assert left < 1e-5
    by_rule = jax.jit(jax.grad(lambda *inputs: of(*inputs)[0], argnums=(0, 1)))(shift, 0.4)
    h = 0.02
    axis = [(of(shift + h * e, 0.4)[0] - of(shift - h * e, 0.4)[0]) / (2 * h) for e in jnp.eye(3)]
    np.testing.assert_allclose(by_rule[0], axis, rtol=5e-3)
    np.testing.assert_allclose(by_rule[1], (of(shift, 0.4 + h)[0] - of(shift, 0.4 - h)[0]) / (2 * h), rtol=5e-3)
    # Compiled or not, the same.
    np.testing.assert_allclose(value, probe @ _settle(wavy, jnp.zeros(3), (shift, 0.4), EXACT)[0], rtol=1e-5)


# Two sub-lattices of the images and a few unknowns: enough steps to arrive exactly.
WHOLE = ImplicitOptions(newton_steps=10, cg_steps=80, tolerance=1e-4, damping=0.0, sublattices=2)


def against_differences(place, *, config, tolerance, left_mm):
    """Where the lesion goes, as the image, its mask and the weights change by a few percent."""
    pair, weights = small.inner_pair(), registration.weights_from_config(config.weights)

    # The pair is an argument, not a constant: XLA would work out at length what depends on constants alone.
    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def run(theta, pair, weights):
        images, terms = small.changed(theta, pair, weights)
        affine, displacement, left = place(images, terms)
        return small.lesion_place(affine, displacement, images), jnp.stack(left).max()

    def at(theta):
        (value, left), slope = run(np.asarray(theta, np.float32), pair, weights)
        assert left < left_mm
        return value, slope

    found = at(np.zeros(len(small.CHANGES)))[1]
    expected = small.differences(lambda theta: at(theta)[0], h=[0.02] * 6)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-3)
    return found


@pytest.mark.slow
def test_deformation_at_its_minimum_against_differences_of_minima():
    def place(pair, weights):
        start = (np.zeros((4, 4, 4, 3), np.float32),)
        moved, left = implicit_displacement(start, pair, pair.start, weights, config=small.DEFORMABLE, options=WHOLE)
        return pair.start, moved, [left]

    found = against_differences(place, config=small.DEFORMABLE, tolerance=0.01, left_mm=1e-4)
    assert (np.abs(found) > 0.02).all()


@pytest.mark.slow
def test_both_stages_at_their_minima_against_differences_of_minima():
    config = small.DEFORMABLE.model_copy(update={"affine": small.AFFINE.affine})

    def place(pair, weights):
        found = solve_implicit(pair, weights, jax.random.key(0), config=config, options=WHOLE)
        return found.affine, found.displacement_mm, [found.affine_residual_mm, found.displacement_residual_mm]

    found = against_differences(place, config=config, tolerance=0.05, left_mm=0.01)
    assert (np.abs(found) > 0.02).all()


def test_without_stages_nothing_moves():
    config = preset(affine={"model": "none"}, deformable={"model": "none"})
    pair = small.pair()
    solution = registration.solve_implicit(
        pair, registration.weights_from_config(config.weights), jax.random.key(0), config=config
    )
    np.testing.assert_array_equal(solution.affine, pair.start)
    np.testing.assert_array_equal(solution.displacement_mm, 0)
    assert affine_matrix(jnp.zeros(0), pair, model="none") is pair.start
