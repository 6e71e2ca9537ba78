import deformations
import jax
import numpy as np
import pytest

from sirtjax import losses

# Compiled: running every operation by itself would compile each of them.
bending_energy, diffusion_energy = jax.jit(losses.bending_energy), jax.jit(losses.diffusion_energy)


def quadratic(coefficients):
    """u_k = 1/2 x^T Q_k x, with the second derivatives Q_k everywhere."""
    x = deformations.positions_mm()
    return np.einsum("...d,kde,...e->...k", x, coefficients, x).astype("f4") / 2


def symmetric(seed=7):
    q = np.random.default_rng(seed).normal(scale=0.01, size=(3, 3, 3))
    return q + q.transpose(0, 2, 1)


def test_bending_of_a_quadratic_field_is_its_second_derivatives():
    q = symmetric()
    np.testing.assert_allclose(bending_energy(quadratic(q), deformations.SPACING_MM), np.sum(q**2), rtol=1e-4)


def test_bending_is_zero_under_any_affine_motion():
    u = deformations.linear(deformations.SHEARING, shift_mm=(9, -4, 2))
    assert float(bending_energy(u, deformations.SPACING_MM)) < 1e-10
    assert float(bending_energy(u + deformations.rough(), deformations.SPACING_MM)) > 1e-2


def test_diffusion_of_a_linear_field_is_its_slopes():
    u = deformations.linear(deformations.SHEARING, shift_mm=(9, -4, 2))
    expected = np.sum((deformations.SHEARING - np.eye(3)) ** 2)
    np.testing.assert_allclose(diffusion_energy(u, deformations.SPACING_MM), expected, rtol=1e-5)


def test_diffusion_is_zero_under_translation():
    u = np.broadcast_to(np.array([3.0, -8.0, 0.5], "f4"), (*deformations.SHAPE, 3))
    assert float(diffusion_energy(u, deformations.SPACING_MM)) == 0


@pytest.mark.parametrize("energy", [bending_energy, diffusion_energy])
def test_refining_the_grid_changes_nothing(energy):
    """The same deformation on half the spacing: the energies are means over space of physical slopes."""

    def field(refined):
        shape = [refined * (n - 1) + 1 for n in deformations.SHAPE]
        x = deformations.positions_mm(shape=shape, spacing_mm=deformations.SPACING_MM / refined)
        smooth = np.sin(x[..., [1, 2, 0]] / 8) * np.cos(x / 10)
        return smooth.astype("f4"), deformations.SPACING_MM / refined

    np.testing.assert_allclose(energy(*field(4)), energy(*field(8)), rtol=0.05)


@pytest.mark.parametrize("energy", [bending_energy, diffusion_energy])
def test_rigidity_scales_locally(energy):
    u, spacing = deformations.rough(), deformations.SPACING_MM
    plain = float(energy(u, spacing))
    rigidity = np.ones(deformations.SHAPE, "f4")
    np.testing.assert_allclose(energy(u, spacing, rigidity=2.5 * rigidity), 2.5 * plain, rtol=1e-5)
    u[:3] = 0
    rigidity[4:] = 0  # rough where nothing resists, smooth where it does
    assert float(energy(u, spacing, rigidity=rigidity)) < 0.5 * float(energy(u, spacing))
    rigidity[:] = 0
    assert float(energy(u, spacing, rigidity=rigidity)) == 0


def test_rigidity_of_a_difference_is_the_mean_of_its_ends():
    u = np.zeros((3, 1, 1, 3), "f4")
    u[:, 0, 0, 0] = 0, 4, 10
    spacing, rigidity = np.array([2.0, 1.0, 1.0], "f4"), np.array([1.0, 3.0, 0.0], "f4").reshape(3, 1, 1)
    expected = np.mean([(4 / 2) ** 2 * 2, (6 / 2) ** 2 * 1.5])
    assert float(diffusion_energy(u, spacing, rigidity=rigidity)) == pytest.approx(expected)
    expected = ((10 - 2 * 4) / 2**2) ** 2 * (2 + 1.5) / 2
    assert float(bending_energy(u, spacing, rigidity=rigidity)) == pytest.approx(expected)


@pytest.mark.parametrize("energy", [bending_energy, diffusion_energy])
def test_an_axis_of_one_voxel_is_constant(energy):
    flat = deformations.rough()[:, :1]
    repeated = np.repeat(flat, 4, axis=1)
    np.testing.assert_allclose(
        energy(flat, deformations.SPACING_MM), energy(repeated, deformations.SPACING_MM), rtol=1e-5
    )
    assert float(energy(flat[:1, :, :1], deformations.SPACING_MM)) == 0


@pytest.mark.parametrize("energy", [bending_energy, diffusion_energy])
def test_what_does_not_fit_is_refused(energy):
    u = deformations.rough()
    with pytest.raises(ValueError, match=r"displacement_mm must have shape \(i, j, k, 3\), got \(7, 5, 6, 2\)"):
        energy(u[..., :2], deformations.SPACING_MM)
    with pytest.raises(ValueError, match=r"rigidity must have shape \(7, 5, 6\), got \(1, 5, 6\)"):
        energy(u, deformations.SPACING_MM, rigidity=np.ones((1, 5, 6)))
