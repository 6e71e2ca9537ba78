"""Histograms of a sphere in a uniform gradient, with and without equal doses; the truth is that of spherical caps."""

import numpy as np
import pytest
from scipy import optimize

from sirtjax.dosimetry import dose_at_volume_fraction_gy, dvh_from_arrays, pack_voi

RADIUS_MM, GRADIENT = 10.0, 4.0
DIRECTIONS = {
    "axis": (0, 0, 1), "tilted by 0.2 degrees": (0.0035, 0, 1), "tilted by 2 degrees": (0.035, 0.01, 1),
    "diagonal": (1, 1, 0), "space diagonal": (1, 1, 1), "oblique": (1, 2, 3),
}  # fmt: skip


def _level_mm(fraction):
    """Height over the centre of the plane above which this fraction of the sphere lies."""
    cap = lambda h: h**2 * (3 * RADIUS_MM - h) / (4 * RADIUS_MM**3) - fraction  # noqa: E731
    return RADIUS_MM - optimize.brentq(cap, 0, 2 * RADIUS_MM)


def _sphere(spacing, offset, points=12):
    """Positions relative to the centre (n, n, n, 3) and the occupancy of each voxel, by 12^3 points at the surface."""
    count = 2 * int(np.ceil(13 / spacing)) + 1
    axis = (np.arange(count) - count // 2) * spacing
    position = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1) - np.asarray(offset) * spacing
    distance = np.linalg.norm(position, axis=-1)
    weight = (distance < RADIUS_MM).astype(float)
    steps = ((np.arange(points) + 0.5) / points - 0.5) * spacing
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    for voxel in np.argwhere(np.abs(distance - RADIUS_MM) < spacing):
        inside = np.linalg.norm(position[tuple(voxel)] + grid, axis=1) < RADIUS_MM
        weight[tuple(voxel)] = inside.mean()
    return position, weight


def _check(dose, weight, spacing):
    dvh = dvh_from_arrays(dose, weight, spacing**3 / 1000)
    assert dvh.percent_at_dose(80.0) == pytest.approx(84.375, abs=0.3)
    assert dvh.dose_at_percent_gy(70) == pytest.approx(89.061, abs=0.2)
    assert dvh.dose_at_percent_gy(98) == pytest.approx(66.723, abs=0.6)
    assert dvh.dose_at_percent_gy(2) == pytest.approx(133.277, abs=0.6)
    assert dvh.mean_gy == pytest.approx(100.0, abs=0.03)


def test_the_closed_form():
    assert 100 + GRADIENT * _level_mm(0.7) == pytest.approx(89.061, abs=1e-3)
    assert 100 + GRADIENT * _level_mm(0.98) == pytest.approx(66.723, abs=1e-3)
    assert _level_mm(0.84375) == pytest.approx(-5.0, abs=1e-9)


@pytest.mark.parametrize("spacing", [1.0, 2.0, 3.0])
def test_sphere_in_a_gradient(spacing):
    """Every direction, as computed and rounded to whole Gy as in an RTDOSE of integers."""
    position, weight = _sphere(spacing, (0, 0, 0))
    for direction in DIRECTIONS.values():
        dose = 100 + GRADIENT * (position @ (np.asarray(direction) / np.linalg.norm(direction)))
        _check(dose, weight, spacing)
        _check(dose.astype(np.float32), weight.astype(np.float32), spacing)
        _check(np.round(dose), weight, spacing)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("spacing", [1.0, 2.0, 3.0])
def test_sphere_anywhere_between_the_voxels(spacing, seed):
    rng = np.random.default_rng([101, seed])
    position, weight = _sphere(spacing, rng.uniform(-0.5, 0.5, 3))
    for direction in (*DIRECTIONS.values(), rng.normal(size=3)):
        _check(100 + GRADIENT * (position @ (np.asarray(direction) / np.linalg.norm(direction))), weight, spacing)


@pytest.mark.parametrize("shape", [(2, 2, 1), (9, 8, 7), (40, 40, 30)])
def test_a_uniform_dose_is_a_step(shape):
    """Whole and partial voxels, few and many: D98 = D2 = mean, and the volume falls at once."""
    weight = np.ones(shape)
    weight[0] = 0.4
    dvh = dvh_from_arrays(np.full(shape, 73.25), weight, 0.01)
    assert dvh.dose_at_percent_gy(98) == dvh.dose_at_percent_gy(2) == 73.25
    assert dvh.mean_gy == pytest.approx(73.25, rel=1e-12)
    assert dvh.std_gy == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(dvh.percent_at_dose([73.24, 73.25, 73.26]), [100, 100, 0])


