import logging
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sirtjax.dosimetry import (
    absorbed_dose_gy,
    convolve_octant,
    get_nuclide,
    get_radial_kernel,
    kernel_dose_gy,
    lung_crossfire_energy_j,
    octant_kernel,
    voxel_kernel,
    voxel_mass_g,
)
from sirtjax.errors import ConfigError, InputError

Y90 = get_nuclide("y90-icrp107")
K = Y90.dose_constant_gy_kg_per_gbq
GRAVES = get_radial_kernel("y90-graves2019-water")
SPACING = np.array([3.0, 4.0, 5.0], np.float32)
OPTIONS = {"radial": GRAVES, "medium_density_g_per_ml": 1.04, "radius_voxels": (4, 4, 4)}
dose_of = partial(kernel_dose_gy, constant=K, **OPTIONS)
entry = partial(absorbed_dose_gy, nuclide=Y90, method="kernel", medium_density_g_per_ml=1.04)


def energy_j(dose_gy: np.ndarray, density: np.ndarray | float, spacing_mm: np.ndarray = SPACING) -> float:
    return float((dose_gy * density).sum(dtype=np.float64) * np.prod(spacing_mm) * 1e-6)


def test_equals_direct_summation() -> None:
    source = np.random.default_rng(0).random((11, 7, 14)).astype(np.float32)
    octant = octant_kernel(SPACING, **OPTIONS)
    direct = ndimage.convolve(source.astype(np.float64), np.asarray(voxel_kernel(SPACING, **OPTIONS)), mode="constant")
    np.testing.assert_allclose(convolve_octant(source, octant), direct, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("corner", [(0, 0, 0), (-1, 0, -1), (-1, -1, -1)])
def test_nothing_wraps_round(corner: tuple[int, int, int]) -> None:
    """T11: a source in a corner."""
    activity = np.zeros((16, 20, 18), np.float32)
    activity[corner] = 100.0
    dose = entry(activity, 1.04, SPACING, lung=np.zeros_like(activity))
    near = np.zeros(activity.shape, bool)
    near[tuple(slice(0, 5) if c == 0 else slice(-5, None) for c in corner)] = True
    assert dose[~near].max() < 1e-6 * dose.max()
    # The octant within the grid: half of the source's own layers, a quarter of its columns and so on.
    octant = np.asarray(octant_kernel(SPACING, **OPTIONS))
    assert energy_j(dose, 1.04) == pytest.approx(K * 0.1 * octant.sum(), rel=1e-4)


def test_energy_is_conserved_away_from_the_edge() -> None:
    rng = np.random.default_rng(1)
    activity = np.zeros((20, 18, 19), np.float32)
    activity[5:-5, 5:-5, 5:-5] = rng.random((10, 8, 9))
    density = rng.uniform(0.9, 1.2, activity.shape).astype(np.float32)
    dose = entry(activity, density, SPACING, lung=np.zeros_like(activity))
    assert energy_j(dose, density) == pytest.approx(K * 1e-3 * activity.sum(), rel=1e-4)


def test_infinite_uniform_medium_is_local_deposition() -> None:
    """T11: K A / m, with all of the nuclide's energy."""
    activity = np.full((14, 13, 12), 0.3, np.float32)
    kernel = entry(activity, 1.04, SPACING, lung=np.zeros_like(activity))
    local = absorbed_dose_gy(activity, 1.04, SPACING, nuclide=Y90, method="local")
    np.testing.assert_allclose(kernel[4:-4, 4:-4, 4:-4], local[4:-4, 4:-4, 4:-4], rtol=1e-5)
    by_hand = K * 0.3 / (1.04 * 3 * 4 * 5 * 1e-3)
    np.testing.assert_allclose(kernel[4:-4, 4:-4, 4:-4], by_hand, rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interface_of_a_half_space_gets_half(axis: int) -> None:
    """T11: by symmetry, whatever the kernel, in the middle of a half-filled layer of voxels."""
    profile = np.where(np.arange(21) < 10, 1.0, 0.0)
    profile[10] = 0.5
    activity = np.moveaxis(np.broadcast_to(profile, (13, 13, 21)), 2, axis).astype(np.float32)
    dose = entry(activity, 1.04, SPACING, lung=np.zeros_like(activity))
    along = np.moveaxis(dose, axis, 2)[6, 6]
    assert along[10] == pytest.approx(0.5 * along[5], rel=1e-5)
    np.testing.assert_allclose(along[5:16] + along[15:4:-1], along[5], rtol=1e-5)


def test_dose_goes_as_one_over_density() -> None:
    """T12."""
    activity = np.random.default_rng(2).random((9, 8, 7)).astype(np.float32)
    lung = np.zeros_like(activity)
    np.testing.assert_allclose(
        entry(activity, 0.52, SPACING, lung=lung), 2 * entry(activity, 1.04, SPACING, lung=lung), rtol=1e-5
    )


def sphere(radius_mm: float, spacing_mm: np.ndarray) -> np.ndarray:
    """The voxels whose centres lie in a sphere about a point off the grid."""
    counts = np.ceil(2 * radius_mm / spacing_mm).astype(int) + 2
    axes = [(np.arange(n) - (n - 1) / 2 + 0.2) * step for n, step in zip(counts, spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (x**2 + y**2 + z**2 <= radius_mm**2).astype(np.float32)


@pytest.mark.parametrize(
    ("radius_mm", "share", "tolerance"), [(6.2, 0.700, 0.02), (10.0, 0.810, 0.01), (20.0, 0.9045, 0.01)]
)
def test_hot_sphere_in_cold_background(radius_mm: float, share: float, tolerance: float) -> None:
    """T10: known to 1 % from a point kernel derived independently of ours; local deposition would give 1."""
    # The smallest one, made of voxels, has another percent less volume to its surface.
    spacing = np.array([0.8, 0.75, 0.78] if radius_mm < 15 else [1.5, 1.5, 1.2], np.float32)
    weight = sphere(radius_mm, spacing)
    dose = entry(weight, 1.04, spacing, lung=np.zeros_like(weight))
    local = absorbed_dose_gy(weight, 1.04, spacing, nuclide=Y90, method="local").max()
    assert (dose * weight).sum() / weight.sum() / local == pytest.approx(share, rel=tolerance)


def test_lungs_get_local_dose_and_the_spill_closes_the_energy() -> None:
    rng = np.random.default_rng(3)
    activity = np.zeros((18, 17, 22), np.float32)
    activity[5:-5, 5:-5, 5:-5] = rng.random((8, 7, 12))
    activity[5:-5, 5:-5, 5:11] = 1.0
    lung = np.zeros_like(activity)
    lung[..., 11:] = 1
    density = np.where(lung > 0, 0.26, 1.04).astype(np.float32)
    dose = entry(activity, density, SPACING, lung=lung)
    local = absorbed_dose_gy(activity, density, SPACING, nuclide=Y90, method="local")
    np.testing.assert_allclose(dose[..., 11:], local[..., 11:], rtol=1e-5)
    spill_j = float(lung_crossfire_energy_j(activity, lung, SPACING, constant=K, **OPTIONS))
    # Through a plane goes a quarter of the mean range times the area, whatever the kernel.
    mean_range_mm = (GRAVES.fractions * GRAVES.radius_mm).sum() / (0.991 * 1.04)
    by_hand_j = K * 1e-3 * (8 * 7) * (mean_range_mm / 4) / 5.0
    assert spill_j == pytest.approx(by_hand_j, rel=1e-3)
    assert energy_j(dose, density) + spill_j == pytest.approx(K * 1e-3 * activity.sum(), rel=1e-4)


def test_tissue_dose_does_not_see_activity_in_the_lungs() -> None:
    activity = np.zeros((8, 8, 16), np.float32)
    activity[..., 8:] = 1.0
    lung = (activity > 0).astype(np.float32)
    dose = entry(activity, 1.04, SPACING, lung=lung)
    assert dose[..., :8].max() == pytest.approx(0.0, abs=1e-6 * float(dose.max()))


def test_air_is_finite() -> None:
    """T12."""
    activity = np.ones((6, 6, 6), np.float32)
    dose = entry(activity, np.zeros_like(activity), SPACING, lung=np.zeros_like(activity))
    assert np.isfinite(dose).all()
    assert dose.max() <= K / (0.05 * 0.06) * 1.0001


@pytest.mark.slow
def test_operator_and_adjoint_agree() -> None:
    rng = np.random.default_rng(4)
    shape = (9, 7, 8)
    lung = (rng.random(shape) < 0.3).astype(np.float32)
    density = rng.uniform(0.3, 1.1, shape).astype(np.float32)
    x, y = (rng.random(shape).astype(np.float32) for _ in range(2))
    forward = partial(dose_of, density_g_per_ml=density, lung=lung, spacing_mm=SPACING)
    dose, pull = jax.vjp(lambda a: forward(a), x)
    (gradient,) = pull(jnp.asarray(y))
    assert float((dose * y).sum()) == pytest.approx(float((gradient * x).sum()), rel=1e-5)
    # By hand: divide by mass, mask, convolve with the same (symmetric) kernel, mask.
    per_mass = K * y / np.asarray(voxel_mass_g(density, SPACING))
    kernel = np.asarray(voxel_kernel(SPACING, **OPTIONS), np.float64)
    by_hand = (1 - lung) * ndimage.convolve((1 - lung) * per_mass, kernel, mode="constant") + lung * per_mass
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-4, atol=1e-4 * by_hand.max())


@pytest.mark.slow
def test_gradient_in_spacing() -> None:
    rng = np.random.default_rng(0)
    activity, weight = (rng.random((8, 9, 7)).astype(np.float32) for _ in range(2))

    @jax.jit
    @jax.value_and_grad
    def score(spacing_mm: jax.Array) -> jax.Array:
        return jnp.mean(weight * dose_of(activity, jnp.float32(1.04), jnp.float32(0), spacing_mm))

    for axis, exact in enumerate(np.asarray(score(SPACING)[1])):
        step = np.zeros(3, np.float32)
        step[axis] = 0.03
        numeric = (float(score(SPACING + step)[0]) - float(score(SPACING - step)[0])) / 0.06
        assert exact == pytest.approx(numeric, rel=0.01), axis


@pytest.mark.slow
def test_two_patients_at_once_equal_one_after_the_other() -> None:
    rng = np.random.default_rng(5)
    activity = rng.random((2, 8, 9, 7)).astype(np.float32)
    density = rng.uniform(0.9, 1.1, activity.shape).astype(np.float32)
    lung = (rng.random(activity.shape) < 0.2).astype(np.float32)
    spacing = np.array([[3.0, 4.0, 5.0], [4.8, 4.8, 3.2]], np.float32)
    together = jax.vmap(dose_of)(activity, density, lung, spacing)
    for patient in range(2):
        alone = dose_of(activity[patient], density[patient], lung[patient], spacing[patient])
        jitted = jax.jit(dose_of)(activity[patient], density[patient], lung[patient], spacing[patient])
        np.testing.assert_allclose(together[patient], alone, rtol=1e-4)
        np.testing.assert_allclose(jitted, alone, rtol=1e-4)


def test_second_patient_compiles_nothing(caplog: pytest.LogCaptureFixture) -> None:
    activity = np.random.default_rng(6).random((10, 9, 8)).astype(np.float32)
    lung = np.zeros_like(activity)
    entry(activity, 1.04, (3.0, 4.0, 5.0), lung=lung)
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        entry(2 * activity, 1.06, (3.3, 4.8, 4.8), lung=lung, medium_density_g_per_ml=1.05)
    assert not [r for r in caplog.records if "Compiling" in r.getMessage()]
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        entry(activity[1:], 1.04, (3.0, 4.0, 5.0), lung=lung[1:])
    assert [r for r in caplog.records if "Compiling" in r.getMessage()]


def test_float32_noise_is_a_millionth_of_the_largest_dose() -> None:
    # Stated accuracy: about 1e-6 of the largest dose everywhere, so a cold region shows no dose.
    activity = np.zeros((40, 12, 12), np.float32)
    activity[:4] = 1e4
    dose = np.asarray(dose_of(activity, np.float32(1.04), np.zeros_like(activity), SPACING))
    assert np.abs(dose[20:]).max() < 2e-6 * dose.max()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"lung": None},
            ConfigError,
            "needs the lung mask, since a soft-tissue kernel must not give",
        ),
        (
            {"lung": np.full((3, 3, 3), 2.0)},
            InputError,
            r"fractions up to 2, expected 0 to 1",
        ),
        (
            {"lung": np.zeros((3, 3, 4))},
            InputError,
            r"lung has shape \(3, 3, 4\), expected the activity",
        ),
        (
            {"medium_density_g_per_ml": None, "lung": None},
            ConfigError,
            "needs the lung mask.*; and a positive medium_density_g_per_ml",
        ),
        ({"medium_density_g_per_ml": None}, ConfigError, "needs a positive medium_density_g_per_ml"),
        (
            {"nuclide": replace(Y90, radial_kernel=None)},
            ConfigError,
            r"has no point kernel.*'local'",
        ),
        ({"spacing_mm": (0.3, 3.0, 3.0)}, ConfigError, "too fine for a dose kernel"),
    ],
)
def test_bad_input_names_what_is_wrong(change: dict, error: type[Exception], message: str) -> None:
    arguments = {
        "activity_mbq": np.ones((3, 3, 3)),
        "density_g_per_ml": 1.04,
        "spacing_mm": (3.0, 3.0, 3.0),
        "nuclide": Y90,
        "method": "kernel",
        "lung": np.zeros((3, 3, 3)),
        "medium_density_g_per_ml": 1.04,
    } | change
    with pytest.raises(error, match=message):
        absorbed_dose_gy(**arguments)
