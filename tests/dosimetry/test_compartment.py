import jax
import jax.numpy as jnp
import pytest
from jax.test_util import check_grads

from sirtjax import dosimetry as d

K_THESIS = d.get_nuclide("y90-thesis").dose_constant_gy_kg_per_gbq


def test_one_gbq_in_one_kg_is_the_constant_of_the_thesis():
    # Thesis Eq. 1.3: 1 GBq in 1 kg gives 49.38 Gy.
    dose = d.mono_compartment_dose_gy(1000.0, 1000.0, constant_gy_g_per_mbq=K_THESIS, lung_shunt_fraction=0.0)
    assert dose == pytest.approx(49.38, abs=0.005)


@pytest.mark.parametrize(
    ("dose_gy", "volume_ml", "lsf", "gbq"),
    [
        # Radulator, docs of its Y-90 calculator, example 1 with the shunt in the denominator: 0.895 GBq.
        (205.0, 200.0, 0.05, 0.895),
        # Radulator, y90-radiation-test-cases.json of its corrected version, cases U0 and U10.
        (100.0, 1000.0, 0.0, 2.07),
        (100.0, 1000.0, 0.10, 2.30),
    ],
)
def test_activity_for_a_dose_against_published_cases(dose_gy, volume_ml, lsf, gbq):
    activity = d.mono_compartment_activity_mbq(
        dose_gy, volume_ml * 1.03, constant_gy_g_per_mbq=49.67, lung_shunt_fraction=lsf
    )
    digits = 0.0005 if gbq < 1 else 0.005
    assert activity / 1000 == pytest.approx(gbq, abs=digits)


def test_residual_is_divided_out():
    # Radulator case UR: 2.30 GBq injected with 10 % residual means 2.56 GBq ordered.
    injected = d.mono_compartment_activity_mbq(100.0, 1030.0, constant_gy_g_per_mbq=49.67, lung_shunt_fraction=0.10)
    ordered = d.dispensed_activity_mbq(injected, residual_fraction=0.10)
    assert ordered / 1000 == pytest.approx(2.56, abs=0.005)
    assert d.delivered_activity_mbq(ordered, residual_fraction=0.10) == pytest.approx(injected)


def test_holmium_rule_gives_sixty_gray():
    # van Roekel p. 30 and 125: 3780 MBq per kg of liver is 60 Gy; with K = 15.87 it is 59.99 Gy.
    activity = d.activity_per_mass_mbq(1700.0, activity_mbq_per_kg=3780.0)
    assert activity == pytest.approx(6426.0)
    constant = d.get_nuclide("ho166-clinical").dose_constant_gy_kg_per_gbq
    for k in (15.87, constant):
        dose = d.mono_compartment_dose_gy(activity, 1700.0, constant_gy_g_per_mbq=k, lung_shunt_fraction=0.0)
        assert dose == pytest.approx(59.99, abs=0.006)


def test_activity_and_dose_are_inverse_and_batch():
    masses = jnp.asarray([200.0, 850.0, 1600.0])
    activity = d.mono_compartment_activity_mbq(120.0, masses, constant_gy_g_per_mbq=K_THESIS, lung_shunt_fraction=0.07)
    dose = jax.jit(d.mono_compartment_dose_gy)(
        activity, masses, constant_gy_g_per_mbq=K_THESIS, lung_shunt_fraction=0.07
    )
    assert dose.shape == (3,)
    assert jnp.allclose(dose, 120.0, rtol=1e-5)


def test_gradients_of_the_dose():
    def dose(activity, mass, lsf):
        return d.mono_compartment_dose_gy(activity, mass, constant_gy_g_per_mbq=K_THESIS, lung_shunt_fraction=lsf)

    check_grads(dose, (2.0, 1.5, 0.1), order=1, modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)
    assert jax.grad(dose, 2)(2.0, 1.5, 0.1) == pytest.approx(-K_THESIS * 2.0 / 1.5, rel=1e-5)
