import deformations
import jax
import numpy as np
import pytest

from sirtjax import losses

# Compiled: running every operation by itself would compile each of them.
spring_energy = jax.jit(losses.spring_energy, static_argnames="neighbours")
spring_slope = jax.jit(jax.value_and_grad(losses.spring_energy))

CUBIC_MM = 2.5


def brute_force(u, spacing_mm, constants, rigidity=None):
    """Energy of every pair of neighbours, one by one; each direction averaged over its pairs."""
    rigidity = np.ones(u.shape[:3]) if rigidity is None else rigidity
    energies = {}
    for at in np.ndindex(u.shape[:3]):
        for offset in np.ndindex(3, 3, 3):
            offset = np.array(offset) - 1
            other = tuple(at + offset)
            if tuple(offset) <= (0, 0, 0) or any(o < 0 or o >= n for o, n in zip(other, u.shape, strict=False)):
                continue
            rest = offset * np.asarray(spacing_mm, "f8")
            longer = np.linalg.norm(rest + u[other].astype("f8") - u[at]) - np.linalg.norm(rest)
            k = constants[np.abs(offset).sum() - 1] * (rigidity[at] + rigidity[other]) / 2
            energies.setdefault(tuple(offset), []).append(k / 2 * longer**2)
    return sum(np.mean(energy) for energy in energies.values())


@pytest.mark.parametrize(("neighbours", "constants"), [(6, (1, 0, 0)), (18, (1, 1, 0)), (26, (3 / 2, 1 / 2, 3 / 8))])
def test_equals_the_sum_over_pairs(neighbours, constants):
    u = deformations.rough()
    rigidity = np.random.default_rng(1).random(u.shape[:3]).astype("f4")
    found = spring_energy(u, deformations.SPACING_MM, neighbours=neighbours)
    np.testing.assert_allclose(found, brute_force(u, deformations.SPACING_MM, constants), rtol=1e-5)
    found = spring_energy(u, deformations.SPACING_MM, neighbours=neighbours, rigidity=rigidity)
    np.testing.assert_allclose(found, brute_force(u, deformations.SPACING_MM, constants, rigidity), rtol=1e-5)


def test_two_voxels_by_hand():
    u = np.zeros((2, 1, 1, 3), "f4")
    u[1, 0, 0] = 1, 4, 0  # a spring of 2 mm becomes one of 5 mm
    assert float(spring_energy(u, np.array([2.0, 3.0, 1.0], "f4"))) == pytest.approx(0.5 * 3**2)


@pytest.mark.parametrize("neighbours", [6, 18, 26])
def test_zero_under_rigid_motion(neighbours):
    u = deformations.linear(deformations.rotation(30), shift_mm=(20, -7, 3))
    assert float(spring_energy(u, deformations.SPACING_MM, neighbours=neighbours)) < 1e-9
    halved = spring_energy(deformations.linear(0.5 * np.eye(3)), deformations.SPACING_MM, neighbours=neighbours)
    assert float(halved) > 0.1


def modulus(strain, neighbours):
    """Elastic energy per volume of a small symmetric strain, twice, per its square; times the pitch."""
    size = 1e-3
    u = deformations.linear(np.eye(3) + size * np.asarray(strain), spacing_mm=[CUBIC_MM] * 3)
    energy = float(spring_energy(u, np.full(3, CUBIC_MM, "f4"), neighbours=neighbours))
    return 2 * energy / CUBIC_MM**3 / size**2 * CUBIC_MM


@pytest.mark.parametrize(("neighbours", "k1", "k2", "k3"), [(6, 1, 0, 0), (18, 1, 1, 0), (26, 1.5, 0.5, 0.375)])
def test_small_strains_have_the_moduli_of_the_lattice(neighbours, k1, k2, k3):
    c11, c12 = k1 + 2 * k2 + 4 / 3 * k3, k2 + 4 / 3 * k3
    c44 = c12  # Cauchy's relation of central forces
    stretch = np.diag([1.0, 0.0, 0.0])
    assert modulus(stretch, neighbours) == pytest.approx(c11, rel=3e-3)
    assert modulus(np.diag([1.0, 1.0, 0.0]), neighbours) == pytest.approx(2 * c11 + 2 * c12, rel=3e-3)
    # A shear by epsilon_xy = epsilon_yx = 1/2 has the engineering strain 1.
    shear = np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])
    assert modulus(shear, neighbours) == pytest.approx(c44, rel=3e-3, abs=1e-5)
    if neighbours > 6:  # isotropic, with Poisson's ratio 1/4
        turn = deformations.rotation(33)
        assert modulus(turn @ stretch @ turn.T, neighbours) == pytest.approx(c11, rel=3e-3)
        assert c11 == pytest.approx(3 * c44)


def test_layers_slide_freely_on_six_neighbours_only():
    u = np.zeros((*deformations.SHAPE, 3), "f4")
    u[2:, :, :, 1] = 0.01
    spacing = np.full(3, 3.0, "f4")
    assert float(spring_energy(u, spacing, neighbours=6)) < 1e-9
    assert float(spring_energy(u, spacing)) > 1e-6


def test_stiff_voxels_resist_more():
    u = deformations.rough()
    rigidity = np.ones(u.shape[:3], "f4")
    soft = float(spring_energy(u, deformations.SPACING_MM, rigidity=rigidity))
    assert soft == pytest.approx(float(spring_energy(u, deformations.SPACING_MM)), rel=1e-6)
    assert float(spring_energy(u, deformations.SPACING_MM, rigidity=3 * rigidity)) == pytest.approx(3 * soft)
    rigidity[2:4, 2:4, 2:4] = 10
    assert float(spring_energy(u, deformations.SPACING_MM, rigidity=rigidity)) > soft


def test_collapsed_voxels_have_a_finite_slope():
    u = deformations.linear(np.zeros((3, 3)))  # every voxel to one point
    value, slope = spring_slope(u, deformations.SPACING_MM)
    assert np.isfinite(value) and value > 0
    assert np.isfinite(slope).all()
    _, slope = spring_slope(np.zeros_like(u), deformations.SPACING_MM)
    assert not np.asarray(slope).any()


def test_an_axis_of_one_voxel_has_no_springs():
    u = deformations.rough()[:, :1]
    assert np.isfinite(float(spring_energy(u, deformations.SPACING_MM)))
    assert float(spring_energy(u[:1, :, :1], deformations.SPACING_MM)) == 0


def test_what_does_not_fit_is_refused():
    u = deformations.rough()
    with pytest.raises(ValueError, match="neighbours must be 6, 18 or 26, got 8"):
        spring_energy(u, deformations.SPACING_MM, neighbours=8)
    with pytest.raises(ValueError, match=r"displacement_mm must have shape \(i, j, k, 3\), got \(7, 5, 6\)"):
        spring_energy(u[..., 0], deformations.SPACING_MM)
    with pytest.raises(ValueError, match=r"rigidity must have shape \(7, 5, 6\), got \(7, 5, 5\)"):
        spring_energy(u, deformations.SPACING_MM, rigidity=np.ones((7, 5, 5)))