@pytest.mark.parametrize("shape", [(8, 6, 5), (20, 20, 15), (48, 40, 30)])
def test_two_regions_of_uniform_dose_are_two_steps(shape):
    """Equal doses that are no planes of a gradient must not be joined by a ramp."""
    dose = np.full(shape, 50.0)
    dose[: shape[0] // 2] = 100.0
    dvh = dvh_from_arrays(dose, np.ones(shape), 0.01)
    for percent, expected in ((2, 100), (49, 100), (51, 50), (98, 50)):
        assert dvh.dose_at_percent_gy(percent) == pytest.approx(expected, abs=0.02)
    np.testing.assert_allclose(dvh.percent_at_dose([50.02, 75.0, 99.98]), 50, atol=0.1)


def test_parts_of_a_voxel_are_not_taken_for_rounded_doses():
    """A uniform ball with partial voxels in eighths has few levels of equal distance; its plateau stays."""
    fine = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0) < 10
    share = fine.reshape(12, 2, 12, 2, 12, 2).mean(axis=(1, 3, 5))
    dvh = dvh_from_arrays(80 * share, share, 0.027)
    assert dvh.dose_at_percent_gy(2) == dvh.dose_at_percent_gy(40) == 80


@pytest.mark.parametrize("gradient", [0.3, 0.7, 1.3])
def test_doses_rounded_to_few_levels(gradient):
    """Rounding leaves half a step of doubt; the curve adds at most a tenth of a step."""
    for spacing in (1.0, 2.0, 3.0):
        position, weight = _sphere(spacing, (0.1, -0.2, 0.3))
        for direction in DIRECTIONS.values():
            exact = 100 + gradient * (position @ (np.asarray(direction) / np.linalg.norm(direction)))
            dvh = dvh_from_arrays(np.round(exact), weight, spacing**3 / 1000)
            assert dvh.dose_at_percent_gy(70) == pytest.approx(100 + gradient * _level_mm(0.7), abs=0.6)
            assert dvh.dose_at_percent_gy(98) == pytest.approx(100 + gradient * _level_mm(0.98), abs=0.6)


def test_many_samples_are_counted_as_they_are_sorted(monkeypatch):
    from sirtjax.dosimetry import _dvh_curve

    rng = np.random.default_rng(2)
    dose, volume = rng.gamma(3.0, 30.0, 40000), rng.random(40000)
    spread = rng.uniform(0, 4, 40000) * (rng.random(40000) > 0.3)
    counted = _dvh_curve.spread_curve(dose, spread, volume)
    assert len(counted[0]) < 10000
    monkeypatch.setattr(_dvh_curve, "_MANY_SAMPLES", len(dose))
    exact = _dvh_curve.spread_curve(dose, spread, volume)
    levels = np.linspace(dose.min(), dose.max(), 997)
    found, expected = (np.interp(-levels, -curve[0], curve[1]) for curve in (counted, exact))
    np.testing.assert_allclose(found, expected, atol=2e-4 * volume.sum())
    # By counting, at a dose that no interval ends at.
    share = np.clip((dose + spread / 2 - 71.3) / np.where(spread > 0, spread, 1), 0, 1)
    above = np.where(spread > 0, share, dose >= 71.3) @ volume
    assert np.interp(-71.3, -exact[0], exact[1]) == pytest.approx(above, rel=1e-9)


def test_voxels_without_neighbours_join_equal_doses():
    """One sample per voxel, on the host and in JAX: levels 40, 30 and 20 with their middles at 0.5, 2.0 and 3.25."""
    dose = np.array([30.0, 20, 40, 30, 30, 20.0]).reshape(-1, 1, 1)
    weight = np.array([1.0, 0.25, 1, 0.5, 0.5, 0.25]).reshape(-1, 1, 1)
    dvh = dvh_from_arrays(dose, weight, 1.0, subsamples=1)
    packed = pack_voi(dose, weight)
    for volume, expected in ((0, 40), (0.5, 40), (1.25, 35), (2.0, 30), (2.625, 25), (3.25, 20), (3.5, 20)):
        assert dvh.dose_at_volume_gy(volume) == pytest.approx(expected)
        assert dose_at_volume_fraction_gy(*packed, volume / 3.5) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("volume_ml", [0.1, 0.5, 2.0, 8.0, 20.0])
def test_the_mean_is_energy_divided_by_mass(volume_ml):
    """Local deposition at one density: the sum of the energies in the VOI over its mass, however few its voxels."""
    rng = np.random.default_rng(4)
    radius = (volume_ml * 3000 / (4 * np.pi)) ** (1 / 3)
    count = int(2 * radius / 3) + 9
    position = np.stack(np.indices((count,) * 3), -1) - (count - 1) / 2 - rng.uniform(-0.5, 0.5, 3)
    distance = 3.0 * np.linalg.norm(position, axis=-1)
    weight = np.clip((radius - distance) / 3 + 0.5, 0, 1)
    activity_mbq = 0.02 + 0.5 * weight + 0.1 * rng.random(weight.shape)
    dose = 49.38 * activity_mbq / (0.027 * 1.05)
    dvh = dvh_from_arrays(dose, weight, 0.027)
    expected = 49.38 * (activity_mbq * weight).sum() / (weight.sum() * 0.027 * 1.05)
    assert dvh.mean_gy == pytest.approx(expected, rel=1e-4)
