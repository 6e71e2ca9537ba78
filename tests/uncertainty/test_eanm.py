"""The analytic method against a Monte Carlo simulation of its model by NumPy and SciPy, and against limits.

The numbers of the worked example in Gear et al. 2018 were not available; these judges replace them.
"""

import math

import numpy as np
import pytest
from scipy import integrate, ndimage, special

from sirtjax import uncertainty
from sirtjax.errors import InputError

GIVEN = {
    "diameter_uncertainty_mm": 1.0,
    "fwhm_mm": 10.0,
    "calibration_fraction": 0.05,
    "recovery_fraction": 0.03,
    "density_fraction": 0.02,
}


def profile(distance, radius, sigma):
    """Blurred sphere of concentration 1 at a distance from its centre: two error functions and two Gaussians."""
    near, far = (radius - distance) / sigma, (radius + distance) / sigma
    steps = 0.5 * (special.erf(near / math.sqrt(2)) + special.erf(far / math.sqrt(2)))
    return steps - sigma / (distance * math.sqrt(2 * math.pi)) * (np.exp(-(near**2) / 2) - np.exp(-(far**2) / 2))


def counts(outlined, radius, sigma):
    """Counts in an outlined sphere of an image of a sphere, by quadrature."""
    return integrate.quad(lambda r: 4 * np.pi * r**2 * profile(r, radius, sigma), 1e-9, outlined)[0]


def volume_of(radius):
    return 4 / 3 * np.pi * radius**3


def test_the_edge_of_a_blurred_sphere():
    spacing, radius, fwhm = 0.75, 12.0, 9.0
    axes = np.meshgrid(*[spacing * (np.arange(81) - 40)] * 3, indexing="ij")
    away = np.sqrt(sum(a**2 for a in axes))
    sphere = np.clip(0.5 - (away - radius) / spacing, 0, 1)
    blurred = ndimage.gaussian_filter(sphere, fwhm / 2.354820045 / spacing, truncate=6)
    assert uncertainty.edge_fraction(radius, fwhm) == pytest.approx(blurred[40 + 16, 40, 40], rel=0.002)


@pytest.mark.parametrize(("volume_ml", "fwhm_mm"), [(1.0, 10.0), (8.0, 10.0), (60.0, 14.0), (1000.0, 8.0)])
def test_counts_recovery_and_mass_of_one_volume_partly_cancel(volume_ml, fwhm_mm):
    # d(R v) / dv = 2 x the edge, because both the outlined and the true sphere grow. Hence ln D falls by edge / R.
    found = uncertainty.eanm_dose_uncertainty(volume_ml, **(GIVEN | {"fwhm_mm": fwhm_mm}))
    radius, sigma = (750 * volume_ml / np.pi) ** (1 / 3), fwhm_mm / 2.354820045
    recovery = counts(radius, radius, sigma) / volume_of(radius)
    boundary = math.sqrt(found.by_source["boundary"]) * found.dose
    assert boundary == pytest.approx(profile(radius, radius, sigma) / recovery * found.volume, rel=2e-3)


