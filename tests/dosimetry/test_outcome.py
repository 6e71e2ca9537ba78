"""Strategies by outcome against a grid over the activity with formulas that are written again here."""

import math
from statistics import NormalDist

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sirtjax import dosimetry as d
from sirtjax.dosimetry._outcome_model import outcome_ray
from sirtjax.errors import ConfigError, InputError

NORMAL = NormalDist()
BOTH = ("right", "left")
TUMOURS = {"T1": [0.12, 0.0], "T2": [0.01, 0.20]}
LIVER = [0.02, 0.015]


def response(endpoint, d50_gy, metric="mean dose"):
    return d.ResponseParameters(
        name=f"{endpoint} of the test",
        endpoint=endpoint,
        sphere_type="glass",
        metric=metric,
        d50_gy=d50_gy,
        source="test",
    )


def model(**more):
    given = {"tcp": response("TCP", 250.0), "tcp_gamma50": 0.8, "ntcp": response("NTCP", 95.0), "ntcp_m": 0.3}
    return d.OutcomeModel(**(given | more))


def vois(squares=False):
    def voi(name, role, names, mean):
        # A VOI of two halves with 0.5 and 1.5 times its mean dose.
        square = 1.25 * np.outer(mean, mean) if squares else None
        return d.VoiDose(name=name, role=role, territories=names, mean_gy_per_mbq=mean, square_gy2_per_mbq2=square)

    return [
        voi("T1", "tumour", ("right",), TUMOURS["T1"]),
        voi("T2", "tumour", BOTH, TUMOURS["T2"]),
        voi("N", "whole_normal", BOTH, LIVER),
        voi("lungs", "lungs", BOTH, [0.001, 0.001]),
    ]


def objectives(liver_gy=140.0, lungs_gy=30.0):
    rows = [("whole_normal", "at most", liver_gy), ("lungs", "at most", lungs_gy), ("tumour", "at least", 100.0)]
    return [d.DoseObjective(voi=v, direction=way, dose_gy=gy, source="test") for v, way, gy in rows]


def plan(strategy, outcome, *, squares=False, **limits):
    injections = [d.Injection(territory=name, residual_fraction=0.0) for name in BOTH]
    return d.prescribe(vois(squares), objectives(**limits), injections, strategy=strategy, outcome=outcome)


def chosen(found):
    return np.asarray([territory.chosen_mbq for territory in found.territories])


def brute(multiples, ray, *, d50=250.0, gamma50=0.8, td50=95.0, m=0.3, bed=(0.0, 0.0)):
    """TCP and NTCP on a grid of multiples: plain loops over halves of each VOI, no shared code."""
    rows = []
    for multiple in multiples:
        tcp = 1.0
        for mean in TUMOURS.values():
            dose = multiple * sum(a * b for a, b in zip(mean, ray, strict=True))
            metric = np.mean([part * dose + bed[0] * (part * dose) ** 2 for part in (0.5, 1.5)])
            tcp *= 1 / (1 + (d50 / metric) ** (4 * gamma50))
        dose = multiple * sum(a * b for a, b in zip(LIVER, ray, strict=True))
        metric = np.mean([part * dose + bed[1] * (part * dose) ** 2 for part in (0.5, 1.5)])
        rows.append((tcp, NORMAL.cdf((metric - td50) / (m * td50))))
    return np.asarray(rows).T


@pytest.mark.parametrize("bed", [(0.0, 0.0), (0.004, 0.012)])
@pytest.mark.slow
def test_the_largest_utcp_of_a_grid(bed):
    outcome = model(tumour_bed_per_gy=bed[0], liver_bed_per_gy=bed[1])
    found = plan("max-utcp", outcome, squares=True, liver_gy=400.0, lungs_gy=400.0)
    ray = chosen(found) / chosen(found).sum()
    grid = np.linspace(1.0, 12000.0, 60001)
    tcp, ntcp = brute(grid, ray, bed=bed)
    best = grid[np.argmax(tcp * (1 - ntcp))]
    assert found.total_mbq == pytest.approx(best, abs=2 * (grid[1] - grid[0]))
    assert not found.outcome.limited
    assert found.outcome.chosen_utcp == pytest.approx((tcp * (1 - ntcp)).max(), rel=1e-7)
    # The curve of the report is that of the grid.
    shown = found.outcome
    tcp, ntcp = brute(shown.activity_mbq[1:], ray, bed=bed)
    np.testing.assert_allclose(shown.tcp[1:], tcp, rtol=1e-9)
    np.testing.assert_allclose(shown.ntcp[1:], ntcp, rtol=1e-9)


