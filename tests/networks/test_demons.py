"""Demons forces: the shift of an edge, nothing where nothing changes, and a bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import networks

SHAPE, SPACING_MM = (24, 20, 18), (5.0, 6.0, 7.0)
PLACES = np.moveaxis(np.indices(SHAPE), 0, -1) * np.array(SPACING_MM)
MIDDLE = (np.array(SHAPE) - 1) / 2 * np.array(SPACING_MM)


def smooth_edge(shift_mm, axis=0):
    """A wide edge across one axis."""
    away = PLACES[..., axis] - MIDDLE[axis] - shift_mm
    return (1.0 / (1.0 + np.exp(away / 15.0))).astype(np.float32)[..., None]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift_mm", [-6.0, 4.0])
def test_at_an_edge_the_force_is_the_shift(axis, shift_mm):
    """The reference shows at x what the warped image shows at x + shift."""
    force = networks.demons_forces(
        jnp.asarray(smooth_edge(0.0, axis)), jnp.asarray(smooth_edge(shift_mm, axis)), SPACING_MM
    )
    middle = np.asarray(force)[tuple(n // 2 for n in SHAPE)]
    expected = np.eye(3)[axis] * shift_mm
    np.testing.assert_allclose(middle, expected, atol=0.12 * abs(shift_mm))


def test_equal_images_have_no_force():
    image = jnp.asarray(smooth_edge(0.0))
    assert not np.any(networks.demons_forces(image, image, SPACING_MM))


def test_the_force_is_that_of_scipy():
    rng = np.random.default_rng(0)
    images = [ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.0).astype(np.float32) for _ in range(2)]
    found = np.asarray(networks.demons_forces(*(jnp.asarray(x[..., None]) for x in images), SPACING_MM, blur_mm=12.0))
    sigma = 12.0 / np.array(SPACING_MM)
    # The two differ in how they treat the faces.
    one, two = (ndimage.gaussian_filter(x.astype(np.float64), sigma, mode="nearest", truncate=6) for x in images)
    gradient = np.stack(np.gradient((one + two) / 2, *SPACING_MM), axis=-1)
    missing = one - two
    known = missing[..., None] * gradient / ((gradient**2).sum(-1) + missing**2 / 40.0**2 + 1e-9)[..., None]
    inner = (slice(8, -8), slice(7, -7), slice(6, -6))
    assert np.abs(known[inner]).max() > 5.0
    np.testing.assert_allclose(found[inner], known[inner], atol=0.2)


def test_no_force_is_longer_than_its_bound_and_flat_images_have_none():
    rng = np.random.default_rng(1)
    noise = [jnp.asarray(rng.standard_normal((*SHAPE, 2)), jnp.float32) for _ in range(2)]
    found = np.asarray(networks.demons_forces(*noise, SPACING_MM, longest_mm=8.0)).reshape(*SHAPE, 2, 3)
    assert 3.0 < np.linalg.norm(found, axis=-1).max() <= 8.0 + 1e-3
    flat = [jnp.full((*SHAPE, 1), value, jnp.float32) for value in (0.0, 1.0)]
    assert np.abs(np.asarray(networks.demons_forces(*flat, SPACING_MM))).max() < 1e-2


@pytest.mark.slow
def test_gradients_are_those_of_differences():
    images = [jnp.asarray(smooth_edge(shift)) for shift in (0.0, 5.0)]
    weight = jnp.asarray(np.random.default_rng(2).standard_normal((*SHAPE, 3)), jnp.float32)

    def value(amount):
        moved = images[1] + amount * jnp.asarray(smooth_edge(-9.0))
        return jnp.sum(weight * networks.demons_forces(images[0], moved, SPACING_MM))

    derivative = float(jax.grad(value)(0.3))
    step = 1e-3
    assert derivative == pytest.approx(float((value(0.3 + step) - value(0.3 - step)) / (2 * step)), rel=0.03)
