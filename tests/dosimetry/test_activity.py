from datetime import UTC, datetime

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.dosimetry import (
    absolute_activity_mbq,
    cumulated_activity_mbq_h,
    decay_factor,
    get_nuclide,
    hours_between,
    local_deposition_dose_gy,
    relative_activity_mbq,
)
from sirtjax.errors import ConfigError


def test_decay_factor_by_hand() -> None:
    factor = decay_factor(np.array([0.0, 64.1, 128.2, -64.1]), half_life_h=64.1)
    np.testing.assert_allclose(factor, [1.0, 0.5, 0.25, 2.0], rtol=1e-6)


def test_cumulated_activity_is_the_integral_of_decay() -> None:
    t = np.linspace(0, 40 * 64.1, 400_001)
    integral = np.trapezoid(3.0 * 2.0 ** (-t / 64.1), t)
    assert float(cumulated_activity_mbq_h(3.0, half_life_h=64.1)) == pytest.approx(integral, rel=1e-6)


def test_pet_a_day_after_injection_gives_the_known_dose() -> None:
    """T2: 1.000 MBq/mL measured 24 h p.i. at 1.05 g/mL with T = 64.0416 h is 60.978 Gy, by hand."""
    y90 = get_nuclide("y90-thesis")
    activity = absolute_activity_mbq(
        np.full((2, 3, 4), 1e6, np.float32), voxel_volume_ml=0.06, elapsed_h=24.0, half_life_h=y90.half_life_h
    )
    dose = local_deposition_dose_gy(activity, 1.05 * 0.06, constant=y90.dose_constant_gy_kg_per_gbq)
    np.testing.assert_allclose(dose, 60.978, rtol=5e-5)


def test_relative_calibration_puts_the_injected_activity_into_the_region() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(20, (7, 5, 4)).astype(np.float32)
    region = np.zeros(counts.shape, np.float32)
    region[2:6, 1:4, :3] = 1
    region[2] = 0.25
    activity = np.asarray(relative_activity_mbq(counts, region, injected_activity_mbq=1850.0))
    assert activity.sum() == pytest.approx(1850.0, rel=1e-5)
    assert activity[0].max() == 0
    # Camera sensitivity drops out.
    np.testing.assert_allclose(
        relative_activity_mbq(37 * counts, region, injected_activity_mbq=1850.0), activity, rtol=1e-5
    )
    ratio = activity[4, 2, 1] / activity[3, 2, 1]
    assert ratio == pytest.approx(counts[4, 2, 1] / counts[3, 2, 1], rel=1e-5)


@pytest.mark.slow
def test_calibration_under_jit_and_its_gradient() -> None:
    counts = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    region = np.array([[[1.0, 1.0], [0.5, 0.0]]], np.float32)

    def first_voxel(scale: jax.Array) -> jax.Array:
        scaled = counts * jnp.stack([scale, jnp.float32(1)])[None, None]
        return relative_activity_mbq(scaled, region, injected_activity_mbq=9.0)[0, 0, 0]

    # The first column scaled by s: 9 s / (s + 2 + 1.5 s); at 1 its slope is 9 (4.5 - 2.5) / 4.5^2.
    assert float(first_voxel(jnp.float32(1))) == pytest.approx(2.0)
    assert float(jax.jit(first_voxel)(jnp.float32(1))) == pytest.approx(2.0)
    assert float(jax.grad(first_voxel)(jnp.float32(1))) == pytest.approx(9 * 2 / 4.5**2, rel=1e-5)


def test_gradient_of_absolute_calibration_in_half_life() -> None:
    def activity(half_life_h: jax.Array) -> jax.Array:
        return absolute_activity_mbq(jnp.float32(1e6), voxel_volume_ml=1.0, elapsed_h=24.0, half_life_h=half_life_h)

    by_hand = -np.log(2) * 24 / 64.1**2 * 2 ** (24 / 64.1)
    assert float(jax.grad(activity)(jnp.float32(64.1))) == pytest.approx(by_hand, rel=1e-4)


def test_hours_between_times() -> None:
    noon = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
    assert hours_between(noon, datetime(2024, 3, 1, 13, 30, tzinfo=UTC)) == 25.5
    assert hours_between(datetime(2024, 1, 1, 3), datetime(2024, 1, 1, 1)) == -2.0
    with pytest.raises(ConfigError, match="one has a time zone"):
        hours_between(noon, datetime(2024, 3, 1, 13, 30))


def test_numpy_in_gives_numpy_out_and_the_same_numbers() -> None:
    counts = np.random.default_rng(1).random((5, 4, 3)).astype(np.float32)
    region = (counts > 0.3).astype(np.float32)

    def both(values: np.ndarray | jax.Array) -> tuple:
        relative = relative_activity_mbq(values, region, injected_activity_mbq=np.float64(900.0))
        absolute = absolute_activity_mbq(
            values * 1e6, voxel_volume_ml=0.1, elapsed_h=np.float64(-3.0), half_life_h=64.1
        )
        return relative, absolute, cumulated_activity_mbq_h(relative, half_life_h=64.1)

    host, device = both(counts), both(jnp.asarray(counts))
    for here, there in zip(host, device, strict=True):
        # On the host nothing may compile, and float64 would double the memory.
        assert isinstance(here, np.ndarray) and here.dtype == np.float32
        assert isinstance(there, jax.Array)
        np.testing.assert_allclose(here, there, rtol=1e-5)
