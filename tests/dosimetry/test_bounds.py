import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax import dosimetry as d


def test_by_hand_and_under_jit():
    arguments = [jnp.asarray(x) for x in ([205.0, 205.0], [0.12, 0.2], [75.0, 30.0], [0.02, 0.004])]
    lower, upper = jax.jit(d.activity_interval_mbq)(*arguments)
    assert float(lower) == pytest.approx(205 / 0.12, rel=1e-6)
    assert float(upper) == pytest.approx(3750.0, rel=1e-6)


def test_the_same_bounds_as_the_prescription():
    vois = d.compartment_vois(
        [
            d.CompartmentTerritory(
                name="all",
                normal_volume_ml=800.0,
                tumours=(d.TumourCompartment(name="T", volume_ml=60.0, tn_ratio=4.0),),
                lung_shunt_fraction=0.05,
            )
        ],
        untreated_volume_ml=400.0,
        density_g_per_ml=1.05,
        constant_gy_g_per_mbq=49.38,
        lung_mass_g=900.0,
        previous_lung_gy=0.0,
    )
    rate = {voi.role: voi.mean_gy_per_mbq[0] for voi in vois}
    lower, upper = d.activity_interval_mbq(
        jnp.asarray([205.0]),
        jnp.asarray([rate["tumour"]]),
        jnp.asarray([75.0, 30.0]),
        jnp.asarray([rate["whole_normal"], rate["lungs"]]),
    )
    objectives = d.load_protocol("glass-hcc-lobectomy").objectives(hepatic_reserve_fraction=0.32)
    plan = d.prescribe(vois, objectives, [d.Injection(territory="all", residual_fraction=0.0)], strategy="upper")
    assert float(lower) == pytest.approx(plan.territories[0].lower_bound_mbq, rel=1e-5)
    assert float(upper) == pytest.approx(plan.territories[0].upper_bound_mbq, rel=1e-5)


def test_gradient_of_the_upper_bound_to_tn_and_shunt():
    def upper(tn, lsf):
        dose = d.partition_dose_gy(
            1.0,
            jnp.asarray([0.3, 0.1]),
            tn,
            normal_volume_ml=1.5,
            density_g_per_ml=1.05,
            constant_gy_g_per_mbq=1.0,
            lung_shunt_fraction=lsf,
        )
        return d.activity_interval_mbq(jnp.asarray([2.0, 2.0]), dose.tumour, jnp.asarray([0.8]), dose.normal[None])[1]

    check_grads(jax.jit(upper), (jnp.asarray([4.0, 2.0]), 0.06), order=1, modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)
    # By hand: A = D_N rho (sum TN V + V_N) / (K (1 - LSF)), so dA/dTN_i = D_N rho V_i / (K (1 - LSF)).
    gradient = jax.grad(upper)(jnp.asarray([4.0, 2.0]), 0.06)
    np.testing.assert_allclose(gradient, 0.8 * 1.05 * np.array([0.3, 0.1]) / 0.94, rtol=1e-5)
