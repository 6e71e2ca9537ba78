"""Plans whose activity is selected by outcome, through case file, results.json, page and PDF."""

import json
from statistics import NormalDist

import analytic_case as case
import jax
import numpy as np
import pytest

from sirtjax import pipeline
from sirtjax.errors import ConfigError
from sirtjax.reports import report_html
from sirtjax.workflows import load_case, pipeline_inputs, plan_case, result_to_json

# A response on the dose, and one on the BED.
TISSUE = {"alpha_beta_gy": 2.75, "repair_half_time_h": 2.5, "source": "written for tests"}
BIOLOGY = {
    "tcp": "resin-tumour",
    "tcp_gamma50": 1.0,
    "ntcp": "resin-liver-walrand",
    "ntcp_m": 0.3,
    "normal_liver": TISSUE,
}


def own(voi, direction, dose_gy):
    return {"voi": voi, "direction": direction, "dose_gy": dose_gy, "source": "the test"}


# Limits far away, so that the outcome decides.
FAR = [own("normal_perfused", "at most", 400.0), own("whole_normal", "at most", 400.0), own("lungs", "at most", 900.0)]


def by_outcome(strategy, **more):
    return {"strategy": strategy, "objectives": FAR, **more}


def test_the_ntcp_of_the_plan_is_that_of_its_dose(planned):
    result, maps = planned(prescription=by_outcome("ntcp", ntcp=0.15), biology=BIOLOGY)
    assert result.outcome.chosen_ntcp == pytest.approx(0.15, rel=1e-6)
    # From the dose map of the report: BED of each voxel, its mean over the normal liver, the normal distribution.
    dose, weight = np.asarray(maps.dose_gy.array, np.float64), maps.occupancy["normal liver"].astype(np.float64)
    half_life_h = 64.1
    bed = dose + dose**2 / 2.75 * 2.5 / (2.5 + half_life_h)
    mean = (bed * weight).sum() / weight.sum()
    assert NormalDist().cdf((mean - 93.0) / (0.3 * 93.0)) == pytest.approx(0.15, abs=2e-4)
    assert {row.limiting_objective for row in result.injections} == {"NTCP 15 %"}
    assert result.voi("normal liver").biology["ntcp"] == pytest.approx(0.15, abs=1e-4)


def test_no_other_activity_has_a_better_utcp(planned):
    result, _ = planned(prescription=by_outcome("max-utcp"), biology=BIOLOGY)
    found = result.outcome
    rows = {row.name: row for row in result.vois}
    names = [row.name for row in result.vois if row.kind == "lesion"]
    assert found.targets == tuple(names)
    tcp = np.prod([1 / (1 + (60.0 / rows[name].mean_gy) ** 4) for name in names])
    assert found.chosen_tcp == pytest.approx(tcp, rel=1e-4)
    assert found.chosen_utcp == pytest.approx(max(found.utcp), rel=2e-3)
    assert found.chosen_utcp >= max(found.utcp)
    assert {row.limiting_objective for row in result.injections} == {"largest TCP (1 - NTCP)"}


@pytest.mark.parametrize("more", [{"strategy": "ntcp", "ntcp": 0.9}, {"strategy": "max-utcp"}])
@pytest.mark.slow
def test_the_protocol_wins(planned, more):
    upper, _ = planned(biology=BIOLOGY)
    steep = BIOLOGY | {"ntcp_m": 0.01} if more["strategy"] == "max-utcp" else BIOLOGY
    result, _ = planned(prescription=more, biology=steep)
    assert [row.activity_mbq for row in result.injections] == pytest.approx(
        [row.activity_mbq for row in upper.injections], rel=1e-6
    )
    (check,) = [check for check in result.checks if check.code == "SJ560"]
    assert check.value > check.limit
    assert result.outcome.limited
    assert upper.outcome is not None
    assert upper.outcome.strategy == "upper"


