"""Samples of a plan as ratios to its computed doses, against the numbers they are made from and closed forms."""

from dataclasses import replace
from statistics import NormalDist
from types import MappingProxyType

import numpy as np
import pytest

from sirtjax import dosimetry, optimal, uncertainty
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._optimal_scenarios import NoSamplesError, limit_scenarios, omitted_targets, robust_problem
from sirtjax.workflows._uncertainty_grid import EngineGrid
from sirtjax.workflows._uncertainty_inputs import VOLUME_PERCENT, SimulationInputs
from sirtjax.workflows._uncertainty_rows import CorrectedVoi
from sirtjax.workflows._uncertainty_simulation import Simulated, dose_spread

NAMES = ("normal liver", "alpha", "small")
KINDS = {"normal liver": "normal liver", "alpha": "lesion", "small": "lesion"}
# Numbers of voxels of 1 mL: radii of 78, 18 and 5 mm.
VOXELS = {"normal liver": 2000.0, "alpha": 25.0, "small": 0.5}
PER_MBQ = {"normal liver": 0.04, "alpha": 0.2, "small": 0.3}
# Corrected over computed mean dose.
CORRECTION = {"normal liver": 1.1, "alpha": 1.4, "small": 2.0}
COUNT = 1024


def intervals(logs):
    """Simulations whose logarithms of estimate over truth are (count, 3) for the mean doses, and half for D_x."""
    count = len(logs)
    levels = len(VOLUME_PERCENT)

    def like(value, dtype=np.float64):
        return uncertainty.DoseMetrics(
            mean_gy=np.full(3, value, dtype),
            d_gy=np.full((3, levels), value, dtype),
            v_fraction=np.full(3, 0.5, dtype),
            bed_gy=np.full(3, value, dtype),
            tn_ratio=np.full(2, value, dtype),
            lung_gy=np.full(1, value, dtype),
        )

    ratios = uncertainty.DoseMetrics(
        mean_gy=logs,
        d_gy=np.repeat(0.5 * logs[:, :, None], levels, axis=2),
        v_fraction=logs,
        bed_gy=logs,
        tn_ratio=logs[:, 1:],
        lung_gy=2.0 * logs[:, :1],
    )
    return uncertainty.TreatmentIntervals(
        estimate=like(50.0),
        median=like(50.0),
        lower=like(40.0),
        upper=like(60.0),
        relative_bias=like(0.0),
        standard_deviation=like(0.1),
        standard_deviation_error=like(0.01),
        linear=None,
        differs=None,
        budget=None,
        budget_error=None,
        log_ratios=ratios._replace(lung_gy=np.reshape(ratios.lung_gy, (count, 1))),
    )


def simulated(logs, activity_mbq, *, spill_gy=0.0, correction=CORRECTION, necrosis=MappingProxyType({})):
    vois = tuple(
        PlacedVoi(name=n, kind=KINDS[n], territories=("all",), weight=np.full((1, 1, 1), VOXELS[n], np.float32))
        for n in NAMES
    )
    one = np.ones(1, np.float32)
    data = uncertainty.TreatmentData(
        spacing_mm=np.ones(3, np.float32),
        fwhm_mm=np.ones(3, np.float32),
        activity_mbq=one,
        image_mbq_per_unit=np.float32(0),
        gy_ml_per_mbq=np.float32(1),
        lung_gy_per_mbq=np.float32(1),
        octant=np.ones((1, 1, 1), np.float32),
        octant_slope=np.zeros((1, 1, 1), np.float32),
        members=np.zeros((3, 4), np.float32),
        near=np.zeros((3, 1), np.int32),
        fractions=np.asarray(VOLUME_PERCENT, np.float32) / 100,
        threshold_gy=np.zeros(3, np.float32),
        bed_per_gy=np.zeros(3, np.float32),
        normal_of=np.zeros(2, np.int32),
        shell_mm=np.zeros(1, np.float32),
        shell_part=np.ones(1, np.float32),
    )
    empty = np.zeros((1, 1, 1), np.float32)
    inputs = SimulationInputs(
        grid=EngineGrid(4.0, np.zeros(3), np.ones(3), (1, 1, 1)),
        image=empty,
        distance_mm=empty[None],
        lung_shunt_fraction=one,
        data=data,
        vois=vois,
        lesions=("alpha", "small"),
        injected=("all",),
        thresholds_gy=(0.0, 0.0, 0.0),
    )
    corrected = {
        name: CorrectedVoi(
            mean_gy=PER_MBQ[name] * activity_mbq * factor,
            bed_gy=None,
            d_gy=tuple(0.5 * PER_MBQ[name] * activity_mbq * factor for _ in VOLUME_PERCENT),
            v_fraction=None,
            tn_ratio=None,
        )
        for name, factor in correction.items()
    }
    deposit = ActivityAndDose(
        activity_mbq=empty,
        dose_gy=empty,
        injected_mbq=activity_mbq,
        lung_shunt_gy=0.01 * activity_mbq,
        lung_spill_gy=spill_gy,
        lung_activity_mbq=1.0,
        lung_shunt_fraction=1.0 / activity_mbq,
        lung_mass_g=1000.0,
    )
    return Simulated(intervals(logs), corrected, inputs, deposit, 1.0, necrosis)


