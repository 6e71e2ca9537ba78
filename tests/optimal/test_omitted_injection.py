"""The gain of a limit where an injection is almost omitted, against differences over a new optimisation."""

from dataclasses import replace

import numpy as np
import pytest

from sirtjax import dosimetry, optimal
from sirtjax.optimal._search import smooth_problem

NAMES = ("a", "b", "c")


def problem(seed, kind):
    """Three tumours, the normal liver with a limit on its mean dose and one on V55, and lungs."""
    rng = np.random.default_rng(seed)

    def voi(name, role, samples):
        weight = np.ones(len(samples))
        fields = {"mean_gy_per_mbq": samples.mean(0), "samples_gy_per_mbq": samples, "sample_weight": weight}
        return dosimetry.VoiDose(name=name, role=role, territories=NAMES, **fields)

    vois = []
    for tumour in range(3):
        mean = rng.gamma(2, 0.05, 3) * (rng.random(3) < 0.6)
        mean[tumour] += 0.1
        samples = rng.gamma(4, 0.25, (300, 1)) * mean * rng.gamma(9, 1 / 9, (300, 3))
        vois.append(voi(f"tumour {tumour}", "tumour", samples))
    vois.append(voi("normal", "whole_normal", rng.gamma(2, 0.5, (3000, 1)) * rng.gamma(1, 0.02, (3000, 3))))
    lungs = {"mean_gy_per_mbq": rng.random(3) * 0.01}
    vois.append(dosimetry.VoiDose(name="lungs", role="lungs", territories=NAMES, **lungs))
    most = {"direction": "at most", "source": "test"}
    objectives = [
        dosimetry.DoseObjective(voi="normal", dose_gy=40.0, **most),
        dosimetry.DoseObjective(voi="lungs", dose_gy=15.0, **most),
        dosimetry.DoseObjective(
            voi="tumour", direction="at least", dose_gy=100.0, kind="D", volume_fraction=0.7, source="test"
        ),
        dosimetry.DoseObjective(voi="normal", dose_gy=55.0, kind="V", volume_fraction=0.25, **most),
    ]
    return optimal.activity_problem(vois, objectives, NAMES, objective=optimal.TumourObjective(kind=kind))


@pytest.mark.parametrize("seed, kind", [(27, "mean"), (34, "d70")])
def test_the_gain_where_an_injection_is_almost_omitted(seed, kind):
    given = problem(seed, kind)
    found = optimal.optimise_activity(given)
    units = np.asarray(found.activity_mbq) / smooth_problem(given).unit_mbq
    assert units[0] == 0.0 and np.all((units == 0) | (units > 1e-4))
    assert found.status == "local optimum" and found.stationarity < 0.01
    step, values = 0.01 * given.limits[0][0].dose_gy, []
    for change in (step, -step):
        room = given.room_gy.copy()
        room[0] += change
        moved = replace(given, room_gy=room)
        values.append(optimal.optimise_activity(moved, also=[np.asarray(found.activity_mbq)]).value)
    assert found.limits[0].gain_per_gy == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.02)
