from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.dosimetry import (
    TISSUE_ELECTRONS_PER_WATER,
    get_radial_kernel,
    kernel_radius_voxels,
    octant_kernel,
    sphere_self_fraction,
    voxel_kernel,
)
from sirtjax.errors import ConfigError

GRAVES = get_radial_kernel("y90-graves2019-water")
TISSUE = 1.04
ENERGY_MEV = 0.93311  # ICRP 107, as in the tables compared with

LANCONELLI = np.loadtxt(Path(__file__).parents[1] / "reference" / "lanconelli2012_y90_soft_near.csv", delimiter=",")


@partial(jax.jit, static_argnames="radius_voxels")
def compiled(spacing_mm: np.ndarray, density: float, radius_voxels: tuple[int, int, int]) -> jax.Array:
    return octant_kernel(spacing_mm, radial=GRAVES, medium_density_g_per_ml=density, radius_voxels=radius_voxels)


def octant(spacing_mm: tuple[float, float, float], density: float = TISSUE) -> np.ndarray:
    radius = kernel_radius_voxels(spacing_mm, radial=GRAVES, medium_density_g_per_ml=density)
    return np.asarray(compiled(np.asarray(spacing_mm, np.float32), density, radius))


def s_value(spacing_mm: tuple[float, float, float], offset: tuple[int, int, int]) -> float:
    """mGy/(MBq s)."""
    mass_kg = TISSUE * np.prod(spacing_mm) * 1e-6
    return float(octant(spacing_mm)[offset] * ENERGY_MEV * 1.602176634e-13 / mass_kg * 1e9)


def test_table_is_the_published_one() -> None:
    assert len(GRAVES.energy_mev) == 120
    assert GRAVES.range_mm == 12.0
    assert "doi:10.1002/mp.13789" in GRAVES.source
    # The published total less the first 12 mm: bremsstrahlung and what rounding loses.
    assert GRAVES.untabulated_fraction == pytest.approx(0.004, abs=1e-4)
    assert (GRAVES.fractions * GRAVES.radius_mm).sum() == pytest.approx(2.69, abs=0.01)


@pytest.mark.parametrize("row", LANCONELLI, ids=lambda r: f"{r[0]:g}mm-{r[1]:.0f}{r[2]:.0f}{r[3]:.0f}")
def test_near_s_values_of_lanconelli(row: np.ndarray) -> None:
    """T9: against Lanconelli et al. 2012."""
    size_mm, *offset, published = row
    ours = s_value((size_mm,) * 3, tuple(int(i) for i in offset))
    assert ours == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(("size_mm", "published"), [(3.0, 1.61), (6.0, 0.346)])
def test_self_s_value_of_mird_17(size_mm: float, published: float) -> None:
    """T9: against Bolch et al. 1999."""
    assert s_value((size_mm,) * 3, (0, 0, 0)) == pytest.approx(published, rel=0.03)


def test_self_s_value_of_anisotropic_voxel_by_monte_carlo() -> None:
    """T9: against DPM Monte Carlo."""
    assert s_value((4.0, 4.0, 3.0), (0, 0, 0)) == pytest.approx(1.013, rel=0.04)


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 3.0), (2.0, 2.5, 5.0), (4.8, 4.8, 2.4)])
def test_agrees_with_random_sampling(spacing_mm: tuple[float, float, float]) -> None:
    # A decay anywhere in the source voxel, its energy at a random radius in a random direction.
    rng = np.random.default_rng(7)
    n = 1_000_000
    radius = rng.choice(GRAVES.radius_mm, n, p=GRAVES.fractions) + rng.uniform(-0.05, 0.05, n)
    direction = rng.normal(size=(n, 3))
    direction *= (radius / (0.991 * TISSUE) / np.linalg.norm(direction, axis=1))[:, None]
    voxel = np.abs(np.floor(rng.random((n, 3)) + direction / spacing_mm)).astype(int)
    ours = octant(spacing_mm)
    for offset in np.ndindex(2, 2, 2):
        mirrored = 2 ** np.count_nonzero(offset)
        sampled = np.count_nonzero((voxel == offset).all(axis=1)) / n / mirrored
        assert ours[offset] == pytest.approx(sampled, rel=0.01), offset


