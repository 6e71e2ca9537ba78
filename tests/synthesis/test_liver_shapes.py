"""Liver shapes that no person of the bank has: between two of them, and with a narrow bridge."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_livers import small

from sirtjax.synthesis import load_preset
from sirtjax.synthesis._body import draw_body
from sirtjax.synthesis._liver import draw_contents, resected_mm
from sirtjax.synthesis._shape_bank import STEP_MM, ShapeBank, at_index, between

HARD = load_preset("hard")
# Compiles faster, which is most of the time.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
SPACING_MM, RADIUS_MM = 4.0, 60.0
RADII_MM = (50.0, 70.0)


def grid():
    axis = np.arange(-100.0, 101.0, SPACING_MM, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))


def two_balls():
    """A bank of two concentric balls."""
    away = np.linalg.norm(grid(), axis=0)
    steps = [np.clip(np.round((away - radius) / STEP_MM), -127, 127).astype(np.int8) for radius in RADII_MM]
    box = [np.array([[-radius] * 3, [radius] * 3], np.float32) for radius in RADII_MM]
    plane = np.zeros((2, *away.shape[:2]), np.int16)
    return ShapeBank(
        distance_step=np.stack(steps), top_mm=plane + np.array([[[10]], [[30]]], np.int16), beside_mm=plane,
        box_mm=np.stack(box),
    )  # fmt: skip


@pytest.mark.parametrize(("weight", "radius_mm"), [(0.0, 50.0), (0.25, 55.0), (0.5, 60.0), (1.0, 70.0)])
def test_the_shape_between_two_balls_is_a_ball_between_them(weight, radius_mm):
    bank = two_balls()
    mixed = between(at_index(bank, jnp.int32(0)), at_index(bank, jnp.int32(1)), jnp.float32(weight))
    assert mixed.distance_step.dtype == jnp.int8 and mixed.top_mm.dtype == jnp.int16
    volume = int(np.sum(np.asarray(mixed.distance_step) < 0)) * SPACING_MM**3
    assert volume == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.02)
    np.testing.assert_allclose(mixed.box_mm, [[-radius_mm] * 3, [radius_mm] * 3], atol=1e-4)
    np.testing.assert_array_equal(mixed.top_mm, np.full(mixed.top_mm.shape, 10 + round(20 * weight)))


def test_only_the_stated_fraction_of_livers_is_mixed(bank):
    draw = compiled(lambda key, config: draw_body(key, bank, config).shape.distance_step, static_argnums=1)
    own = np.asarray(bank.distance_step)
    mixed = []
    for fraction in (0.0, 1.0):
        drawn = [np.asarray(draw(jax.random.key(n), small(mixed_fraction=fraction))) for n in range(12)]
        mixed.append(sum(not any((one == shape).all() for shape in own) for one in drawn))
    assert mixed[0] == 0
    # Half of the time both shapes are the same one.
    assert 2 <= mixed[1] <= 10


@pytest.fixture(scope="module")
def contents():
    """Contents of ten ball-shaped livers with a bridge."""
    points = jnp.asarray(grid().reshape(3, -1))
    liver = jnp.linalg.norm(points, axis=0) - RADIUS_MM
    config = HARD.model_copy(update={"unusual": HARD.unusual.model_copy(update={"narrowed_fraction": 1.0})})
    body = compiled(lambda key, bank: draw_body(key, bank, config))(jax.random.key(0), two_balls())
    keys = jax.random.split(jax.random.key(3), 10)
    return compiled(jax.vmap(lambda key: draw_contents(key, body, liver, points, config)))(keys)


@pytest.mark.slow
def test_a_bridge_is_narrow_where_its_plane_is_and_nowhere_else(contents):
    for n in range(10):
        one = jax.tree.map(lambda values, n=n: values[n], contents)._replace(cut=jnp.array([1.0, 0.0, 0.0, 1e4]))
        normal, offset, depth, width = np.asarray(one.bridge[:3]), *map(float, one.bridge[3:])
        assert 4.0 <= depth <= 18.0 and 5.0 <= width <= 20.0
        assert np.linalg.norm(normal) == pytest.approx(1.0, abs=1e-3)
        # Within a ball of 60 mm whose middle is at 0, a standard deviation is 60 / sqrt(5) mm.
        assert -0.3 * 27.0 < offset < 1.5 * 27.0
        places = normal * (offset + np.array([0.0, width, 5 * width]))[:, None]
        surface = np.zeros(3, np.float32)
        moved = np.asarray(resected_mm(one, jnp.asarray(surface), jnp.asarray(places.T, jnp.float32)))
        np.testing.assert_allclose(moved, depth * np.exp([0.0, -0.5, -12.5]), atol=0.1)


def test_without_the_fraction_no_liver_has_a_bridge(bank):
    points = jnp.asarray(grid().reshape(3, -1))
    liver = jnp.linalg.norm(points, axis=0) - RADIUS_MM
    body = compiled(lambda key, bank: draw_body(key, bank, HARD))(jax.random.key(0), bank)
    found = compiled(lambda key: draw_contents(key, body, liver, points, HARD))(jax.random.key(1))
    assert float(found.bridge[4]) == 0.0
    np.testing.assert_array_equal(resected_mm(found._replace(cut=jnp.array([1.0, 0, 0, 1e4])), liver, points), liver)
