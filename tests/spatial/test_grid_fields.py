"""Displacements on one grid, against SciPy, exact maps and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax import spatial
from sirtjax.volume import Geometry

SHAPE, SPACING_MM = (20, 18, 16), np.array([2.0, 3.0, 2.5], np.float32)


def smooth(seed, size_mm):
    """A smooth displacement that vanishes at the faces."""
    rng = np.random.default_rng(seed)
    field = np.stack([ndimage.gaussian_filter(rng.standard_normal(SHAPE), 3.0) for _ in range(3)], axis=-1)
    fade = np.ones(SHAPE)
    for axis, n in enumerate(SHAPE):
        x = np.sin(np.pi * np.arange(n) / (n - 1)) ** 2
        fade = fade * x.reshape([-1 if a == axis else 1 for a in range(3)])
    field = field * fade[..., None]
    return (size_mm * field / np.abs(field).max()).astype(np.float32)


def by_scipy(array, displacement_mm):
    places = np.stack(np.indices(SHAPE)) + np.moveaxis(displacement_mm / SPACING_MM, -1, 0)
    places = np.clip(places, 0, np.array(SHAPE).reshape(3, 1, 1, 1) - 1)
    return np.stack([ndimage.map_coordinates(array[..., c], places, order=1) for c in range(array.shape[-1])], axis=-1)


@pytest.mark.slow
def test_sampling_is_that_of_scipy():
    array = np.random.default_rng(0).standard_normal((*SHAPE, 2)).astype(np.float32)
    u = smooth(1, 9.0)
    np.testing.assert_allclose(spatial.sample_on_grid(array, u, SPACING_MM), by_scipy(array, u), atol=1e-4)
    # Beyond the grid the value at the face is kept.
    far = np.full((*SHAPE, 3), 1e3, np.float32)
    np.testing.assert_allclose(spatial.sample_on_grid(array, far, SPACING_MM), array[-1:, -1:, -1:] + 0 * array)


def test_composition_applies_the_inner_map_first():
    u, v = smooth(1, 8.0), smooth(2, 6.0)
    found = spatial.compose_displacements(v, u, SPACING_MM)
    np.testing.assert_allclose(found, u + by_scipy(v, u), atol=1e-4)
    other = spatial.compose_displacements(u, v, SPACING_MM)
    assert np.abs(np.asarray(found) - np.asarray(other)).max() > 0.2
    # The general function for transforms of the world agrees.
    geometry = Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM.tolist())
    fields = [spatial.DisplacementField(one, geometry) for one in (v, u)]
    np.testing.assert_allclose(found, spatial.compose(*fields).array, atol=1e-3)


def test_composition_with_a_constant_and_with_nothing():
    u = smooth(3, 5.0)
    nothing, shift = np.zeros_like(u), np.full_like(u, 1.5)
    np.testing.assert_allclose(spatial.compose_displacements(nothing, u, SPACING_MM), u)
    np.testing.assert_allclose(spatial.compose_displacements(shift, u, SPACING_MM), u + 1.5, rtol=1e-6)


@pytest.mark.slow
def test_the_inverse_undoes_the_map():
    u = smooth(4, 5.0)
    inverse = jax.jit(spatial.invert_displacement)(u, SPACING_MM)
    around = spatial.compose_displacements(u, inverse, SPACING_MM)
    assert np.abs(np.asarray(around)).max() < 0.01
    geometry = Geometry.from_axes(SHAPE, spacing_mm=SPACING_MM.tolist())
    known = spatial.invert_field(spatial.DisplacementField(u, geometry)).field
    np.testing.assert_allclose(inverse, known.array, atol=0.02)
    # One step is no inverse.
    few = spatial.invert_displacement(u, SPACING_MM, iterations=1)
    assert np.abs(np.asarray(spatial.compose_displacements(u, few, SPACING_MM))).max() > 0.1


@pytest.mark.parametrize("function", [spatial.compose_displacements, spatial.invert_displacement])
@pytest.mark.slow
def test_gradients_are_those_of_differences(function):
    u, v = jnp.asarray(smooth(5, 4.0)), jnp.asarray(smooth(6, 4.0))
    weight = jnp.asarray(np.random.default_rng(7).standard_normal((*SHAPE, 3)), jnp.float32)
    way = jnp.asarray(smooth(8, 1.0))

    def of(step):
        moved = u + step * way
        found = (
            function(v, moved, SPACING_MM) if function is spatial.compose_displacements else function(moved, SPACING_MM)
        )
        return jnp.sum(weight * found)

    derivative = float(jax.grad(of)(0.0))
    difference = float(of(0.02) - of(-0.02)) / 0.04
    assert derivative == pytest.approx(difference, rel=0.03, abs=0.3)