@pytest.mark.parametrize("bed", [0.0, 0.012])
@pytest.mark.parametrize("wanted", [0.05, 0.15, 0.5])
def test_the_activity_at_an_ntcp(wanted, bed):
    found = plan("ntcp", model(wanted_ntcp=wanted, liver_bed_per_gy=bed), squares=True)
    ray = chosen(found) / chosen(found).sum()
    _, ntcp = brute([found.total_mbq], ray, bed=(0.0, bed))
    assert ntcp[0] == pytest.approx(wanted, rel=1e-9)
    assert found.outcome.ntcp_mbq == pytest.approx(found.total_mbq)
    assert found.limiting_bound is None
    # All activities are in the proportions of the upper bound.
    upper = chosen(plan("upper", None))
    np.testing.assert_allclose(ray, upper / upper.sum(), rtol=1e-12)


@pytest.mark.parametrize(("strategy", "more"), [("ntcp", {"wanted_ntcp": 0.5}), ("max-utcp", {})])
def test_a_limit_wins_and_is_named(strategy, more):
    found = plan(strategy, model(**more), liver_gy=40.0)
    upper = plan("upper", None, liver_gy=40.0)
    np.testing.assert_allclose(chosen(found), chosen(upper), rtol=1e-9)
    (check,) = [check for check in found.checks if check.code == "SJ560"]
    assert "mean(N) <= 40 Gy" in check.message
    assert found.limiting_bound.voi == "N"
    assert found.outcome.limited
    assert all(outcome.met for outcome in found.outcomes if outcome.objective.direction == "at most")


@settings(max_examples=60, deadline=None)
@given(
    st.floats(30, 400),
    st.floats(0.3, 3),
    st.floats(30, 300),
    st.floats(0.05, 0.6),
    st.floats(10, 300),
    st.floats(1, 60),
)
@pytest.mark.slow
def test_no_activity_within_the_limits_is_better(d50, gamma50, td50, m, liver_gy, lungs_gy):
    outcome = model(tcp=response("TCP", d50), tcp_gamma50=gamma50, ntcp=response("NTCP", td50), ntcp_m=m)
    found = plan("max-utcp", outcome, liver_gy=liver_gy, lungs_gy=lungs_gy)
    ray = chosen(found) / found.total_mbq
    grid = np.append(np.linspace(1e-3, found.joint_upper_mbq, 400), found.total_mbq)
    tcp, ntcp = brute(grid, ray, d50=d50, gamma50=gamma50, td50=td50, m=m)
    utcp = tcp * (1 - ntcp)
    assert found.total_mbq <= found.joint_upper_mbq * (1 + 1e-9)
    assert utcp[-1] >= utcp.max() * (1 - 1e-9)


def test_the_published_points_by_bilirubin():
    # The guideline: whole normal liver below 90 Gy if bilirubin < 1.1 mg/dL, below 50 Gy if above; NTCP 15 %.
    for name, dose_gy, below, above in (("low", 90.0, 15.0, 25.0), ("high", 50.0, 25.0, 15.0)):
        found = d.get_response_parameters(f"glass-liver-chiesa-{name}-bilirubin")
        found.check_bilirubin(below)
        with pytest.raises(ConfigError, match="the patient has"):
            found.check_bilirubin(above)
        with pytest.raises(ConfigError, match=r"set record\.liver_function\.bilirubin"):
            found.check_bilirubin(None)
        for m in (0.2, 0.5):
            value = d.liver_complication_probability(dose_gy, found, sphere_type="glass", m=m)
            assert value == pytest.approx(0.15, abs=1e-6)
            plan = d.prescribe(
                vois(),
                objectives(liver_gy=200.0, lungs_gy=200.0),
                [d.Injection(territory=name, residual_fraction=0.0) for name in BOTH],
                strategy="ntcp",
                outcome=d.OutcomeModel(ntcp=found, ntcp_m=m, wanted_ntcp=0.15),
            )
            assert float(chosen(plan) @ LIVER) == pytest.approx(dose_gy, rel=1e-9)
    with pytest.raises(ConfigError, match="contradicts a slope m of 1"):
        found.half_dose_gy(1.0)
    with pytest.raises(ConfigError, match=r"parameter set .* is NTCP for glass"):
        d.liver_complication_probability(50.0, found, sphere_type="resin", m=0.3)


