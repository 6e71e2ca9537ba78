"""Exact histograms and survival for many levels at a time: against one level at a time, and direct sums."""

import numpy as np
import pytest

from sirtjax import dosimetry
from sirtjax.optimal._histogram import doses_at_fractions_gy, fractions_at_doses, values_gy
from sirtjax.optimal._survival import log_survivals

NAMES = ("left", "right")


def voi(count=501, *, weighted=True, seed=0):
    rng = np.random.default_rng(seed)
    samples = rng.gamma(6.0, 0.05, (count, 2))
    weight = rng.uniform(0.2, 1.0, count) if weighted else np.ones(count)
    return dosimetry.VoiDose(
        name="liver",
        role="whole_normal",
        territories=NAMES,
        mean_gy_per_mbq=weight @ samples / weight.sum(),
        samples_gy_per_mbq=samples,
        sample_weight=weight,
    )


def objective(kind, fraction=None):
    return dosimetry.DoseObjective(
        voi="whole_normal", direction="at most", dose_gy=40.0, kind=kind, volume_fraction=fraction, source="test"
    )


@pytest.mark.parametrize("weighted", [True, False])
def test_several_objectives_have_the_values_of_each(weighted):
    one, activity = voi(weighted=weighted), np.array([80.0, 35.0])
    objectives = [objective("mean"), objective("D", 0.02), objective("V", 0.3), objective("mean"), objective("D", 0.7)]
    expected = [one.value_gy(each, activity) for each in objectives]
    np.testing.assert_allclose(values_gy(one, objectives, activity), expected, rtol=1e-12)
    assert len(set(expected)) == 4


def test_doses_and_fractions_are_inverse_and_those_of_a_count():
    rng = np.random.default_rng(1)
    dose, weight = rng.gamma(5.0, 20.0, 4000), rng.uniform(0.5, 1.5, 4000)
    levels = np.array([40.0, 90.0, 150.0])
    found = fractions_at_doses(dose, weight, levels)
    counted = [(weight * (dose >= level)).sum() / weight.sum() for level in levels]
    np.testing.assert_allclose(found, counted, atol=5e-4)
    np.testing.assert_allclose(doses_at_fractions_gy(dose, weight, found), levels, rtol=1e-9)
    np.testing.assert_array_equal(fractions_at_doses(dose, weight, np.array([0.0, 1e6])), [1.0, 0.0])


@pytest.mark.parametrize("width", [0.05, 0.5, 20.0])
def test_the_survival_of_many_radiosensitivities_is_the_direct_sum(width):
    """Narrow ranges are interpolated; a range that a polynomial cannot follow is computed as it is."""
    rng = np.random.default_rng(2)
    samples = [(rng.gamma(4.0, 30.0, count), rng.uniform(0.5, 1.0, count)) for count in (300, 40)]
    alpha = 0.02 * np.exp(width * rng.uniform(-0.5, 0.5, (256, 2)))
    found = log_survivals(samples, alpha)
    expected = [
        [np.logaddexp.reduce(np.log(weight) - one * dose) for one in alpha[:, index]]
        for index, (dose, weight) in enumerate(samples)
    ]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-9, atol=1e-9)