@pytest.mark.parametrize("spacing_mm", [(0.8, 0.9, 1.2), (1.0, 3.0, 6.0), (3.0, 3.0, 3.0), (4.8, 4.8, 4.8)])
def test_all_energy_is_accounted_for(spacing_mm: tuple[float, float, float]) -> None:
    radius = kernel_radius_voxels(spacing_mm, radial=GRAVES, medium_density_g_per_ml=TISSUE)
    kernel = voxel_kernel(np.asarray(spacing_mm), radial=GRAVES, medium_density_g_per_ml=TISSUE, radius_voxels=radius)
    assert kernel.shape == tuple(2 * r + 1 for r in radius)
    assert float(kernel.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(kernel.min()) >= 0
    for axis in range(3):
        np.testing.assert_array_equal(kernel, jnp.flip(kernel, axis))


def test_symmetric_under_permutation_of_axes() -> None:
    cube = octant((3.0, 3.0, 3.0))
    np.testing.assert_allclose(cube, cube.transpose(1, 2, 0), atol=2e-7)
    np.testing.assert_allclose(cube, cube.transpose(0, 2, 1), atol=2e-7)
    np.testing.assert_allclose(octant((2.0, 2.5, 5.0)), octant((5.0, 2.0, 2.5)).transpose(1, 2, 0), atol=2e-7)


def test_tissue_holds_fewer_electrons_than_water() -> None:
    # Percent of mass in adult liver (ICRU Report 46, 1992), atomic number and weight (IUPAC).
    liver = {
        "H": (10.2, 1, 1.008),
        "C": (13.9, 6, 12.011),
        "N": (3.0, 7, 14.007),
        "O": (71.6, 8, 15.999),
        "Na": (0.2, 11, 22.990),
        "P": (0.3, 15, 30.974),
        "S": (0.3, 16, 32.06),
        "Cl": (0.2, 17, 35.45),
        "K": (0.3, 19, 39.098),
    }
    assert sum(percent for percent, _, _ in liver.values()) == pytest.approx(100)
    per_gram = sum(percent / 100 * number / weight for percent, number, weight in liver.values())
    water_per_gram = (2 * 1 + 8) / (2 * 1.008 + 15.999)
    assert per_gram / water_per_gram == pytest.approx(TISSUE_ELECTRONS_PER_WATER, abs=5e-4)


def test_denser_tissue_shortens_the_range() -> None:
    # Radii times density: a medium twice as dense seen with voxels half as large is the same picture.
    np.testing.assert_allclose(octant((4.0, 5.0, 6.0), 1.0), octant((2.0, 2.5, 3.0), 2.0), atol=1e-6)


@pytest.mark.parametrize(
    ("radius_mm", "share"),
    [(5, 0.636), (6.2, 0.700), (10, 0.810), (15, 0.8725), (20, 0.9045), (30, 0.937)],
)
def test_sphere_keeps_the_known_share(radius_mm: float, share: float) -> None:
    """T10: known to 1 %, by a point kernel derived from thirteen tables of Lanconelli et al., independent of ours."""
    ours = sphere_self_fraction(radius_mm, radial=GRAVES, medium_density_g_per_ml=TISSUE)
    assert float(ours) == pytest.approx(share, rel=0.01)


def test_sphere_share_runs_from_nothing_to_all() -> None:
    shares = np.asarray(
        sphere_self_fraction(np.array([0.01, 1.0, 10.0, 1e4]), radial=GRAVES, medium_density_g_per_ml=TISSUE)
    )
    assert shares[0] < 0.01
    assert np.all(np.diff(shares) > 0)
    assert shares[-1] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_gradient_in_spacing() -> None:
    weight = np.random.default_rng(0).random((9, 9, 5)).astype(np.float32)

    @jax.jit
    @jax.value_and_grad
    def score(spacing_mm: jax.Array) -> jax.Array:
        return jnp.sum(compiled(spacing_mm, TISSUE, (8, 8, 4)) * weight)

    at = np.array([2.0, 2.5, 4.0], np.float32)
    for axis, exact in enumerate(np.asarray(score(at)[1])):
        step = np.zeros(3, np.float32)
        step[axis] = 0.02
        numeric = (float(score(at + step)[0]) - float(score(at - step)[0])) / 0.04
        assert exact == pytest.approx(numeric, rel=0.02), axis


def test_jit_equals_eager_and_vmap_equals_loop() -> None:
    kernel = partial(octant_kernel, radial=GRAVES, medium_density_g_per_ml=TISSUE, radius_voxels=(4, 4, 4))
    spacings = jnp.asarray([[3.0, 4.0, 5.0], [4.8, 4.8, 3.0]])
    together = jax.jit(jax.vmap(kernel))(spacings)
    for one, spacing in zip(together, spacings, strict=True):
        np.testing.assert_allclose(one, kernel(spacing), atol=2e-7)


def test_radius_steps_hold_the_range() -> None:
    steps = partial(kernel_radius_voxels, radial=GRAVES, medium_density_g_per_ml=TISSUE)
    assert steps((4.8, 3.0, 2.0)) == (4, 4, 8)
    assert steps((0.8, 1.0, 2.910)) == (16, 16, 8)
    assert steps((2.911, 2.911, 2.911)) == (4, 4, 4)


def test_too_fine_spacing_says_how_coarse() -> None:
    with pytest.raises(ConfigError, match=r"range of 11.6 mm spans 39 voxels.* to 0.36 mm or coarser"):
        kernel_radius_voxels((0.3, 0.3, 2.0), radial=GRAVES, medium_density_g_per_ml=TISSUE)


def test_unknown_table_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown radial kernel 'x'; choose one of y90-graves2019-water"):
        get_radial_kernel("x")
