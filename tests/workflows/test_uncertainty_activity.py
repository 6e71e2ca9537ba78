"""The corrected activity of a plan whose limit binds two injections together: all of them change in proportion."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax.uncertainty import centred_interval
from sirtjax.workflows import _uncertainty_activity as activity
from sirtjax.workflows._results import BoundResult, ObjectiveResult
from sirtjax.workflows._uncertainty_checks import _interval_of
from sirtjax.workflows._uncertainty_record import HistogramBand
from sirtjax.workflows._uncertainty_spread import Spread

LIMIT_GY = 40.0
# Dose of each VOI in the plan, and after correction.
PLANNED = {"normal right": 40.0, "normal left": 34.4}
CORRECTED = {"normal right": 38.3, "normal left": 32.3}


def spread(seed):
    samples = 0.05 * np.random.default_rng(seed).standard_normal(256)
    return Spread(samples, -0.08, 0.0, 0.08, 0.0, 0.05, 0.002, None, False, {})


def limit(voi):
    return ObjectiveResult(
        name=f"mean({voi}) <= 40 Gy", voi=voi, role="normal_perfused", direction="at most", kind="mean",
        purpose="bound", dose_gy=LIMIT_GY, volume_fraction=None, cumulative=False, value_gy=PLANNED[voi],
        value_fraction=None, met=True, source="stated",
    )  # fmt: skip


def injection(territory, activity_mbq, **bounds):
    rows = [BoundResult(f"mean(normal {name}) <= 40 Gy", "upper", mbq, "stated") for name, mbq in bounds.items()]
    return SimpleNamespace(
        territory=territory,
        activity_mbq=activity_mbq,
        bounds=rows,
        limiting_objective="mean(normal right) <= 40 Gy",
    )


def rows_of(monkeypatch, injections):
    def metric(known, objective, corrected):
        return PLANNED[objective.voi], CORRECTED[objective.voi], spread(len(objective.voi))

    monkeypatch.setattr(activity, "_metric", metric)
    monkeypatch.setattr(activity, "small_lesion_reason", lambda voi: "")
    result = SimpleNamespace(
        injections=injections, objectives=[limit(voi) for voi in PLANNED], voi=lambda name: SimpleNamespace(name=name)
    )
    known = activity.ActivityInputs(
        result=result, found=None, corrected=dict.fromkeys(PLANNED, object()), inputs=None, names={}, sources=(),
        spill_gy=0.0, level=0.9, necrosis={},
    )  # fmt: skip
    return activity.activity_rows(known)[1]


def test_a_limit_of_two_injections_changes_both_in_proportion(monkeypatch):
    """As the only injection, the left one could have 230 or 18765 MBq. With the right one it has 193 MBq."""
    right, left, total = rows_of(
        monkeypatch, [injection("right", 364.0, right=367.0), injection("left", 193.0, left=230.0, right=18765.0)]
    )
    factor = LIMIT_GY / CORRECTED["normal right"]
    assert right.corrected_mbq == pytest.approx(364.0 * factor)
    assert left.corrected_mbq == pytest.approx(193.0 * factor)
    assert total.corrected_mbq == pytest.approx(557.0 * factor)
    for row in (right, left, total):
        assert row.interval.lower < row.corrected_mbq < row.interval.upper
        assert row.interval.upper / row.interval.lower == pytest.approx(np.exp(2 * 1.645 * 0.05), rel=0.05)


def test_an_injection_at_its_own_bound_has_that_bound(monkeypatch):
    row, total = rows_of(monkeypatch, [injection("right", 367.0, right=367.0)])
    assert row.corrected_mbq == pytest.approx(367.0 * LIMIT_GY / CORRECTED["normal right"])
    assert total.corrected_mbq == pytest.approx(row.corrected_mbq)


@pytest.mark.parametrize("count", [64, 256])
def test_an_activity_has_the_interval_of_the_only_bound_that_sets_it(monkeypatch, count):
    """Before, it had the normal quantile, and the bound the one of Student: 2 % wider with 64 simulations."""
    samples = np.random.default_rng(3).normal(0.02, 0.1, (count, 1))
    dose = centred_interval(np.ones(1), np.exp(-samples))
    lower, middle, upper = (float(np.log(one[0])) for one in (dose.lower, dose.median, dose.upper))
    only = Spread(samples[:, 0], lower, middle, upper, -middle, 0.1, 0.01, None, False, {})
    monkeypatch.setattr(activity, "_metric", lambda *_: (40.0, 38.0, only))
    monkeypatch.setattr(activity, "small_lesion_reason", lambda voi: "")
    result = SimpleNamespace(
        injections=[injection("right", 367.0, right=367.0)], objectives=[limit("normal right")],
        voi=lambda name: SimpleNamespace(name=name),
    )  # fmt: skip
    known = activity.ActivityInputs(
        result=result, found=None, corrected={"normal right": object()}, inputs=None, names={}, sources=(),
        spill_gy=0.0, level=0.9, necrosis={},
    )  # fmt: skip
    (bound,), (row, total) = activity.activity_rows(known)
    for one in (row, total):
        assert one.interval.median == pytest.approx(bound.interval.median, rel=1e-9)
        assert one.interval.lower == pytest.approx(bound.interval.lower, rel=1e-9)
        assert one.interval.upper == pytest.approx(bound.interval.upper, rel=1e-9)


def test_a_bound_by_a_volume_beyond_the_histogram_has_no_interval(monkeypatch):
    monkeypatch.setattr(activity, "dose_spread", lambda *_: None)
    objective = replace(limit("normal right"), kind="D", volume_fraction=1.0)
    known = activity.ActivityInputs(
        result=SimpleNamespace(voi=lambda name: SimpleNamespace(name=name)), found=None,
        corrected={"normal right": object()}, inputs=None, names={}, sources=(), spill_gy=0.0, level=0.9, necrosis={},
    )  # fmt: skip
    found = activity._bound_of(known, BoundResult(objective.name, "upper", 367.0, "stated"), objective)
    assert (found.corrected_mbq, found.spread) == (None, None)
    assert found.reason == "its histogram has no interval at 100 % of the volume"


@pytest.mark.parametrize(("fraction", "known"), [(0.01, False), (0.02, True), (0.98, True), (1.0, False)])
def test_no_check_compares_a_dose_beyond_the_histogram(fraction, known):
    band = HistogramBand("normal right", (2.0, 50.0, 98.0), (90.0, 60.0, 30.0), (95.0, 65.0, 35.0), (99.0, 69.0, 39.0))
    objective = replace(limit("normal right"), kind="D", volume_fraction=fraction)
    found = _interval_of(objective, SimpleNamespace(rows=(), histograms=(band,)))
    assert found == (((90.0, 99.0) if fraction < 0.5 else (30.0, 39.0)) if known else None)


@pytest.mark.parametrize("limiting", [None, "mean(normal right) <= 40 Gy"])
def test_an_injection_without_activity_has_no_interval_and_adds_nothing(monkeypatch, limiting):
    """An optimum omits an injection that reaches no tumour."""
    known = injection("right", 364.0, right=367.0)
    omitted = injection("left", 0.0, left=230.0, right=18765.0)
    omitted.limiting_objective = limiting
    right, left, total = rows_of(monkeypatch, [known, omitted])
    assert (left.value_mbq, left.corrected_mbq, left.interval) == (0.0, None, None)
    assert (left.status, left.reason) == ("no interval", "no activity is injected")
    assert total.value_mbq == right.value_mbq == 364.0
    assert total.interval == right.interval


@pytest.mark.parametrize("parts", [(900.0, 500.0), (400.0, 300.0, 300.0, 200.0), tuple(np.linspace(100.0, 300.0, 10))])
@pytest.mark.parametrize("count", [64, 256])
def test_vials_share_the_error_of_the_calibrator_but_not_the_residual(parts, count):
    """The variance of the sum by propagation: common errors add up, independent ones add in squares."""
    calibration, residual = 0.03, 0.08
    sizes = {"residual": residual, "calibration": calibration}
    given = [
        SimpleNamespace(territory=f"{n}", activity_mbq=mbq, bounds=[], limiting_objective=None)
        for n, mbq in enumerate(parts)
    ]
    known = activity.ActivityInputs(
        result=SimpleNamespace(injections=given, objectives=[]),
        found=SimpleNamespace(log_ratios=SimpleNamespace(mean_gy=np.zeros(count))), corrected={}, inputs=None, names={},
        sources=[SimpleNamespace(name=name, sizes=(size,)) for name, size in sizes.items()],
        spill_gy=0.0, level=0.9, necrosis={},
    )  # fmt: skip
    *rows, total = activity.activity_rows(known)[1]
    assert total.corrected_mbq == pytest.approx(sum(parts))

    def width(row):
        return np.log(row.interval.upper / row.interval.lower)

    for row in rows:
        assert width(row) == pytest.approx(2 * 1.6449 * np.hypot(calibration, residual), rel=1e-3)
    fractions = np.asarray(parts) / sum(parts)
    expected = np.sqrt(calibration**2 + residual**2 * np.sum(fractions**2))
    assert width(total) == pytest.approx(2 * 1.6449 * expected, rel=0.03)
