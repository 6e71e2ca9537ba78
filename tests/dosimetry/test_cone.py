"""The cone method against the kernel in uniform tissue and against exact integrals where densities differ."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.dosimetry import (
    absorbed_dose_gy,
    cone_dose_gy,
    cone_extent,
    get_nuclide,
    get_radial_kernel,
    lightest_lung_g_per_ml,
)
from sirtjax.errors import ConfigError

Y90 = get_nuclide("y90-icrp107")
K = Y90.dose_constant_gy_kg_per_gbq
GRAVES = get_radial_kernel("y90-graves2019-water")
SPACING = np.array([4.4, 4.4, 2.5], np.float32)
MEDIUM = 1.05
EXTENT = cone_extent([4.4, 4.4, 2.5], radial=GRAVES, medium_density_g_per_ml=MEDIUM)
entry = partial(absorbed_dose_gy, nuclide=Y90, method="cone", medium_density_g_per_ml=MEDIUM)
pure = jax.jit(
    lambda activity, density: cone_dose_gy(
        activity, density, SPACING, constant=K, radial=GRAVES, medium_density_g_per_ml=MEDIUM, extent=EXTENT
    )
)


def slab(lung_g_per_ml: float, shape: tuple[int, int, int] = (21, 21, 36)) -> tuple[np.ndarray, np.ndarray]:
    """Liver with 1 MBq/mL below the middle of the last axis, lung without activity above."""
    liver = np.broadcast_to(np.arange(shape[2]) < shape[2] // 2, shape).astype(np.float32)
    activity = liver * np.prod(SPACING) * np.float32(1e-3)
    return activity, (liver * MEDIUM + (1 - liver) * lung_g_per_ml).astype(np.float32)


def exact_profile(depth_mm: np.ndarray, lung_g_per_ml: float) -> np.ndarray:
    """Gy per MBq/mL along the axis of a slab: liver below 0, lung above.

    By reciprocity a point at distance t of water from the plane sees the liver under the angles whose straight path to
    the plane is shorter than the shell. In lung only the density on the way to the plane counts.
    """
    r = GRAVES.radius_mm
    fraction = GRAVES.fractions
    rho = np.where(depth_mm > 0, lung_g_per_ml, MEDIUM)
    water = np.abs(depth_mm) * rho * 0.991
    beyond = 0.5 * np.clip(1 - water[:, None] / r[None], 0, None) @ fraction  # part of the shells across the plane
    return K / MEDIUM * np.where(depth_mm > 0, beyond, 1 - beyond)


@pytest.mark.parametrize("density", [1.05, 0.97])
def test_uniform_tissue_equals_the_kernel(density: float) -> None:
    """Exact at the medium's density; at another density the rays' own error of a few tenths of a per cent remains."""
    rng = np.random.default_rng(0)
    activity = np.zeros((14, 13, 22), np.float32)
    activity[4:-4, 4:-4, 6:-6] = rng.random((6, 5, 10))
    cone = entry(activity, density, SPACING)
    kernel = absorbed_dose_gy(
        activity,
        density,
        SPACING,
        nuclide=Y90,
        method="kernel",
        lung=np.zeros_like(activity),
        medium_density_g_per_ml=density,
    )
    tolerance = 1e-5 if density == MEDIUM else 4e-3
    np.testing.assert_allclose(cone, kernel, atol=tolerance * float(kernel.max()))
    assert cone.sum() == pytest.approx(kernel.sum(), rel=1e-3)


@pytest.mark.parametrize("lung_g_per_ml", [0.26, 0.4])
def test_flat_interface_is_the_exact_integral(lung_g_per_ml: float) -> None:
    """No activity in the lung, so the dose on both sides is a one-dimensional integral over the shells."""
    activity, density = slab(lung_g_per_ml)
    found = entry(activity, density, SPACING)[10, 10]
    middle = activity.shape[2] // 2
    fine = (np.arange(-15.0, 10.0, 0.01) + 0.005).reshape(-1, 250)
    exact = np.array([exact_profile(voxel, lung_g_per_ml).mean() for voxel in fine])
    voxels = slice(middle - 6, middle + 4)
    np.testing.assert_allclose(found[voxels], exact, atol=0.01 * K / MEDIUM)
    assert found[voxels][6:].sum() == pytest.approx(exact[6:].sum(), rel=0.03)
    # Against a mistake that would do without densities: with tissue above, the first lung voxels get far less.
    uniform = entry(activity, MEDIUM, SPACING)[10, 10]
    assert found[middle + 2] > 1.5 * uniform[middle + 2]


def test_dose_in_lung_does_not_depend_on_the_density_behind_it() -> None:
    """Rays see only what is between source and voxel."""
    activity, density = slab(0.3)
    changed = density.copy()
    changed[..., 26:] = 1.05
    one, other = entry(activity, density, SPACING)[10, 10], entry(activity, changed, SPACING)[10, 10]
    np.testing.assert_allclose(one[:24], other[:24], rtol=1e-5)
    assert other[28] < 0.95 * one[28]


@pytest.mark.slow
def test_gradients_and_batches() -> None:
    """The hand-written adjoint against the linear function, density against differences, a batch against one by one."""
    rng = np.random.default_rng(1)
    shape = (7, 6, 9)
    activity, weight, other = (rng.random((2, *shape)).astype(np.float32) for _ in range(3))
    density = rng.uniform(0.3, 1.1, (2, *shape)).astype(np.float32)

    def score(a: jax.Array, rho: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.vdot(pure(a, rho), w)

    slopes = jax.jit(jax.vmap(jax.value_and_grad(score, argnums=(0, 1))))
    value, (in_activity, in_density) = slopes(activity, density, weight)
    for n in range(2):
        assert float(value[n]) == pytest.approx(float(score(activity[n], density[n], weight[n])), rel=1e-5)
        assert float(value[n]) == pytest.approx(float(np.vdot(in_activity[n], activity[n])), rel=1e-5)
        elsewhere = float(score(other[n], density[n], weight[n]))
        assert elsewhere == pytest.approx(float(np.vdot(in_activity[n], other[n])), rel=1e-5)
    step = (0.01 * other).astype(np.float32)
    up, _ = slopes(activity, density + step, weight)
    down, _ = slopes(activity, density - step, weight)
    for n in range(2):
        assert float(np.vdot(in_density[n], step[n])) == pytest.approx(float(up[n] - down[n]) / 2, rel=0.01)


def test_one_program_for_all_clinical_spacings() -> None:
    sizes = [cone_extent(s, radial=GRAVES, medium_density_g_per_ml=MEDIUM) for s in ((3.0, 3.0, 3.0), (2.2, 4.8, 5.0))]
    assert sizes[0] == sizes[1] == EXTENT
    assert cone_extent((2.0, 2.0, 2.0), radial=GRAVES, medium_density_g_per_ml=MEDIUM) != EXTENT


def test_too_fine_voxels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(0\.8, 3\.0, 3\.0\) is too fine for the cone method; resample"):
        cone_extent((0.8, 3.0, 3.0), radial=GRAVES, medium_density_g_per_ml=MEDIUM)


def test_cone_needs_a_kernel_and_the_density_of_the_medium() -> None:
    activity = np.ones((2, 2, 2), np.float32)
    with pytest.raises(ConfigError, match="the cone method needs a positive medium_density_g_per_ml"):
        absorbed_dose_gy(activity, 1.0, SPACING, nuclide=Y90, method="cone")


def test_air_and_zero_density_are_finite() -> None:
    dose = entry(np.ones((6, 6, 8), np.float32), 0.0, SPACING)
    assert np.isfinite(dose).all()


def test_rays_follow_the_lightest_lung() -> None:
    """Longer rays through light lung; a few voxels of air do not count, and too fine voxels keep the shorter rays."""
    lung = np.full((20, 20, 20), 1.05, np.float32)
    assert lightest_lung_g_per_ml(lung) == 1.0
    lung[:, :, 10:] = 0.12
    lung[0, 0, :5] = 0.001
    assert lightest_lung_g_per_ml(lung) == pytest.approx(0.12)
    extents = [
        cone_extent((3.0, 3.0, 3.0), radial=GRAVES, medium_density_g_per_ml=MEDIUM, lightest_g_per_ml=density)
        for density in (1.0, 0.26, 0.12)
    ]
    assert extents[0] == extents[1] == cone_extent((3.0, 3.0, 3.0), radial=GRAVES, medium_density_g_per_ml=MEDIUM)
    assert extents[2].steps > extents[0].steps and extents[2].reach_voxels > extents[0].reach_voxels
    fine = cone_extent((1.5, 3.0, 3.0), radial=GRAVES, medium_density_g_per_ml=MEDIUM, lightest_g_per_ml=0.12)
    assert fine.steps == extents[0].steps


@pytest.mark.slow
def test_light_lung_far_from_the_liver() -> None:
    """30 to 45 mm above the liver in lung of 0.12 g/mL, where rays of 48 mm miss a tenth of the dose."""
    activity, density = slab(0.12, (41, 41, 60))
    middle = entry(activity, density, SPACING.tolist())[20, 20]
    height = (np.arange(60) - 30 + 0.5) * SPACING[2]
    far = (height > 30) & (height < 45)
    exact = exact_profile(height[far], 0.12)
    assert middle[far].sum() == pytest.approx(exact.sum(), rel=0.05)
    short = pure(activity, density)[20, 20]
    assert float(short[far].sum()) < 0.9 * exact.sum()