@pytest.mark.parametrize(("volume_ml", "fwhm_mm"), [(2.0, 8.0), (15.0, 12.0), (120.0, 12.0)])
def test_a_simulation_of_the_model(volume_ml, fwhm_mm):
    random = np.random.default_rng(11)
    radius, sigma = (750 * volume_ml / np.pi) ** (1 / 3), fwhm_mm / 2.354820045
    u_mm = 0.015 * 2 * radius
    given = {
        "calibration_fraction": 0.04,
        "recovery_fraction": 0.02,
        "density_fraction": 0.01,
        "other": {"delivered fraction": 0.03},
    }
    found = uncertainty.eanm_dose_uncertainty(volume_ml, diameter_uncertainty_mm=u_mm, fwhm_mm=fwhm_mm, **given)
    outlined = radius + u_mm / 2 * random.standard_normal(20000)
    # Tabulated over the outlined radius, then looked up for each sample.
    table = np.linspace(outlined.min(), outlined.max(), 60)
    seen = np.interp(outlined, table, [counts(r, radius, sigma) for r in table])
    recovered = np.interp(outlined, table, [counts(r, r, sigma) / volume_of(r) for r in table])
    recovered = recovered * np.exp(0.02 * random.standard_normal(20000))
    calibrated = np.exp(0.04 * random.standard_normal(20000))
    activity = seen * calibrated / recovered
    mass = volume_of(outlined) * np.exp(0.01 * random.standard_normal(20000))
    dose = activity / mass * np.exp(0.03 * random.standard_normal(20000))
    assert found.volume == pytest.approx(volume_of(outlined).std() / volume_of(radius), rel=0.03)
    assert found.counts == pytest.approx(np.log(seen).std(), rel=0.03)
    assert found.recovery == pytest.approx(np.log(recovered).std(), rel=0.03)
    assert found.activity == pytest.approx(np.log(activity).std(), rel=0.03)
    assert found.dose == pytest.approx(np.log(dose).std(), rel=0.03)
    assert found.counts_recovery_covariance == pytest.approx(np.cov(np.log(seen), np.log(recovered))[0, 1], rel=0.15)
    joint = np.cov(np.log(activity), -np.log(mass))[0, 1]
    assert found.activity_mass_covariance == pytest.approx(joint, rel=0.15)
    parts = found.activity**2 + found.volume**2 + 0.01**2 + 2 * found.activity_mass_covariance + 0.03**2
    assert found.dose == pytest.approx(math.sqrt(parts), rel=1e-6)
    assert sum(found.by_source.values()) == pytest.approx(1.0)


def test_the_diameter_of_an_outline_is_the_difference_of_two_edges():
    random = np.random.default_rng(3)
    voxel, fwhm = 4.42, 11.0
    edges = voxel * random.uniform(-0.5, 0.5, (2, 400000)) + fwhm / 2.354820045 * random.standard_normal((2, 400000))
    found = uncertainty.outlined_diameter_uncertainty_mm(voxel, fwhm)
    assert found == pytest.approx((edges[1] - edges[0]).std(), rel=0.005)


def test_a_large_sphere_has_half_the_uncertainty_of_its_volume():
    # Half of the blur of an edge is inside: counts grow by half of the volume, and recovery is 1.
    found = uncertainty.eanm_dose_uncertainty(
        1500.0,
        diameter_uncertainty_mm=4.0,
        fwhm_mm=0.5,
        calibration_fraction=0.0,
        recovery_fraction=0.0,
        density_fraction=0.0,
    )
    assert found.dose == pytest.approx(0.5 * found.volume, rel=0.01)
    assert found.volume == pytest.approx(3 * 4.0 / 142.0, rel=0.01)


def test_smaller_lesions_are_less_certain():
    doses = [uncertainty.eanm_dose_uncertainty(ml, **GIVEN).dose for ml in (0.5, 2.0, 10.0, 50.0, 500.0)]
    assert doses == sorted(doses, reverse=True)
    assert doses[-1] > math.hypot(0.05, 0.03)  # never below the factors that every VOI shares


@pytest.mark.parametrize("name", ["volume_ml", "diameter_uncertainty_mm", "fwhm_mm"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_sizes_that_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name}: expected a number above 0"):
        uncertainty.eanm_dose_uncertainty(**({"volume_ml": 5.0} | GIVEN | {name: value}))


@pytest.mark.parametrize("name", ["calibration", "recovery", "density"])
@pytest.mark.parametrize("value", [-0.01, math.nan])
def test_relative_uncertainties_that_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name}: expected a relative uncertainty"):
        uncertainty.eanm_dose_uncertainty(5.0, **(GIVEN | {f"{name}_fraction": value}))


@pytest.mark.parametrize("name", ["calibration", "boundary"])
def test_a_further_factor_does_not_replace_a_parameter(name):
    with pytest.raises(InputError, match="other: a name is that of a parameter"):
        uncertainty.eanm_dose_uncertainty(5.0, **GIVEN, other={name: 0.5})


@pytest.mark.parametrize(("voxel", "fwhm"), [(0.0, 5.0), (4.0, -5.0)])
def test_an_outline_without_voxels_or_resolution_is_refused(voxel, fwhm):
    with pytest.raises(InputError, match="expected a number above 0"):
        uncertainty.outlined_diameter_uncertainty_mm(voxel, fwhm)
