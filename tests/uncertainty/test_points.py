"""Doses within voxels against a grid of 0.5 mm and closed forms; volumes from the bands of a histogram."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sirtjax import dosimetry, uncertainty
from sirtjax.partial_volume import gaussian_blur
from sirtjax.uncertainty._histogram import MANY, histogram_points
from sirtjax.uncertainty._volumes import VOLUMES, volume_above

DENSITY = 1.05
RADIAL = dosimetry.get_radial_kernel("y90-graves2019-water")
SHELL_MM, SHELL_PART = uncertainty.kernel_shells(RADIAL, DENSITY)
FRACTIONS = np.array([0.05, 0.3, 0.5, 0.7, 0.9], np.float32)
SIZE = 18  # voxels of 4 mm
CENTRE_MM = (35.0, 36.7, 37.1)


def octant(spacing_mm):
    spacing = (spacing_mm,) * 3
    size = dosimetry.kernel_radius_voxels(spacing, radial=RADIAL, medium_density_g_per_ml=DENSITY)
    return dosimetry.octant_kernel(spacing, radial=RADIAL, medium_density_g_per_ml=DENSITY, radius_voxels=size)


def away_mm(spacing_mm):
    at = (np.arange(SIZE * 4 / spacing_mm) + 0.5) * spacing_mm
    return np.sqrt(sum((x - c) ** 2 for x, c in zip(np.meshgrid(at, at, at, indexing="ij"), CENTRE_MM, strict=True)))


def treatment(radius_mm, shell_mm, shell_part, kernel):
    """A hot sphere, five times its surroundings, with 64 MBq/mL or 50 Gy in normal tissue."""
    distance = np.stack([away_mm(4.0) - radius_mm, np.full((SIZE,) * 3, -500.0), np.full((SIZE,) * 3, -500.0)])
    distance = distance.astype(np.float32)
    spacing = np.full(3, 4.0, np.float32)
    regions = np.asarray(uncertainty.regions_of(distance, spacing, lesions=1))
    data = uncertainty.TreatmentData(
        spacing_mm=spacing,
        fwhm_mm=np.full(3, 12.0, np.float32),
        activity_mbq=np.array([1.0], np.float32),
        image_mbq_per_unit=np.float32(1.0),
        gy_ml_per_mbq=np.float32(1.0),
        lung_gy_per_mbq=np.float32(0.05),
        octant=np.asarray(kernel),
        octant_slope=np.zeros_like(kernel),
        shell_mm=shell_mm,
        shell_part=shell_part,
        members=np.array([[1, 0, 0], [0, 1, 1]], np.float32),
        near=uncertainty.near_voxels(np.stack([distance[0], distance[0] * 0.0])),
        fractions=FRACTIONS,
        threshold_gy=np.array([4.0, 1.5], np.float32),
        bed_per_gy=np.zeros(2, np.float32),
        normal_of=np.array([1], np.int32),
    )
    concentration = 1.0 + 4.0 * regions[0]
    shares = np.ones((1, *concentration.shape), np.float32)
    return uncertainty.doses_of_concentration(concentration, distance, regions, shares, np.zeros(1, np.float32), data)


@pytest.mark.parametrize("radius_mm", [7.0, 12.0])
@pytest.mark.slow
def test_the_histogram_of_a_hot_sphere_is_that_of_a_fine_grid(radius_mm):
    fine = away_mm(0.5) < radius_mm
    dose = np.asarray(dosimetry.convolve_octant(jnp.asarray(1.0 + 4.0 * fine, jnp.float32), octant(0.5)))[fine]
    found = treatment(radius_mm, SHELL_MM, SHELL_PART, octant(4.0))
    expected = np.quantile(dose, 1.0 - FRACTIONS)
    np.testing.assert_allclose(found.d_gy[0, :4], expected[:4], rtol=0.03)
    # At the surface itself the voxels decide.
    assert float(found.d_gy[0, 4]) == pytest.approx(expected[4], rel=0.1)
    assert float(found.v_fraction[0]) == pytest.approx(np.mean(dose >= 4.0), abs=0.04)


@pytest.mark.slow
def test_local_deposition_has_the_dose_of_the_lesion_up_to_its_contour():
    found = treatment(8.0, *uncertainty.kernel_shells(None, DENSITY), np.ones((1, 1, 1), np.float32))
    # Without range the dose is 5 everywhere in the lesion and 1 outside; voxels of 4 mm would have all doses between.
    np.testing.assert_allclose(found.d_gy[0], 5.0, rtol=0.03)
    assert float(found.v_fraction[0]) > 0.98 and float(found.v_fraction[1]) < 0.02


def test_the_edge_response_is_that_of_random_points():
    rng = np.random.default_rng(2)
    radius = rng.choice(RADIAL.radius_mm, 400_000, p=RADIAL.fractions)
    radius *= RADIAL.medium_density_g_per_ml / (DENSITY * dosimetry.TISSUE_ELECTRONS_PER_WATER)
    direction = rng.normal(size=(radius.size, 3))
    ends = radius[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    for ball_mm in (6.0, 15.0):
        for distance_mm in (-5.0, -2.0, -0.5, 0.5, 3.0):
            inside = np.linalg.norm(ends + np.array([ball_mm + distance_mm, 0.0, 0.0]), axis=1) < ball_mm
            found = uncertainty.edge_response(
                np.array([distance_mm], np.float32), np.array([1 / ball_mm], np.float32), SHELL_MM, SHELL_PART
            )
            assert float(found[0]) == pytest.approx(inside.mean(), abs=0.012)
    flat = uncertainty.edge_response(np.zeros(1, np.float32), np.zeros(1, np.float32), SHELL_MM, SHELL_PART)
    assert float(flat[0]) == pytest.approx(0.5, abs=1e-6)  # a plane


@pytest.mark.slow
def test_a_lesion_of_two_territories_keeps_the_step_of_its_activity():
    axes = np.meshgrid(*(4.0 * (np.arange(24) - 11.5),) * 3, indexing="ij")
    away = np.sqrt(sum(a**2 for a in axes))
    distance = np.stack([away - 10.0, axes[0], -axes[0], away - 40.0]).astype(np.float32)
    spacing = np.full(3, 4.0, np.float32)
    regions = np.asarray(uncertainty.regions_of(distance, spacing, lesions=1))
    shares = np.asarray(uncertainty.territory_shares(distance, spacing, lesions=1))
    level = np.tensordot(np.array([3.0, 1.0]), shares, axes=1)
    truth = level * (4.0 * regions[0] + 1.0 - regions[0]) * (1.0 - regions[-1])
    data = replace(_any_data(), spacing_mm=spacing, fwhm_mm=np.full(3, 12.0, np.float32))
    image = np.asarray(gaussian_blur(truth.astype(np.float32), spacing, np.full(3, 12.0, np.float32)))
    divided = np.asarray(uncertainty.recovered_concentration(image, regions, data, shares=shares))
    uniform = np.asarray(uncertainty.recovered_concentration(image, regions, data))
    core = regions[0] > 0.99
    errors = [np.abs(one[core] / truth[core] - 1.0).max() for one in (divided, uniform)]
    assert errors[0] < 0.05 and errors[1] > 0.25


def _any_data():
    zero = np.zeros(1, np.float32)
    return uncertainty.TreatmentData(
        spacing_mm=np.ones(3, np.float32),
        fwhm_mm=np.ones(3, np.float32),
        activity_mbq=np.ones(2, np.float32),
        image_mbq_per_unit=np.float32(0.0),
        gy_ml_per_mbq=np.float32(1.0),
        lung_gy_per_mbq=np.float32(1.0),
        octant=np.ones((1, 1, 1), np.float32),
        octant_slope=np.zeros((1, 1, 1), np.float32),
        shell_mm=zero,
        shell_part=zero + 1.0,
        members=np.zeros((1, 4), np.float32),
        near=np.full((1, 4), -1, np.int32),
        fractions=zero + 0.7,
        threshold_gy=zero,
        bed_per_gy=zero,
        normal_of=np.zeros(1, np.int32),
    )


@pytest.mark.slow
def test_many_points_in_bins_are_those_of_the_sorted_ones():
    rng = np.random.default_rng(3)
    dose = rng.gamma(8.0, 20.0, MANY).astype(np.float32)
    weight = (rng.random(MANY) * (rng.random(MANY) > 0.5)).astype(np.float32)
    levels, part = histogram_points(dose, weight, FRACTIONS, jnp.float32(150.0))
    few = slice(0, MANY - 1)
    sorted_levels, sorted_part = histogram_points(dose[few], weight[few], FRACTIONS, jnp.float32(150.0))
    np.testing.assert_allclose(levels, sorted_levels, rtol=5e-3)
    assert float(part) == pytest.approx(float(sorted_part), abs=2e-3)
    nothing = histogram_points(dose, np.zeros_like(dose), FRACTIONS, jnp.float32(150.0))
    assert np.all(np.isfinite(nothing[0])) and float(nothing[1]) == 0.0


def test_the_volume_above_a_dose_is_where_the_histogram_reaches_it():
    doses = stats.norm.isf(np.asarray(VOLUMES, np.float64), 100.0, 20.0)[None]
    for threshold, expected in ((100.0, 0.5), (120.0, stats.norm.sf(1.0)), (75.0, stats.norm.sf(-1.25))):
        assert volume_above(doses, np.array([threshold]))[0] == pytest.approx(expected, abs=0.004)
    # Hotter and colder than every known point; a lower band of the dose gives a lower volume.
    assert volume_above(doses, np.array([200.0]))[0] == 0.0 and volume_above(doses, np.array([0.0]))[0] == 1.0
    assert volume_above(0.8 * doses, np.array([100.0]))[0] < 0.5 < volume_above(1.2 * doses, np.array([100.0]))[0]
