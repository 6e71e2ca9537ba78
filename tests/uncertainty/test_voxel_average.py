"""The doses of small structures on large voxels against a fine grid, and the range of displaced contours."""

import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry, uncertainty
from sirtjax.uncertainty._estimate import without_voxel_average

DENSITY = 1.05
RADIAL = dosimetry.get_radial_kernel("y90-graves2019-water")


def octant(spacing_mm):
    spacing = (spacing_mm,) * 3
    size = dosimetry.kernel_radius_voxels(spacing, radial=RADIAL, medium_density_g_per_ml=DENSITY)
    return dosimetry.octant_kernel(spacing, radial=RADIAL, medium_density_g_per_ml=DENSITY, radius_voxels=size)


def occupancy(spacing_mm, radius_mm, centre_mm):
    """Occupancy of a sphere in a box of 64 mm, from points of 0.5 mm."""
    at = (np.arange(128) + 0.5) * 0.5
    away = np.sqrt(sum((x - c) ** 2 for x, c in zip(np.meshgrid(at, at, at, indexing="ij"), centre_mm, strict=True)))
    parts = int(spacing_mm / 0.5)
    size = 128 // parts
    return (away < radius_mm).reshape(size, parts, size, parts, size, parts).mean(axis=(1, 3, 5)).astype(np.float32)


@pytest.mark.parametrize("radius_mm", [6.0, 10.0])
def test_the_mean_dose_of_a_hot_sphere_is_that_of_a_fine_grid(radius_mm):
    centre = (31.0, 32.7, 33.1)
    fine = occupancy(1.0, radius_mm, centre) > 0.5
    dose = np.asarray(dosimetry.convolve_octant(jnp.asarray(1.0 + 4.0 * fine, jnp.float32), octant(1.0)))
    expected = dose[fine].mean()
    weight = occupancy(4.0, radius_mm, centre)
    coarse = dosimetry.convolve_octant(jnp.asarray(1.0 + 4.0 * weight, jnp.float32), octant(4.0))
    means = {
        order: (weight * np.asarray(without_voxel_average(coarse, averages=4, order=order))).sum() / weight.sum()
        for order in (2, 4)
    }
    plain = (weight * np.asarray(coarse)).sum() / weight.sum()
    # What the correction is for: voxels of 4 mm lose 12 to 20 %.
    assert plain / expected < 0.9
    assert means[4] / expected == pytest.approx(1.0, abs=0.02)
    assert plain < means[2] < means[4]


def test_the_correction_keeps_sums_and_smooth_values():
    values = np.random.default_rng(0).random((12, 11, 10)).astype(np.float32)
    values = np.pad(values, 4)
    for order in (2, 4):
        found = np.asarray(without_voxel_average(values, averages=4, order=order))
        assert found.sum() == pytest.approx(values.sum(), rel=1e-5)
        ramp = np.arange(20.0, dtype=np.float32)[:, None, None] * np.ones((1, 8, 8), np.float32)
        found = np.asarray(without_voxel_average(ramp, averages=4, order=order))
        np.testing.assert_allclose(found[3:-3], ramp[3:-3], atol=1e-4)


def radius_after(displacement_mm):
    """Radius of a sphere of 7 mm whose contour is displaced everywhere by the same distance."""
    axes = np.meshgrid(*(4.0 * (np.arange(14) - 6.5),) * 3, indexing="ij")
    ball = np.sqrt(sum(a**2 for a in axes)) - 7.0
    whole = np.full_like(ball, -50.0)
    # Nodes at both ends of each axis. Their weights have a unit sum of squares, and the field is taken at the centre.
    field = np.zeros((2, 2, 2, 2), np.float32)
    unit = float(uncertainty.boundary_field(np.ones((1, 2, 2, 2), np.float32), ball.shape)[0, 7, 7, 7])
    field[0] = displacement_mm / unit
    moved = uncertainty.displaced_distances(
        np.stack([ball, whole, whole]).astype(np.float32),
        np.full(3, 4.0, np.float32),
        boundary_mm=field,
        lesion_shift_mm=np.zeros((1, 3), np.float32),
        territory_mm=np.zeros((3, 2, 2, 2), np.float32),
    )
    volume = float(uncertainty.regions_of(moved, np.full(3, 4.0, np.float32), lesions=1)[0].sum()) * 64.0
    return np.cbrt(volume * 3 / (4 * np.pi))


@pytest.mark.slow
def test_a_contour_moves_outward_freely_and_inward_until_little_is_left():
    assert radius_after(4.0) == pytest.approx(11.0, abs=0.4)
    # A small step inward is nearly the whole step; 20 mm leave a rest (the deepest voxel centre is 3.5 mm deep).
    assert radius_after(-1.5) == pytest.approx(5.5, abs=0.3)
    assert 3.5 < radius_after(-20.0) < 4.2
