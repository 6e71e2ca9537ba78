import jax.numpy as jnp
import numpy as np
import pytest

from sirtjax import dosimetry as d
from sirtjax.errors import InputError

CASE = dict(
    untreated_volume_ml=500.0,
    density_g_per_ml=1.05,
    constant_gy_g_per_mbq=49.38,
    lung_mass_g=900.0,
    previous_lung_gy=4.0,
)


def territory(name="right", normal=700.0, tumours=((120.0, 4.0), (15.0, 1.8)), lsf=0.06):
    compartments = tuple(
        d.TumourCompartment(name=f"{name} {i}", volume_ml=v, tn_ratio=r) for i, (v, r) in enumerate(tumours)
    )
    return d.CompartmentTerritory(name=name, normal_volume_ml=normal, tumours=compartments, lung_shunt_fraction=lsf)


def by_name(vois):
    return {voi.name: voi for voi in vois}


def test_one_territory_is_the_partition_model():
    vois = by_name(d.compartment_vois([territory()], **CASE))
    dose = d.partition_dose_gy(
        1.0,
        jnp.asarray([120.0, 15.0]),
        jnp.asarray([4.0, 1.8]),
        normal_volume_ml=700.0,
        density_g_per_ml=1.05,
        constant_gy_g_per_mbq=49.38,
        lung_shunt_fraction=0.06,
    )
    assert vois["right 0"].mean_gy_per_mbq[0] == pytest.approx(float(dose.tumour[0]), rel=1e-5)
    assert vois["right 1"].mean_gy_per_mbq[0] == pytest.approx(float(dose.tumour[1]), rel=1e-5)
    normal = vois["normal tissue, right"].mean_gy_per_mbq[0]
    assert normal == pytest.approx(float(dose.normal), rel=1e-5)
    assert vois["whole normal liver"].mean_gy_per_mbq[0] == pytest.approx(normal * 700 / 1200)
    perfused = d.mono_compartment_dose_gy(1.0, 835 * 1.05, constant_gy_g_per_mbq=49.38, lung_shunt_fraction=0.06)
    assert vois["perfused, right"].mean_gy_per_mbq[0] == pytest.approx(perfused)
    assert vois["lungs"].mean_gy_per_mbq[0] == pytest.approx(49.38 * 0.06 / 900)
    assert vois["lungs"].previous_gy == 4.0


def test_two_territories_superpose_and_conserve_energy():
    pair = [territory(), territory("left", 300.0, ((40.0, 6.0),), lsf=0.02)]
    vois = by_name(d.compartment_vois(pair, **CASE))
    assert vois["left 0"].mean_gy_per_mbq[0] == 0.0
    np.testing.assert_allclose(
        vois["whole normal liver"].mean_gy_per_mbq * 1500,
        [vois["normal tissue, right"].mean_gy_per_mbq[0] * 700, vois["normal tissue, left"].mean_gy_per_mbq[1] * 300],
    )
    activity = np.array([1800.0, 900.0])
    whole_g = (700 + 135 + 300 + 40 + 500) * 1.05
    joule = vois["whole liver"].mean_gy_per_mbq @ activity * whole_g
    assert joule == pytest.approx(49.38 * (1800 * 0.94 + 900 * 0.98))


def test_prescription_from_compartments_by_hand():
    # K 49.38, LSF 0, rho 1: N 900 mL, T 100 mL at T/N 5, no untreated liver: equivalent 1400 mL.
    # D_N = 40 Gy at A = 40 * 1400 / 49.38 = 1134.06 MBq, tumour then 200 Gy.
    vois = d.compartment_vois(
        [territory("all", 900.0, ((100.0, 5.0),), lsf=0.0)],
        **{**CASE, "untreated_volume_ml": 0.0, "density_g_per_ml": 1.0},
    )
    objectives = d.load_protocol("resin-icc-bilobar").objectives(hepatic_reserve_fraction=0.0)
    plan = d.prescribe(vois, objectives, [d.Injection(territory="all", residual_fraction=0.0)], strategy="upper")
    assert plan.total_mbq == pytest.approx(1134.06, abs=0.01)
    tumour = next(p for p in plan.predictions if p.role == "tumour")
    assert tumour.mean_gy == pytest.approx(200.0)
    assert plan.territories[0].lower_bound_mbq == pytest.approx(567.03, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"lsf": 6.0}, {}, "lung shunt fraction of right is 6.0; give a fraction from 0 to below 1"),
        ({"lsf": -0.1}, {}, "lung shunt fraction of right is -0.1"),
        ({"tumours": ((0.0, 4.0),)}, {}, r"volume of right 0 \(mL\) is 0.0; give a positive number"),
        ({"tumours": ((5.0, float("nan")),)}, {}, "T/N ratio of right 0 is nan"),
        ({"normal": -1.0}, {}, r"normal volume of right \(mL\) is -1.0; give a number of 0 or more"),
        ({"normal": 0.0, "tumours": ()}, {}, "territory right has no volume"),
        ({}, {"lung_mass_g": 0.0}, r"lung mass \(g\) is 0.0"),
        ({}, {"density_g_per_ml": -1.0}, r"liver density \(g/mL\) is -1.0"),
        ({}, {"constant_gy_g_per_mbq": 0.0}, "dose constant"),
        ({}, {"untreated_volume_ml": -5.0}, "untreated liver volume"),
        ({}, {"previous_lung_gy": -5.0}, "previous dose is -5.0 Gy"),
    ],
)
def test_errors(changes, settings, message):
    with pytest.raises(InputError, match=message):
        d.compartment_vois([territory(**changes)], **{**CASE, **settings})


def test_tumour_names_must_differ():
    with pytest.raises(InputError, match="tumours must have different names"):
        d.compartment_vois([territory(), territory()], **CASE)
