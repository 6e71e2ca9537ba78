import numpy as np
import pytest

from sirtjax.errors import InputError
from sirtjax.segmentation import suv_from_bq_per_ml, suv_per_bq_per_ml

F18_H = 1.8295
GOOD = {
    "injected_activity_bq": 350e6,
    "injection_to_reference_h": 1.0,
    "half_life_h": F18_H,
    "weight_kg": 70.0,
}


def test_uniform_distribution_is_one():
    # 350 MBq in 70 kg at 1 g/mL are 5000 Bq/mL at injection: SUV 1.
    factor = suv_per_bq_per_ml(**{**GOOD, "injection_to_reference_h": 0.0})
    assert factor * 5000 == pytest.approx(1.0, rel=1e-12)


def test_decay_by_hand():
    # One half-life later the same body holds 2500 Bq/mL.
    image = np.array([2500.0, 10000.0], np.float32)
    suv = suv_from_bq_per_ml(image, **{**GOOD, "injection_to_reference_h": F18_H})
    np.testing.assert_allclose(suv, [1.0, 4.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"injected_activity_bq": 350.0}, "injected activity of 350 Bq; expected 1e5 to 1e11 Bq"),
        ({"weight_kg": 70000.0}, "body weight of 70000 kg"),
        ({"half_life_h": 0.0}, "half-life of 0 h"),
        ({"injection_to_reference_h": -0.5}, "0.5 h before injection"),
        ({"injection_to_reference_h": float("nan")}, "before injection"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(InputError, match=message):
        suv_per_bq_per_ml(**{**GOOD, **change})
