import jax
import pytest
from jax.test_util import check_grads

from sirtjax import dosimetry as d
from sirtjax.errors import InputError

STEPS = ((0.10, 0.8), (0.15, 0.6), (0.20, 0.0))


@pytest.mark.parametrize(
    ("height_m", "weight_kg", "tumour_ml", "liver_ml", "bsa_m2", "gbq"),
    # By hand from A = BSA - 0.2 + V_T / V_liver with BSA = 0.20247 h^0.725 w^0.425.
    [
        (1.70, 70.0, 150.0, 1500.0, 1.80968, 1.70968),
        (1.60, 55.0, 300.0, 1800.0, 1.56315, 1.52982),
        (1.85, 95.0, 60.0, 1900.0, 2.19075, 2.02233),
    ],
)
def test_activity_by_the_bsa_method(height_m, weight_kg, tumour_ml, liver_ml, bsa_m2, gbq):
    """T5."""
    assert d.body_surface_area_m2(height_m, weight_kg) == pytest.approx(bsa_m2, abs=5e-6)
    activity = d.bsa_activity_mbq(height_m, weight_kg, tumour_ml, liver_ml - tumour_ml)
    assert activity == pytest.approx(1000 * gbq, abs=0.006)
    assert d.lobar_activity_mbq(activity, treated_liver_fraction=0.6) == pytest.approx(600 * gbq, abs=0.006)


@pytest.mark.parametrize(
    ("lsf", "factor"),
    [(0.0, 1.0), (0.10, 1.0), (0.11, 0.8), (0.15, 0.8), (0.18, 0.6), (0.20, 0.6), (0.21, 0.0)],
)
def test_reductions_for_lung_shunt(lsf, factor):
    # van Roekel, thesis Utrecht, p. 41: 20, 40 and 100 % where LSF exceeds 10, 15 and 20 %.
    assert d.shunt_step_factor(lsf, steps=STEPS) == factor
    assert d.shunt_step_factor(lsf, steps=d.load_protocol("resin-hcc-bilobar").lung_shunt_steps) == factor


def test_gradients():
    check_grads(d.bsa_activity_mbq, (1.7, 1.4, 0.3, 1.2), order=1, modes=["rev"], atol=0.5, rtol=1e-2)
    jitted = jax.jit(d.bsa_activity_mbq)(1.7, 70.0, 150.0, 1350.0)
    assert float(jitted) == pytest.approx(float(d.bsa_activity_mbq(1.7, 70.0, 150.0, 1350.0)), rel=1e-6)


def test_a_percentage_is_refused():
    with pytest.raises(InputError, match="lung shunt fraction is 12; give a fraction"):
        d.shunt_step_factor(12, steps=STEPS)


def test_unsorted_steps_are_refused():
    with pytest.raises(InputError, match="must ascend"):
        d.shunt_step_factor(0.1, steps=STEPS[::-1])
