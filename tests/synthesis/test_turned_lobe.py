"""Turned left lobes: where the liver goes, what stays, and the diaphragm over it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.synthesis import load_preset
from sirtjax.synthesis._body import draw_body
from sirtjax.synthesis._liver import real_liver_mm
from sirtjax.synthesis._lobes import diaphragm_height_mm, own_lobes, shape_points_mm
from sirtjax.synthesis._shape_bank import BANK_ORIGIN_MM, BANK_SHAPE, BANK_SPACING_MM, STEP_MM, ShapeBank

pytestmark = pytest.mark.slow  # most of the time compiles the generator

HARD = load_preset("hard")
# Compiles faster, which is most of the time.
QUICK = {"xla_backend_optimization_level": 1}
# A box as liver, x from -130 to 70 mm, y from -40 to 40 mm, z from -150 to -10 mm, in the frame of the bank.
LOWEST, HIGHEST = np.array([-130.0, -40.0, -150.0]), np.array([70.0, 40.0, -10.0])
START = 0.5
START_MM = LOWEST[0] + START * (HIGHEST[0] - LOWEST[0])


def box_bank():
    """A bank of one liver that is a box."""
    axes = [np.arange(n) * BANK_SPACING_MM + low for n, low in zip(BANK_SHAPE, BANK_ORIGIN_MM, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    outside = np.maximum(LOWEST - points, points - HIGHEST).max(axis=-1)
    plane = (1, *BANK_SHAPE[:2])
    return ShapeBank(
        distance_step=np.clip(np.round(outside / STEP_MM), -127, 127).astype(np.int8)[None],
        top_mm=np.full(plane, HIGHEST[2], np.int16),
        beside_mm=np.zeros(plane, np.int16),
        box_mm=np.stack([LOWEST, HIGHEST]).astype(np.float32)[None],
    )


@pytest.fixture(scope="module")
def body():
    drawn = jax.jit(lambda key, bank: draw_body(key, bank, HARD), compiler_options=QUICK)(jax.random.key(0), box_bank())
    return drawn._replace(lobes=own_lobes(), place_mm=jnp.array([5.0, -3.0, 7.0]))


def turned(body, *, descent=0.0, back=0.0, height=1.0, follows=1.0):
    values = {"start": START, "descent": descent, "back": back, "height": height, "follows": follows}
    return body._replace(lobes=own_lobes()._replace(**{name: jnp.float32(one) for name, one in values.items()}))


def diaphragm(body, x):
    return float(diaphragm_height_mm(body.lobes, body.shape.box_mm, jnp.float32(x), jnp.float32(HIGHEST[2])))


def column(body, x, y):
    """Lowest and highest liver (mm) over a place in the frame of the shape, found along a fine line."""
    z = np.arange(-260.0, 60.0, 0.25, dtype=np.float32)
    points = np.stack([np.full_like(z, x), np.full_like(z, y), z]) + np.asarray(body.place_mm)[:, None]
    inside = z[np.asarray(real_liver_mm(body, jnp.asarray(points))) < 0]
    return inside.min(), inside.max()


def bend_mm(x):
    """Length of the turned part up to x, with its smooth beginning of 20 mm."""
    beyond = max(x - START_MM, 0.0)
    return beyond**2 / (beyond + 20.0)


@pytest.mark.parametrize("descent", [-0.2, 0.0, 0.5])
def test_the_left_lobe_descends_and_the_right_stays(body, descent):
    one = turned(body, descent=descent)
    for x in (-110.0, -60.0, 0.0, 40.0, 60.0):
        moved = descent * bend_mm(x)
        np.testing.assert_allclose(column(one, x, 0.0), [LOWEST[2] - moved, HIGHEST[2] - moved], atol=0.6)


def test_the_left_lobe_goes_back(body):
    points = jnp.array([[-100.0, 60.0], [0.0, 0.0], [-80.0, -80.0]])
    _, y, _ = shape_points_mm(turned(body, back=0.3).lobes, body.shape.box_mm, points)
    np.testing.assert_allclose(y, [0.0, -0.3 * bend_mm(60.0)], atol=1e-3)


def test_the_left_lobe_becomes_thicker_below_the_top(body):
    one = turned(body, height=1.4)
    np.testing.assert_allclose(column(one, -100.0, 0.0), [LOWEST[2], HIGHEST[2]], atol=0.6)
    lower = HIGHEST[2] - 1.4 * (HIGHEST[2] - LOWEST[2])
    np.testing.assert_allclose(column(one, 66.0, 0.0), [lower, HIGHEST[2]], atol=0.6)


@pytest.mark.parametrize(("descent", "height"), [(-0.2, 1.0), (0.4, 1.0), (0.3, 1.5), (-0.1, 0.8)])
def test_the_diaphragm_lies_on_the_turned_lobe(body, descent, height):
    one = turned(body, descent=descent, height=height)
    for x in (-80.0, 10.0, 50.0):
        assert diaphragm(one, x) == pytest.approx(column(one, x, 0.0)[1], abs=0.6)


def test_a_diaphragm_that_stays_is_above_a_lobe_that_descends(body):
    one = turned(body, descent=0.5, follows=0.0)
    assert diaphragm(one, 60.0) == pytest.approx(HIGHEST[2], abs=1e-3)
    # One that rises is never above its diaphragm.
    one = turned(body, descent=-0.2, follows=0.0)
    assert diaphragm(one, 60.0) == pytest.approx(column(one, 60.0, 0.0)[1], abs=0.6)


def drawn_lobes(bank, fraction):
    config = HARD.model_copy(update={"unusual": HARD.unusual.model_copy(update={"turned_fraction": fraction})})
    # Compiled, only what the lobes need is computed.
    lobes = jax.jit(jax.vmap(lambda key: draw_body(key, bank, config).lobes), compiler_options=QUICK)
    return lobes(jax.random.split(jax.random.key(1), 200))


def test_no_lobe_rises_to_the_heart(bank):
    lobes = drawn_lobes(bank, 1.0)
    assert float(jnp.mean(lobes.descent != 0.0)) == 1.0
    assert float(lobes.descent.min()) >= 0.0 and float(lobes.descent.max()) > 0.6
    assert float(lobes.height.min()) >= 1.0 and float(lobes.height.max()) > 1.5


@pytest.mark.parametrize("fraction", [0.0, 0.4])
def test_only_the_stated_fraction_of_livers_is_turned(bank, fraction):
    assert float(jnp.mean(drawn_lobes(bank, fraction).descent != 0.0)) == pytest.approx(fraction, abs=0.25 * fraction)
