"""The objectives "eud" and "utcp" of a plan against a grid of activities, from dose maps of plans with fixed ones."""

from statistics import NormalDist

import analytic_case as case
import numpy as np
import pytest

from sirtjax.errors import ConfigError
from sirtjax.reports import report_html
from sirtjax.workflows import load_case, plan_case

ALPHA = 0.02
BIOLOGY = {
    "tumour": {"alpha_per_gy": ALPHA, "source": "written for tests"},
    "tcp": "resin-tumour",
    "tcp_gamma50": 1.0,
    "ntcp": "resin-liver-walrand",
    "ntcp_m": 0.3,
    "normal_liver": {"alpha_beta_gy": 2.75, "repair_half_time_h": 2.5, "source": "written for tests"},
}
HALF_LIFE_H = 64.1


class Doses:
    """Dose per MBq of two injections in each VOI, from the dose maps of two plans with fixed activities."""

    def __init__(self, planned, **tables):
        self.names = ("right", "left")
        known = np.array([[300.0, 100.0], [100.0, 300.0]])
        plans = []
        for row in known:
            injections = [
                {"territory": name, "activity_mbq": float(mbq)} for name, mbq in zip(self.names, row, strict=True)
            ]
            plans.append(planned(prescription={"strategy": "fixed"}, injections=injections, **tables))
        maps = [np.asarray(maps.dose_gy.array, np.float64) for _, maps in plans]
        per_mbq = np.tensordot(np.linalg.inv(known), np.stack(maps), axes=1)
        occupancy = plans[0][1].occupancy
        self.voxels = {
            name: (per_mbq[:, weight > 0], weight[weight > 0].astype(np.float64)) for name, weight in occupancy.items()
        }
        lungs = np.array([result.lung_dose_gy for result, _ in plans])
        self.limits = [(np.linalg.solve(known, lungs), 30.0)]
        for name, limit in (("normal right", 40.0), ("normal left", 40.0)):
            voxels, weight = self.voxels[name]
            self.limits.append((voxels @ weight / weight.sum(), limit))

    def use(self, activity):
        return max(float(row @ activity) / limit for row, limit in self.limits)

    def eud_gy(self, activity):
        survival, volume = 0.0, 0.0
        for name in ("alpha", "beta"):
            voxels, weight = self.voxels[name]
            survival += float(weight @ np.exp(-ALPHA * (activity @ voxels)))
            volume += float(weight.sum())
        return -np.log(survival / volume) / ALPHA

    def utcp(self, activity):
        found = 1.0
        for name in ("alpha", "beta"):
            voxels, weight = self.voxels[name]
            found /= 1 + (60.0 / (float(activity @ voxels @ weight) / weight.sum())) ** 4
        voxels, weight = self.voxels["normal liver"]
        dose = activity @ voxels
        bed = (dose + dose**2 / 2.75 * 2.5 / (2.5 + HALF_LIFE_H)) @ weight / weight.sum()
        return found * (1 - NormalDist().cdf((bed - 93.0) / (0.3 * 93.0)))

    def best(self, function, steps=24):
        most = [min(limit / row[index] for row, limit in self.limits) for index in range(2)]
        grid = [np.array([a, b]) for a in np.linspace(1, most[0], steps) for b in np.linspace(1, most[1], steps)]
        return max(function(activity) for activity in grid if self.use(activity) <= 1 + 1e-9)


@pytest.mark.parametrize("kind", ["eud", "utcp"])
@pytest.mark.slow
def test_no_activities_of_a_grid_are_better(planned, kind):
    doses = Doses(planned, biology=BIOLOGY)
    result, maps = planned(prescription={"strategy": "optimal", "objective": kind}, biology=BIOLOGY)
    found = result.optimal
    names = [row.territory for row in result.injections]
    activity = np.array([result.injections[names.index(name)].activity_mbq for name in doses.names])
    function = doses.eud_gy if kind == "eud" else doses.utcp
    assert found.objective == kind
    assert doses.use(activity) <= 1 + 1e-4
    assert found.value == pytest.approx(function(activity), rel=2e-3)
    assert found.value >= doses.best(function) * (1 - 2e-3)
    assert found.value >= found.upper_value * (1 - 1e-9)
    page = report_html(result, maps)
    assert found.label in page


@pytest.mark.slow
def test_an_objective_without_its_response_is_refused(patient):
    for kind, biology, message in (
        ("eud", {key: value for key, value in BIOLOGY.items() if key != "tumour"}, "requires alpha_per_gy"),
        ("utcp", {"tumour": BIOLOGY["tumour"]}, "requires `tcp`"),
    ):
        path = case.write_case(patient, prescription={"strategy": "optimal", "objective": kind}, biology=biology)
        with pytest.raises(ConfigError, match=message):
            plan_case(load_case(path))
