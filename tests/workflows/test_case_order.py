"""The table [order] of a case: the vials of a plan in its result, and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from importlib import resources

import analytic_case as case
import jsonschema
import pytest

from sirtjax.errors import ConfigError
from sirtjax.reports import report_html
from sirtjax.workflows import load_case, plan_case, result_to_json, verify_case

TIMES = ["2026-11-26T10:00:00+01:00", "2026-11-27T10:00:00+01:00"]
ORDER = {
    "injection_times": TIMES,
    "calibration_times": ["2026-11-22T18:00:00+01:00"],
    "tolerance_fraction": 0.1,
    "shelf_life_h": 240.0,
    "max_vials": 3,
}
HALF_LIFE_H = 64.1
SCHEMA_TABLE = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())


def check(table):
    jsonschema.Draft202012Validator(SCHEMA_TABLE).validate(json.loads(json.dumps(table, allow_nan=False)))


def planned_order(folder, order, **tables):
    path = case.write_case(folder, order=ORDER | order, **tables)
    return plan_case(load_case(path))


@pytest.mark.slow
def test_the_order_of_a_plan_is_in_its_result_and_its_report(patient):
    fixed = [
        {"territory": "right", "activity_mbq": 2000.0, "residual_fraction": 0.02},
        {"territory": "left", "activity_mbq": 700.0, "residual_fraction": 0.0},
    ]
    result, maps, _ = planned_order(patient, {"device": "glass"}, injections=fixed, prescription={"strategy": "fixed"})
    table = json.loads(json.dumps(result_to_json(result)))
    check(table)
    order = table["order"]
    right, left = order["territories"]
    means = {row["name"]: row["mean_gy"] for row in table["vois"]}
    assert right["found"] > 0
    for option in right["options"]:
        age_h = datetime.fromisoformat(option["injection"]) - datetime.fromisoformat(ORDER["calibration_times"][0])
        decay = 0.5 ** (age_h / timedelta(hours=1) / HALF_LIFE_H)
        delivered = 0.98 * decay * sum(vial["vial_mbq"] for vial in option["vials"])
        assert option["delivered_mbq"] == pytest.approx(delivered, rel=1e-9)
        assert option["mean_dose_gy"] == pytest.approx(means["right"] * delivered / 2000.0, rel=1e-9)
        assert datetime.fromisoformat(option["injection"]).astimezone(UTC).hour == 9
    # 3 GBq are the smallest vial: 986 MBq on the last day are too much for the left.
    assert left["found"] == 0
    assert not left["options"][0]["fits"]
    assert [row["where"] for row in table["checks"] if row["code"] == "SJ570"] == ["left"]
    page = report_html(result, maps)
    assert "Vials to order" in page
    assert f"{right['options'][0]['delivered_mbq']:.0f}" in page
    assert "left: nothing is within the tolerance" in page


@pytest.mark.slow
def test_resin_vials_are_shared_at_the_time_of_each_injection(patient):
    fixed = [
        {"territory": "right", "activity_mbq": 500.0, "time": "2026-11-25T09:00:00+01:00"},
        {"territory": "left", "activity_mbq": 300.0},
    ]
    order = {"device": "resin", "injection_times": ["2026-11-25T13:00:00+01:00"], "max_vials": 1}
    result, _, _ = planned_order(patient, order, injections=fixed, prescription={"strategy": "fixed"})
    check(result_to_json(result))
    (shared,) = result.order.shared
    first, second = shared.withdrawals
    assert (first.territory, second.territory) == ("right", "left")
    # 63 h and 67 h after calibration; the left is drawn from what the right leaves, four hours later.
    assert first.before_mbq == pytest.approx(3000 * 0.5 ** (63 / HALF_LIFE_H), rel=1e-9)
    assert second.before_mbq == pytest.approx((first.before_mbq - 500.0) * 0.5 ** (4 / HALF_LIFE_H), rel=1e-9)
    assert second.left_mbq == pytest.approx(second.before_mbq - 300.0, rel=1e-9)
    assert second.withdrawn_ml == pytest.approx(5 * 300 / (3000 * 0.5 ** (67 / HALF_LIFE_H)), rel=1e-9)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"tolerance_fraction": None}, "order.tolerance_fraction: Field required"),
        ({"tolerance_fraction": 1.5}, "order.tolerance_fraction"),
        ({"injection_times": []}, "no injection time"),
        ({"injection_times": ["2026-11-26T10:00:00"]}, "no time zone"),
        ({"time_zone": "Europe/Nowhere", "injection_times": ["2026-11-26T10:00:00"]}, "is not known"),
        ({"calibration_times": []}, "calibration time is not in the data file"),
        ({"shelf_life_h": None}, "shelf life is not in the data file"),
        ({"device": "wood"}, "no vials are known for device 'wood'"),
        ({"device": "holmium"}, "contain Ho-166, the activity is Y-90"),
        ({"max_vials": 0}, "order.max_vials"),
        ({"vials": 2}, "order.vials"),
    ],
)
def test_a_wrong_order_is_refused_before_the_dose_is_computed(patient, order, message, monkeypatch):
    steps = []
    monkeypatch.setattr("sirtjax.workflows._planning.made_images", lambda *_, **__: steps.append(1))
    table = {key: value for key, value in (ORDER | order).items() if value is not None}
    with pytest.raises(ConfigError, match=message):
        plan_case(load_case(case.write_case(patient, order=table)))
    assert not steps


def test_a_verification_refuses_an_order(patient):
    path = case.write_case(patient, order=ORDER, injections=[{"territory": "right", "activity_mbq": 300.0}])
    with pytest.raises(ConfigError, match=r"\[order\] applies to a plan"):
        verify_case(load_case(path))
