import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirtjax import dosimetry as d
from sirtjax.errors import ConfigError, InputError


def objective(**changes):
    return d.DoseObjective(**({"voi": "tumour", "direction": "at least", "dose_gy": 70.0, "source": "test"} | changes))


def voi(**changes):
    fields = {"name": "T", "role": "tumour", "territories": ("right",), "mean_gy_per_mbq": [0.1]}
    return d.VoiDose(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "mean(tumour) >= 70 Gy"),
        ({"kind": "V", "volume_fraction": 0.8}, "V70Gy(tumour) >= 80 %"),
        ({"kind": "D", "volume_fraction": 0.7, "direction": "at most"}, "D70%(tumour) <= 70 Gy"),
        ({"cumulative": True, "direction": "at most"}, "mean(tumour) <= 70 Gy cumulative"),
    ],
)
def test_label(changes, label):
    assert objective(**changes).label == label


def test_dose_at_a_fraction_by_hand():
    # Weights 1, 2, 1 at 90, 60, 10 Gy: the 60 Gy sample covers 25 to 75 % and is reached at its middle.
    three = voi(samples_gy_per_mbq=[[0.09], [0.06], [0.01]], sample_weight=[1.0, 2.0, 1.0])
    half = objective(kind="D", volume_fraction=0.5)
    assert three.value_gy(half, np.array([1000.0])) == pytest.approx(60.0)
    assert three.value_gy(objective(kind="D", volume_fraction=1.0), np.array([1000.0])) == pytest.approx(10.0)


def test_the_same_quantile_as_the_dvh():
    rng = np.random.default_rng(5)
    dose, weight = rng.gamma(4, 20, (6, 5, 7)), np.ones((6, 5, 7))
    dvh = d.dvh_from_arrays(dose, weight, 0.1, subsamples=1)
    sampled = voi(samples_gy_per_mbq=dose.reshape(-1, 1))
    for percent in (5, 50, 70, 95):
        value = sampled.value_gy(objective(kind="D", volume_fraction=percent / 100), np.array([1.0]))
        assert value == pytest.approx(dvh.dose_at_percent_gy(percent), rel=1e-6)
    assert sampled.volume_fraction_at(70.0, np.array([1.0])) == pytest.approx(
        float(dvh.percent_at_dose(70.0)) / 100, abs=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(
    samples=st.lists(st.floats(0.001, 0.5), min_size=2, max_size=30),
    fraction=st.floats(0.05, 0.95),
    activity=st.floats(10.0, 5000.0),
)
def test_d_and_v_are_inverse_and_d_is_linear_in_activity(samples, fraction, activity):
    sampled = voi(samples_gy_per_mbq=np.asarray(samples)[:, None])
    asked = objective(kind="D", volume_fraction=fraction)
    dose = sampled.value_gy(asked, np.array([activity]))
    assert sampled.value_gy(asked, np.array([2 * activity])) == pytest.approx(2 * dose, rel=1e-9)
    reached = sampled.volume_fraction_at(dose, np.array([activity]))
    assert reached >= fraction - 1e-9
    at = objective(kind="D", volume_fraction=min(reached, 1.0))
    assert sampled.value_gy(at, np.array([activity])) == pytest.approx(dose, rel=1e-6)


def test_a_function_may_stand_for_the_samples():
    own = voi(dose_at_fraction=lambda activity, fraction: float(activity[0]) * (1 - fraction))
    assert own.value_gy(objective(kind="D", volume_fraction=0.25), np.array([100.0])) == pytest.approx(75.0)


def test_roles_stand_for_every_voi_and_names_for_one():
    vois = [voi(name="A"), voi(name="B"), voi(name="liver", role="whole_normal")]
    pairs = d.resolve_objectives([objective(), objective(voi="B"), objective(voi="lungs")], vois)
    assert [(o.voi, v.name) for o, v in pairs] == [("tumour", "A"), ("tumour", "B"), ("B", "B")]
    with pytest.raises(ConfigError, match="no VOI is called 'spleen'"):
        d.resolve_objectives([objective(voi="spleen")], vois)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dose_gy": -5.0}, "dose_gy is -5.0; give a positive dose"),
        ({"dose_gy": float("nan")}, "give a positive dose"),
        ({"volume_fraction": 0.5}, "is allowed with kind D or V"),
        ({"kind": "D"}, "needs a volume_fraction above 0 to 1, got None"),
        ({"kind": "V", "volume_fraction": 80.0}, "got 80.0"),
    ],
)
def test_bad_objectives(changes, message):
    with pytest.raises(ConfigError, match=message):
        objective(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_gy_per_mbq": [-0.1]}, "one non-negative number per injection"),
        ({"mean_gy_per_mbq": 0.1}, "one non-negative number per injection"),
        ({"previous_gy": -1.0}, "previous dose is -1.0 Gy"),
        ({"samples_gy_per_mbq": np.ones((4, 2))}, r"expected \(samples, 1 injections\)"),
        ({"samples_gy_per_mbq": np.ones((2, 1)), "sample_weight": [0.0, 0.0]}, "not negative nor all zero"),
        ({"samples_gy_per_mbq": np.full((2, 1), np.nan)}, "must be finite"),
    ],
)
def test_bad_vois(changes, message):
    with pytest.raises(InputError, match=message):
        voi(**changes)


def test_voxel_objective_without_voxels():
    with pytest.raises(InputError, match="the dose of the voxels of T is not known"):
        voi().value_gy(objective(kind="D", volume_fraction=0.7), np.array([1.0]))