def test_the_unit_of_bilirubin():
    # 18.8 umol/L is 1.099 mg/dL, 18.9 is 1.105.
    low = d.get_response_parameters("glass-liver-chiesa-low-bilirubin")
    low.check_bilirubin(18.8)
    with pytest.raises(ConfigError, match=r"1\.1 mg/dL; the patient has 1\.11 mg/dL \(18\.9 umol/L\)"):
        low.check_bilirubin(18.9)


@pytest.mark.parametrize(
    ("strategy", "outcome", "error", "message"),
    [
        ("ntcp", None, ConfigError, "requires a dose response of the liver"),
        ("ntcp", model(), ConfigError, "requires an NTCP between 0 and 1, got None"),
        ("ntcp", model(wanted_ntcp=1.0), ConfigError, "requires an NTCP between 0 and 1"),
        # Phi(-1 / 0.6) is 4.8 %.
        ("ntcp", model(wanted_ntcp=0.04, ntcp_m=0.6), InputError, "at or below the value of .* without any dose"),
        ("max-utcp", model(tcp=None), ConfigError, "requires a dose response of tumours"),
        ("max-utcp", model(ntcp=None), ConfigError, "requires a dose response of the liver"),
    ],
)
def test_what_is_missing_is_refused(strategy, outcome, error, message):
    with pytest.raises(error, match=message):
        plan(strategy, outcome)


def test_vois_that_are_missing_are_refused():
    injections = [d.Injection(territory="right", residual_fraction=0.0)]
    lungs = d.VoiDose(name="lungs", role="lungs", territories=("right",), mean_gy_per_mbq=[0.002])
    tumour = d.VoiDose(name="T", role="tumour", territories=("right",), mean_gy_per_mbq=[0.1])
    normal = d.VoiDose(name="N", role="whole_normal", territories=("right",), mean_gy_per_mbq=[0.02])
    targets = [one for one in objectives() if one.voi != "whole_normal"]
    with pytest.raises(InputError, match="there is no normal liver with a dose"):
        d.prescribe([tumour, lungs], targets, injections, strategy="max-utcp", outcome=model())
    with pytest.raises(InputError, match="there is no target"):
        d.prescribe([normal, lungs], objectives()[:2], injections, strategy="max-utcp", outcome=model())
    with pytest.raises(InputError, match="its mean squared dose is unknown"):
        d.prescribe(
            [tumour, normal, lungs], objectives(), injections, strategy="max-utcp", outcome=model(liver_bed_per_gy=0.01)
        )


def test_the_ntcp_alone_limits_the_liver():
    # Without a limit on liver tissue "upper" takes the lower bound; an NTCP needs none.
    rows = [one for one in objectives() if one.voi != "whole_normal"]
    injections = [d.Injection(territory=name, residual_fraction=0.0) for name in BOTH]
    found = d.prescribe(vois(), rows, injections, strategy="ntcp", outcome=model(wanted_ntcp=0.15))
    assert found.outcome.chosen_ntcp == pytest.approx(0.15, rel=1e-9)
    assert "SJ504" not in [check.code for check in found.checks]


@pytest.mark.slow
def test_the_traced_optimum_and_its_derivatives():
    outcome = model(tumour_bed_per_gy=0.004, liver_bed_per_gy=0.012)
    ray = outcome_ray(outcome, vois(True), np.asarray([1.0, 0.8]))
    exact = float(d.best_multiple(ray, math.inf))
    traced = jax.tree.map(jax.numpy.asarray, ray)
    for function, host in (
        (lambda one: d.best_multiple(one, jax.numpy.inf), lambda one: d.best_multiple(one, math.inf)),
        (lambda one: d.ntcp_multiple(jax.numpy.asarray(0.15), one), lambda one: d.ntcp_multiple(0.15, one)),
    ):
        assert float(jax.jit(function)(traced)) == pytest.approx(float(host(ray)), rel=2e-5)
        slopes = jax.grad(function)(traced)
        for name in ray._fields:
            value = np.asarray(getattr(ray, name), np.float64)
            for index in np.ndindex(value.shape):
                step = 1e-4 * max(abs(value[index]), 1e-6)
                moved = []
                for sign in (1, -1):
                    other = value.copy()
                    other[index] += sign * step
                    one = ray._replace(**{name: other if other.ndim else float(other)})
                    moved.append(float(host(one)))
                numeric = (moved[0] - moved[1]) / (2 * step)
                assert np.asarray(getattr(slopes, name))[index] == pytest.approx(numeric, rel=2e-3, abs=1e-3), name
    # At the limit the optimum does not depend on the responses.
    bounded = jax.grad(lambda one: d.best_multiple(one, jax.numpy.asarray(exact / 2)))(traced)
    assert float(bounded.liver_m) == 0.0