def problem(*, tumours=("alpha",), targets=(), lung_gy=30.0, liver_gy=40.0):
    vois = [
        dosimetry.VoiDose(
            name=name,
            role="whole_normal" if name == "normal liver" else "tumour",
            territories=("all",),
            mean_gy_per_mbq=np.asarray([PER_MBQ[name]]),
            dose_at_fraction=lambda activity, fraction, name=name: 0.5 * PER_MBQ[name] * float(activity[0]),
        )
        for name in ("normal liver", *tumours)
    ]
    vois.append(dosimetry.VoiDose(name="lungs", role="lungs", territories=("all",), mean_gy_per_mbq=np.asarray([0.01])))
    objectives = [
        dosimetry.DoseObjective(voi="whole_normal", direction="at most", dose_gy=liver_gy, source="the test"),
        dosimetry.DoseObjective(voi="lungs", direction="at most", dose_gy=lung_gy, source="the test"),
        *(dosimetry.DoseObjective(voi=t, direction="at least", dose_gy=100.0, source="the test") for t in targets),
    ]
    return optimal.activity_problem(vois, objectives, ("all",), objective=optimal.TumourObjective(kind="mean"))


def normal_logs(sigma, *, seed=1):
    return np.random.default_rng(seed).normal(0.0, sigma, (COUNT, 3))


def quantiles(sigma):
    """The same errors of all VOIs, at the exact quantiles of a normal distribution."""
    z = np.asarray([NormalDist().inv_cdf((i + 0.5) / COUNT) for i in range(COUNT)])
    return np.repeat(sigma * z[:, None], 3, axis=1)


OPTIONS = optimal.RobustOptions(probability=0.9)


def test_ratios_are_those_of_the_correction_and_of_each_simulation():
    logs = normal_logs([0.1, 0.2, 0.3])
    asked = problem(targets=("alpha",))
    found = limit_scenarios(asked, simulated(logs, 500.0), np.asarray([500.0])).scenarios
    assert found.limits[:, 0] == pytest.approx(1.1 * np.exp(-logs[:, 0]))
    # The lungs are not corrected.
    assert found.limits[:, 1] == pytest.approx(np.exp(-2.0 * logs[:, 0]))
    assert found.targets[:, 0] == pytest.approx(1.4 * np.exp(-logs[:, 1]))
    robust = robust_problem(asked, simulated(logs, 500.0), np.asarray([500.0]), OPTIONS).scenarios
    assert robust.limits[:, :2] == pytest.approx(found.limits)
    assert (robust.limits[:, 2:] == 1).all()
    assert robust.tumours[:, 0] == pytest.approx(1.4 * np.exp(-logs[:, 1]))


def test_betas_in_the_lungs_are_exact():
    logs = normal_logs(0.2)
    found = limit_scenarios(problem(), simulated(logs, 500.0, spill_gy=5.0), np.asarray([500.0])).scenarios
    assert found.limits[:, 1] == pytest.approx((5.0 * np.exp(-2.0 * logs[:, 0]) + 5.0) / 10.0)


def test_one_limit_has_the_closed_form_of_a_log_normal_dose():
    sigma = 0.15
    asked = problem(lung_gy=900.0)
    robust = robust_problem(asked, simulated(quantiles(sigma), 500.0), np.asarray([500.0]), OPTIONS)
    found = optimal.optimise_activity(robust)
    # One standard error of the sample is subtracted from the probability of an excess.
    kept = 0.9 + np.sqrt(0.9 * 0.1 / COUNT)
    exact = 40.0 / (0.04 * 1.1 * np.exp(sigma * NormalDist().inv_cdf(kept)))
    assert found.activity_mbq[0] == pytest.approx(exact, rel=3e-3)
    # New samples of the same distribution.
    dose = found.activity_mbq[0] * 0.04 * 1.1 * np.exp(np.random.default_rng(7).normal(0, sigma, 200_000))
    assert (dose <= 40.0).mean() == pytest.approx(kept, abs=5e-3)


