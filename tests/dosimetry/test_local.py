import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax.dosimetry import absorbed_dose_gy, get_nuclide, local_deposition_dose_gy, voxel_mass_g
from sirtjax.errors import ConfigError, InputError

THESIS = get_nuclide("y90-thesis")
SPACING = (2.0, 2.5, 5.0)


def test_one_gbq_in_one_kg_gives_the_constant() -> None:
    """T2."""
    dose = local_deposition_dose_gy(1000.0, 1000.0, constant=THESIS.dose_constant_gy_kg_per_gbq)
    assert float(dose) == pytest.approx(49.38, abs=5e-3)  # thesis Eq. 1.3


def test_610_mbq_in_one_kg_of_lung_is_30_gy() -> None:
    """T2."""
    dose = local_deposition_dose_gy(610.0, 1000.0, constant=THESIS.dose_constant_gy_kg_per_gbq)
    assert float(dose) == pytest.approx(30.12, abs=5e-3)  # thesis section 1.5


def test_mass_by_hand_and_floor_in_air() -> None:
    density = np.array([[[1.04, 0.26, 0.0013, 0.0]]], np.float32)
    np.testing.assert_allclose(
        voxel_mass_g(density, SPACING), 0.025 * np.array([[[1.04, 0.26, 0.05, 0.05]]]), rtol=1e-6
    )


def test_entry_point_conserves_energy_and_keeps_air_finite() -> None:
    rng = np.random.default_rng(0)
    activity = rng.random((6, 5, 4), np.float32)
    density = rng.uniform(0.2, 1.2, activity.shape).astype(np.float32)
    dose = absorbed_dose_gy(activity, density, SPACING, nuclide=THESIS, method="local")
    energy_j = (dose * density * 0.025e-3).sum()
    assert energy_j == pytest.approx(activity.sum() * 49.37884e-3, rel=1e-5)
    in_air = absorbed_dose_gy(activity, 0.0, SPACING, nuclide=THESIS, method="local")
    assert np.isfinite(in_air).all()


def test_gradient_and_vmap() -> None:
    mass = jnp.asarray([[[2.0, 4.0]]])
    gradient = jax.grad(lambda a: local_deposition_dose_gy(a, mass, constant=50.0).sum())(jnp.ones((1, 1, 2)))
    np.testing.assert_allclose(gradient, [[[25.0, 12.5]]])
    patients = jnp.stack([mass, 2 * mass])
    together = jax.vmap(lambda m: local_deposition_dose_gy(1.0, m, constant=50.0))(patients)
    np.testing.assert_allclose(together, [50.0 / mass, 25.0 / mass])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"activity_mbq": np.full((2, 2, 2), -1.0)}, InputError, r"activity_mbq is negative \(lowest -1\)"),
        (
            {"activity_mbq": np.full((2, 2, 2), np.nan)},
            InputError,
            "activity_mbq holds 8 NaN or infinite",
        ),
        (
            {"activity_mbq": np.ones((2, 2))},
            InputError,
            r"shape \(2, 2\), expected a volume",
        ),
        ({"density_g_per_ml": np.ones((2, 2, 3))}, InputError, r"density_g_per_ml has shape \(2, 2, 3\)"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, InputError, "spacing_mm must be three positive numbers"),
        ({"method": "mird"}, ConfigError, "unknown dose method 'mird'; choose kernel, local or cone"),
        ({"nuclide": get_nuclide("tc99m")}, ConfigError, "is for imaging"),
    ],
)
def test_bad_input_names_what_is_wrong(change: dict, error: type[Exception], message: str) -> None:
    arguments = {
        "activity_mbq": np.ones((2, 2, 2)),
        "density_g_per_ml": 1.04,
        "spacing_mm": SPACING,
        "nuclide": THESIS,
        "method": "local",
    } | change
    with pytest.raises(error, match=message):
        absorbed_dose_gy(**arguments)
