import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from scipy import integrate, special

from sirtjax.errors import InputError
from sirtjax.partial_volume import recovery_coefficients, recovery_corrected_means, sphere_recovery

SPACING_MM, FWHM_MM = (3.0, 4.0, 5.0), (9.0, 8.0, 12.0)


def blurred_sphere(r, radius, sigma):
    """Concentration at distance r from the centre of a unit sphere of concentration 1 after a Gaussian blur."""
    plus, minus = (radius + r) / (np.sqrt(2) * sigma), (radius - r) / (np.sqrt(2) * sigma)
    edge = sigma / (r * np.sqrt(2 * np.pi)) * (np.exp(-(minus**2)) - np.exp(-(plus**2)))
    return 0.5 * (special.erf(plus) + special.erf(minus)) - edge


@pytest.mark.parametrize("radius_mm", [0.3, 1.0, 2.0, 4.0, 5.0, 10.0, 18.5, 40.0, 200.0])
@pytest.mark.parametrize("fwhm_mm", [6.0, 12.0])
def test_sphere_equals_quadrature(radius_mm, fwhm_mm):
    sigma = fwhm_mm * reference.SIGMA_PER_FWHM
    total, _ = integrate.quad(lambda r: blurred_sphere(r, radius_mm, sigma) * r**2, 0, radius_mm, epsabs=1e-12)
    expected = 3 * total / radius_mm**3
    assert float(sphere_recovery(radius_mm, fwhm_mm)) == pytest.approx(expected, rel=3e-5)


def test_sphere_gradients_and_arrays():
    radii = np.array([0.5, 2.0, 2.1, 5.0, 30.0])
    with jax.enable_x64(True):
        d_radius, d_fwhm = jax.vmap(jax.jit(jax.grad(sphere_recovery, argnums=(0, 1))), in_axes=(0, None))(
            jnp.asarray(radii, jnp.float64), jnp.asarray(6.0, jnp.float64)
        )
        rise = (sphere_recovery(radii + 1e-4, 6.0) - sphere_recovery(radii - 1e-4, 6.0)) / 2e-4
        widen = (sphere_recovery(radii, 6.0001) - sphere_recovery(radii, 5.9999)) / 2e-4
        np.testing.assert_allclose(d_radius, rise, rtol=1e-6)
        np.testing.assert_allclose(d_fwhm, widen, rtol=1e-6)


def test_coefficients_equal_the_definition(regions):
    expected = np.diag(reference.transfer_matrix(regions, SPACING_MM, FWHM_MM))
    np.testing.assert_allclose(recovery_coefficients(regions, SPACING_MM, FWHM_MM), expected, rtol=1e-5)


def test_a_voxelised_sphere_has_the_coefficient_of_the_closed_form():
    fine, _ = reference.fine_sphere((24, 24, 24), (2.0,) * 3, (5, 5, 5), radius_mm=10.0)
    found = recovery_coefficients(reference.voxel_means(fine, (5, 5, 5))[None], (2.0,) * 3, 12.0)
    # Voxels blur too: the sphere's occupancy is smoothed by 2 mm boxes.
    assert float(found[0]) == pytest.approx(float(sphere_recovery(10.0, 12.0)), abs=0.01)


def test_jit_and_gradient_by_fwhm(regions):
    compiled = jax.jit(lambda f: recovery_coefficients(regions, SPACING_MM, f))
    np.testing.assert_allclose(compiled(8.0), recovery_coefficients(regions, SPACING_MM, 8.0), rtol=1e-5)
    found = jax.jacrev(compiled)(8.0)
    pair = [np.diag(reference.transfer_matrix(regions, SPACING_MM, f)) for f in (8.001, 7.999)]
    np.testing.assert_allclose(found, (pair[0] - pair[1]) / 2e-3, rtol=2e-3)


def test_corrected_means_by_hand():
    found = recovery_corrected_means(np.array([2.5, 1.0]), np.array([0.5, 0.25]), background=np.array([1.0, 0.0]))
    np.testing.assert_allclose(found, [4.0, 4.0])


def test_wrong_inputs(regions):
    with pytest.raises(InputError, match=r"masks\[1\]: empty; remove it"):
        recovery_coefficients(regions * np.array([1, 0, 1], "f4")[:, None, None, None], SPACING_MM, 6.0)
    with pytest.raises(InputError, match="masks: expected occupancies from 0 to 1, found 0 to 2"):
        recovery_coefficients(2 * regions, SPACING_MM, 6.0)
    with pytest.raises(InputError, match="masks: no regions"):
        recovery_coefficients(regions[:0], SPACING_MM, 6.0)
    with pytest.raises(InputError, match="masks: expected 4 axes"):
        recovery_coefficients(regions[0], SPACING_MM, 6.0)
    with pytest.raises(InputError, match="radius_mm: expected positive"):
        sphere_recovery(0.0, 6.0)
    with pytest.raises(InputError, match="fwhm_mm: expected positive"):
        sphere_recovery(5.0, -6.0)
    with pytest.raises(InputError, match="recovery: expected numbers above 0 and at most 1"):
        recovery_corrected_means(1.0, 0.0, background=0.0)