def test_tail_means_are_stricter_than_chances_by_the_closed_form():
    sigma, p = 0.15, 0.9
    asked = problem(lung_gy=900.0)
    options = optimal.RobustOptions(probability=p, limits="tail-mean")
    robust = robust_problem(asked, simulated(quantiles(sigma), 500.0), np.asarray([500.0]), options)
    found = optimal.optimise_activity(robust)
    z = NormalDist().inv_cdf(p)
    tail = np.exp(sigma**2 / 2) * NormalDist().cdf(sigma - z) / (1 - p)
    assert found.activity_mbq[0] == pytest.approx(40.0 / (0.04 * 1.1 * tail), rel=3e-3)


def test_a_correction_that_lowers_the_dose_does_not_exceed_the_limit_as_computed():
    asked = problem(lung_gy=900.0)
    lower = CORRECTION | {"normal liver": 0.5}
    robust = robust_problem(asked, simulated(quantiles(0.05), 500.0, correction=lower), np.asarray([500.0]), OPTIONS)
    found = optimal.optimise_activity(robust)
    assert found.activity_mbq[0] == pytest.approx(1000.0, rel=1e-6)


def test_a_dose_without_samples_is_never_taken_as_exact():
    logs, activity = normal_logs(0.1), np.asarray([500.0])
    missing = {name: factor for name, factor in CORRECTION.items() if name != "normal liver"}
    for build in (
        lambda: limit_scenarios(problem(), simulated(logs, 500.0, correction=missing), activity),
        lambda: robust_problem(problem(), simulated(logs, 500.0, correction=missing), activity, OPTIONS),
    ):
        with pytest.raises(NoSamplesError, match="normal liver: the correction has no region of this VOI"):
            build()
    small = problem(tumours=("alpha", "small"), targets=("alpha", "small"))
    with pytest.raises(NoSamplesError, match=r"small: radius of 4\.9 mm, below the 6 mm"):
        robust_problem(small, simulated(logs, 500.0), activity, OPTIONS)
    histogram = replace(problem(), objective=optimal.TumourObjective(kind="d70"))
    necrotic = {"alpha": "20 % of the volume is necrotic"}
    with pytest.raises(NoSamplesError, match="alpha: 20 % of the volume is necrotic, so its D_x has no samples"):
        robust_problem(histogram, simulated(logs, 500.0, necrosis=necrotic), activity, OPTIONS)
    robust_problem(problem(), simulated(logs, 500.0, necrosis=necrotic), activity, OPTIONS)  # mean doses have samples
    found = limit_scenarios(small, simulated(logs, 500.0), activity)
    assert [voi.name for _, voi in found.targets] == ["alpha"]
    assert omitted_targets(small, found) == ("small",)


@pytest.mark.parametrize(
    ("fraction", "known"), [(0.01, False), (0.02, True), (0.98, True), (0.99, False), (1.0, False)]
)
def test_a_dose_beyond_the_histogram_of_the_simulations_is_not_that_of_its_last_volume(fraction, known):
    """D100 is the dose of one voxel. Before, it had the corrected D98 and its samples."""
    logs, activity = normal_logs(0.1), np.asarray([500.0])
    asked = problem(targets=("alpha",))
    target = dosimetry.DoseObjective(
        voi="alpha", direction="at least", dose_gy=100.0, kind="D", volume_fraction=fraction, source="the test"
    )
    asked = replace(asked, targets=((target, asked.targets[0][1]),))
    done = simulated(logs, 500.0)
    assert (dose_spread(done.found, done.inputs, done.corrected["alpha"], "alpha", fraction) is not None) == known
    assert omitted_targets(asked, limit_scenarios(asked, done, activity)) == (() if known else ("alpha",))
    limits = replace(asked, limits=((replace(target, direction="at most"), asked.limits[0][1]), *asked.limits[1:]))
    if known:
        limit_scenarios(limits, done, activity)
        return
    with pytest.raises(NoSamplesError, match=rf"normal liver: its histogram has no samples at {100 * fraction:g} %"):
        robust_problem(limits, done, activity, OPTIONS)


def test_probabilities_are_those_of_all_limits_together():
    # Independent errors of two limits, each kept in half of the samples; the lungs have twice the logarithm of the
    # normal liver, which makes them fully correlated: a half and not a quarter.
    logs = normal_logs(0.2)
    asked = problem(lung_gy=5.0, liver_gy=0.04 * 1.1 * 500.0)
    activity = np.asarray([500.0])
    found = limit_scenarios(asked, simulated(logs, 500.0), activity)
    kept = ((logs[:, 0] >= 0) & (2 * logs[:, 0] >= 0)).mean()
    assert optimal.limits_probability(found, activity) == pytest.approx(kept)
    assert kept == pytest.approx(0.5, abs=0.05)
