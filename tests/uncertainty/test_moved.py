"""Contours moved by parts of voxels, against the same spheres drawn where they are moved to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.uncertainty._regions import moved, regions_of

SPACING_MM = np.full(3, 4.0, np.float32)
AXES = [4.0 * (np.arange(n) - (n - 1) / 2) for n in (24, 22, 20)]
POINTS = np.stack(np.meshgrid(*AXES, indexing="ij"))
EVERYWHERE = np.full(POINTS.shape[1:], -100.0, np.float32)


def distance(radius_mm, centre_mm=(0.0, 0.0, 0.0)):
    away = np.linalg.norm(POINTS - np.reshape(centre_mm, (3, 1, 1, 1)), axis=0)
    return (away - radius_mm).astype(np.float32)


def volume_ml(distance_mm):
    stack = jnp.stack([jnp.asarray(distance_mm), EVERYWHERE, distance(36.0)])
    return float(regions_of(stack, SPACING_MM, lesions=1)[0].sum()) * 0.064


@pytest.mark.parametrize("radius_mm", [6.0, 8.0, 10.0, 18.0])
@pytest.mark.parametrize("steps", [(0.5, 0.5, 0.5), (0.3, -0.6, 0.2), (1.7, 0.1, -2.4)])
def test_a_lesion_keeps_its_volume_wherever_it_is_moved(radius_mm, steps):
    found = volume_ml(moved(distance(radius_mm), jnp.array(steps, jnp.float32)))
    drawn = volume_ml(distance(radius_mm, 4.0 * np.array(steps)))
    assert found == pytest.approx(drawn, rel=0.02)
    assert found == pytest.approx(4 / 3 * np.pi * radius_mm**3 / 1000, rel=0.04)


def test_the_surface_moves_by_the_stated_distance():
    steps = np.array([0.4, -0.3, 0.7], np.float32)
    found = np.asarray(moved(distance(12.0), jnp.asarray(steps)))
    drawn = distance(12.0, 4.0 * steps)
    near = np.abs(drawn) < 6.0
    np.testing.assert_allclose(found[near], drawn[near], atol=0.1)


def test_whole_voxels_are_exact_and_small_steps_continuous():
    values = distance(9.0)
    np.testing.assert_array_equal(moved(values, jnp.array([2.0, -1.0, 0.0])), np.roll(values, (2, -1), (0, 1)))
    before, after = (np.asarray(moved(values, jnp.array([x, 0.0, 0.0], jnp.float32))) for x in (0.999, 1.001))
    assert np.abs(after - before).max() < 0.02

    def derivative(x):
        return np.asarray(jax.jacfwd(lambda s: moved(values, jnp.stack([s, s * 0.0, s * 0.0])))(jnp.float32(x)))

    # The derivative is continuous too, also from one voxel to the next.
    np.testing.assert_allclose(derivative(0.999), derivative(1.001), atol=0.05)