@pytest.mark.slow
def test_the_bilirubin_of_the_record_selects_the_response(planned):
    high = {"ntcp": "glass-liver-chiesa-high-bilirubin", "ntcp_m": 0.3}
    record = {"liver_function": {"bilirubin": 1.5, "bilirubin_unit": "mg/dL"}}
    given = {"protocol": {"name": "glass-hcc-unilobar"}, "biology": high}
    result, _ = planned(prescription=by_outcome("ntcp", ntcp=0.15), record=record, **given)
    assert result.voi("normal liver").mean_gy == pytest.approx(50.0, rel=1e-4)
    assert any(check.code == "SJ603" and "glass-liver-chiesa" in check.where for check in result.checks)
    with pytest.raises(ConfigError, match=r"set record\.liver_function\.bilirubin"):
        planned(prescription=by_outcome("ntcp", ntcp=0.15), **given)
    record = {"liver_function": {"bilirubin": 15.0, "bilirubin_unit": "umol/L"}}
    with pytest.raises(ConfigError, match=r"the patient has 0\.877 mg/dL \(15 umol/L\)"):
        planned(prescription=by_outcome("ntcp", ntcp=0.15), record=record, **given)


@pytest.mark.slow
def test_the_page_shows_the_curves(planned):
    result, maps = planned(prescription=by_outcome("max-utcp"), biology=BIOLOGY)
    page = report_html(result, maps, pictures=[])
    assert "Predicted outcome" in page
    assert "the probability that every one is controlled" in page
    assert f"{100 * result.outcome.chosen_utcp:.1f}" in page
    plain, maps = planned()
    assert plain.outcome is None
    assert "Predicted outcome" not in report_html(plain, maps, pictures=[])
    table = json.loads(json.dumps(result_to_json(result)))
    assert table["outcome"]["chosen_mbq"] == pytest.approx(sum(row["activity_mbq"] for row in table["injections"]))


@pytest.mark.parametrize(
    ("prescription", "biology", "message"),
    [
        ({"strategy": "ntcp"}, BIOLOGY, "`ntcp` is allowed only with strategy"),
        ({"strategy": "upper", "ntcp": 0.15}, BIOLOGY, "`ntcp` is allowed only with strategy"),
        ({"strategy": "ntcp", "ntcp": 15}, BIOLOGY, "less than 1"),
        ({"strategy": "ntcp", "ntcp": 0.15}, None, "requires `ntcp` and `ntcp_m` in"),
        ({"strategy": "max-utcp"}, {k: v for k, v in BIOLOGY.items() if "tcp" not in k[:3]}, "requires `tcp` and"),
        ({"strategy": "ntcp", "ntcp": 0.15}, BIOLOGY | {"ntcp": "glass-liver-walrand"}, "is NTCP for glass spheres"),
        (
            {"strategy": "ntcp", "ntcp": 0.15},
            {k: v for k, v in BIOLOGY.items() if k != "normal_liver"},
            r"requires alpha_beta_gy and repair_half_time_h in \[biology\.normal_liver\]",
        ),
    ],
)
def test_what_is_missing_is_refused(patient, prescription, biology, message):
    more = {} if biology is None else {"biology": biology}
    path = case.write_case(patient, prescription=prescription, **more)
    with pytest.raises(ConfigError, match=message):
        plan_case(load_case(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "prescription", [by_outcome("ntcp", ntcp=0.15), by_outcome("max-utcp"), {"strategy": "max-utcp"}]
)
def test_the_pipeline_selects_the_same_activities(patient, prescription):
    loaded = load_case(case.write_case(patient, prescription=prescription, biology=BIOLOGY))
    result, _, products = plan_case(loaded)
    inputs, config = pipeline_inputs(loaded, products)
    expected = [row.activity_mbq for row in result.injections]
    np.testing.assert_allclose(pipeline.run(inputs, config).activity_mbq, expected, rtol=1e-4)

    def activity(one):
        return jax.numpy.sum(pipeline.run(one, config).activity_mbq)

    value, slopes = jax.jit(jax.value_and_grad(activity, allow_int=True))(inputs)
    assert float(value) == pytest.approx(sum(expected), rel=1e-4)
    assert np.isfinite(float(slopes.outcome.liver_d50_gy))
