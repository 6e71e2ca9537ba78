import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sirtjax import dosimetry as d

K_THESIS = d.get_nuclide("y90-thesis").dose_constant_gy_kg_per_gbq


def test_mass_from_ct_by_hand():
    # -750 HU is 0.25 g/mL; half a voxel of it, one of water, one of air below -1000 HU, one of bone at 1.06.
    hu = np.asarray([[-750.0, 0.0], [-1024.0, 900.0]])
    weight = np.asarray([[0.5, 1.0], [1.0, 1.0]])
    mass = d.lung_mass_g(hu, weight, voxel_volume_ml=2.0)
    assert float(mass) == pytest.approx(2.0 * (0.125 + 1.0 + 0.0 + 1.06))


def test_outside_the_mask_nothing_weighs():
    hu = np.full((3, 4, 5), -700.0)
    weight = np.zeros((3, 4, 5))
    weight[1, 1:3, 2] = 1.0
    assert float(d.lung_mass_g(hu, weight, voxel_volume_ml=1.5)) == pytest.approx(2 * 1.5 * 0.3)


def test_610_mbq_in_one_kg():
    # T2, thesis 1.5.3.1: 610 MBq means approximately 30 Gy in 1 kg of lung; with K of Eq. 1.3 it is 30.12 Gy.
    dose = d.lung_dose_gy(6100.0, lung_shunt_fraction=0.1, lung_mass_g=1000.0, constant_gy_g_per_mbq=K_THESIS)
    assert float(dose) == pytest.approx(30.12, abs=0.005)


def test_injections_add():
    case = dict(lung_mass_g=850.0, constant_gy_g_per_mbq=50.0)
    both = d.lung_dose_gy(jnp.asarray([1000.0, 2000.0]), lung_shunt_fraction=jnp.asarray([0.10, 0.03]), **case)
    assert float(both) == pytest.approx(50.0 * (100.0 + 60.0) / 850.0)


def test_limit_is_reached_at_the_bound_and_earlier_dose_counts():
    case = dict(lung_shunt_fraction=0.08, lung_mass_g=900.0, constant_gy_g_per_mbq=K_THESIS)
    activity = d.lung_limited_activity_mbq(30.0, **case)
    assert float(d.lung_dose_gy(activity, **case)) == pytest.approx(30.0, rel=1e-5)
    later = d.lung_limited_activity_mbq(50.0, previous_dose_gy=28.0, **case)
    assert float(d.lung_dose_gy(later, **case)) == pytest.approx(22.0, rel=1e-5)
    assert float(d.lung_limited_activity_mbq(50.0, previous_dose_gy=60.0, **case)) == 0.0


@pytest.mark.slow
def test_gradients():
    def dose(activity, lsf, mass):
        return d.lung_dose_gy(activity, lung_shunt_fraction=lsf, lung_mass_g=mass, constant_gy_g_per_mbq=2.0)

    check_grads(dose, (3.0, 0.2, 1.5), order=1, modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)

    def mass(hu):
        return d.lung_mass_g(1000.0 * hu, jnp.asarray([1.0, 0.5]), voxel_volume_ml=2.0)

    check_grads(mass, (jnp.asarray([-0.7, -0.2]),), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)
