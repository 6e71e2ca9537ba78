"""The treatment record: its derived values by hand, the contradictions that it must report, the inputs it refuses."""

import datetime
import json

import analytic_case
import pytest

from sirtjax.dosimetry import load_protocol
from sirtjax.errors import ConfigError
from sirtjax.workflows import load_case, result_to_json
from sirtjax.workflows._case import InjectionTable
from sirtjax.workflows._record import treatment_record

HALF_LIFE_H = 64.1
NOON = datetime.datetime(2026, 3, 1, 12, 0)
HOUR = datetime.timedelta(hours=1)


def vial(**changes):
    """3000 MBq, one half-life before the injection; 1500 MBq measured; 60 MBq left one hour later."""
    start = NOON + HALF_LIFE_H * HOUR
    values = {
        "territory": "right", "lot": "L-1", "calibrated_mbq": 3000.0, "calibration_time": NOON, "vial_mbq": 1500.0,
        "vial_time": start, "residual_method": "dose calibrator", "residual_mbq": 60.0, "residual_time": start + HOUR,
    }  # fmt: skip
    return {key: value for key, value in (values | changes).items() if value is not None}


def survey(**changes):
    removed = {"residual_mbq": None, "residual_time": None, "residual_method": "survey meter"}
    rates = {"rate_before": 210.0, "rate_after": 14.0, "rate_background": 10.0, "rate_unit": "uSv/h"}
    return vial(**(removed | rates | changes))


def made(folder, *vials, injection=None, **record):
    case = load_case(analytic_case.write_case(folder, record={**record, "vials": list(vials)}))
    one = InjectionTable(**{"territory": "right", **(injection or {})})
    return treatment_record(case, (one,), load_protocol(case.protocol.name), half_life_h=HALF_LIFE_H)


def codes(checks):
    return [check.code for check in checks]


def test_a_vial_decays_by_half_and_its_residual_is_taken_back_an_hour(tmp_path):
    record, checks = made(tmp_path, vial())
    (row,) = record.vials
    assert row.expected_mbq == pytest.approx(1500.0)
    assert row.residual_mbq == pytest.approx(60.0 * 2 ** (1 / HALF_LIFE_H))
    assert row.delivered_mbq == pytest.approx(1500.0 - 60.0 * 2 ** (1 / HALF_LIFE_H))
    assert row.vial_time == "2026-03-04T04:06" and row.lot == "L-1" and codes(checks) == []


def test_the_activity_is_that_at_the_time_of_injection(tmp_path):
    later = NOON + 2 * HALF_LIFE_H * HOUR
    record, _ = made(tmp_path, survey(), injection={"time": later})
    (row,) = record.vials
    assert row.residual_fraction == pytest.approx(4.0 / 200.0)
    assert row.delivered_mbq == pytest.approx(1500.0 * 0.98 / 2)


def test_daylight_saving_time_is_counted(tmp_path):
    # 29 March 2026, 01:59 UTC+1 and 03:01 UTC+2 are two minutes apart.
    start = datetime.datetime.fromisoformat("2026-03-29T01:59:00+01:00")
    end = datetime.datetime.fromisoformat("2026-03-29T03:01:00+02:00")
    one = vial(calibration_time=start, vial_time=end, residual_time=end, vial_mbq=3000.0)
    record, _ = made(tmp_path, one)
    assert record.vials[0].expected_mbq == pytest.approx(3000.0 * 2 ** (-2 / 60 / HALF_LIFE_H))


@pytest.mark.parametrize(
    ("vials", "injection", "expected"),
    [
        ([vial()], {"activity_mbq": 1440.0}, []),
        ([vial()], {"activity_mbq": 1600.0}, ["SJ550"]),
        ([vial(), vial(lot="L-2")], {"activity_mbq": 1440.0}, ["SJ550"]),
        ([vial(), vial(lot="L-2")], {"activity_mbq": 2880.0}, []),
        # A vial without a measurement: the sum is not known.
        ([vial(), vial(vial_mbq=None, vial_time=None)], {"activity_mbq": 1440.0}, []),
        ([survey()], {"residual_fraction": 0.02}, []),
        ([survey()], {"residual_fraction": 0.10}, ["SJ551"]),
        ([survey(rate_after=90.0)], {"residual_fraction": 0.02}, ["SJ551"]),
        # A calibration time one day off, or an activity in another unit.
        ([vial(calibration_time=NOON - 24 * HOUR)], {}, ["SJ552"]),
        ([vial(vial_mbq=1400.0)], {}, ["SJ552"]),
        ([vial(vial_mbq=1430.0)], {}, []),
    ],
)
def test_contradictions_are_reported(tmp_path, vials, injection, expected):
    _, checks = made(tmp_path, *vials, injection=injection)
    assert codes(checks) == expected


def test_the_tolerance_of_the_case_replaces_that_of_the_checks(tmp_path):
    one = vial(vial_mbq=1430.0)
    (found,) = made(tmp_path, one, activity_tolerance=0.02)[1]
    assert (found.code, found.limit) == ("SJ552", 0.02)
    assert found.value == pytest.approx(1430 / 1500 - 1)
    assert made(tmp_path, vial(vial_mbq=1200.0), activity_tolerance=0.25)[1] == ()


def test_another_day_is_reported(tmp_path):
    assert codes(made(tmp_path, vial(), treatment_date=datetime.date(2026, 3, 4))[1]) == []
    (found,) = made(tmp_path, vial(), treatment_date=datetime.date(2026, 3, 3))[1]
    assert found.code == "SJ555" and "2026-03-03; the vial for right on 2026-03-04" in found.message


LABORATORY = {"bilirubin": 10.0, "bilirubin_unit": "umol/L", "albumin": 40.0, "albumin_unit": "g/L"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"albi": -2.74, "albi_grade": 1}, []),
        ({"albi": -2.4}, ["SJ553"]),
        ({"albi_grade": 2}, ["SJ553"]),
        # The same blood in other units.
        ({"bilirubin": 0.58467, "bilirubin_unit": "mg/dL", "albumin": 4.0, "albumin_unit": "g/dL", "albi": -2.74}, []),
        ({"bilirubin": 0.6, "albi": -2.74}, ["SJ554", "SJ553"]),
        ({"albumin": 4.0}, ["SJ554"]),
    ],
)
def test_liver_function(tmp_path, changes, expected):
    record, checks = made(tmp_path, liver_function=LABORATORY | changes)
    assert codes(checks) == expected
    if not expected:
        assert record.liver_function.albi == pytest.approx(0.66 - 3.4) and record.liver_function.albi_grade == 1


@pytest.mark.parametrize(
    ("scenario", "bilirubin", "unit", "found"),
    [
        ("low", 14.0, "umol/L", None),
        ("low", 30.0, "umol/L", 30.0 / 17.1),
        ("low", 1.5, "mg/dL", 1.5),
        ("high", 0.8, "mg/dL", 0.8),
        ("high", 1.5, "mg/dL", None),
    ],
)
def test_a_limit_for_patients_with_another_bilirubin_is_reported(tmp_path, scenario, bilirubin, unit, found):
    function = {"liver_function": {"bilirubin": bilirubin, "bilirubin_unit": unit}}
    protocol = {"name": f"glass-hcc-bilobar-{scenario}-bilirubin"}
    tables = {"record": function, "protocol": protocol}
    case = load_case(analytic_case.write_case(tmp_path, **tables))
    injection = InjectionTable(territory="right", activity_mbq=1000.0)

    def checks(one):
        made = treatment_record(one, (injection,), load_protocol(one.protocol.name), half_life_h=HALF_LIFE_H)[1]
        return [check for check in made if check.code == "SJ556"]

    if found is None:
        assert checks(case) == []
        return
    (check,) = checks(case)
    assert check.severity == "error" and check.value == pytest.approx(found, rel=1e-3) and check.limit == 1.1
    assert "mean(normal liver)" in check.message
    # A limit of this patient on the same role replaces that of the protocol.
    own = {"voi": "whole_normal", "direction": "at most", "dose_gy": 40.0, "source": "tumour board"}
    tables["prescription"] = {"strategy": "upper", "residual_fraction": 0.02, "objectives": [own]}
    assert checks(load_case(analytic_case.write_case(tmp_path, **tables))) == []


@pytest.mark.parametrize("scenario", ["low", "high"])
def test_a_limit_for_a_range_of_bilirubin_asks_for_it(tmp_path, scenario):
    protocol = load_protocol(f"glass-hcc-bilobar-{scenario}-bilirubin")
    case = load_case(analytic_case.write_case(tmp_path, protocol={"name": f"glass-hcc-bilobar-{scenario}-bilirubin"}))
    injection = InjectionTable(territory="right", activity_mbq=1000.0)
    (check,) = treatment_record(case, (injection,), protocol, half_life_h=HALF_LIFE_H)[1]
    assert (check.code, check.severity, check.limit) == ("SJ557", "warning", 1.1)
    side = {"low": "<= 90 Gy (total bilirubin below", "high": "<= 50 Gy (total bilirubin above"}[scenario]
    assert check.message.startswith(f"mean(normal liver) {side} 1.1 mg/dL) depends on the bilirubin")
    assert "record.liver_function.bilirubin" in check.message


def test_nothing_is_invented(tmp_path):
    record, checks = made(tmp_path)
    assert checks == () and record.vials == () and record.prescriber is None and record.imaging_dates == {}
    assert record.liver_function.albi is None and record.liver_function.child_pugh_class is None
    (row,) = made(tmp_path, {"territory": "right", "lot": "L-1"})[0].vials
    assert row.delivered_mbq is None and row.expected_mbq is None and row.residual_fraction is None
    points = made(tmp_path, liver_function={"child_pugh_points": 7})[0].liver_function
    assert (points.child_pugh_class, points.child_pugh_points) == ("B", 7)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"vials": [vial(calibration_time=None)]}, "`calibrated_mbq` requires `calibration_time`"),
        ({"vials": [vial(vial_time=None)]}, "`vial_mbq` requires `vial_time`"),
        ({"vials": [vial(residual_time=None)]}, 'residual_method = "dose calibrator" requires'),
        ({"vials": [vial(residual_method="survey meter")]}, "residual_method"),
        ({"vials": [vial(residual_method=None)]}, "residual_method"),
        ({"vials": [survey(rate_unit=None)]}, 'residual_method = "survey meter" requires'),
        ({"vials": [survey(rate_after=300.0)]}, "rate_background <= rate_after <= rate_before"),
        ({"vials": [survey(rate_background=20.0)]}, "rate_background <= rate_after <= rate_before"),
        ({"vials": [vial(residual_time=NOON)]}, "`residual_time` is before `vial_time`"),
        (
            {"vials": [vial(calibration_time=NOON.replace(tzinfo=datetime.UTC))]},
            "with a time zone, or all without",
        ),
        ({"liver_function": {"bilirubin": 10.0}}, "`bilirubin` requires `bilirubin_unit`"),
        ({"liver_function": {"albumin_unit": "g/L"}}, "`albumin` requires `albumin_unit`"),
        ({"liver_function": LABORATORY | {"bilirubin_unit": "mg/L"}}, "bilirubin_unit"),
        ({"liver_function": {"child_pugh_class": "A", "child_pugh_points": 8}}, '8 Child-Pugh points are class "B"'),
        ({"liver_function": {"child_pugh_points": 4}}, "child_pugh_points"),
        ({"paper": "A5"}, "paper"),
        ({"lot": "L-1"}, "lot"),
    ],
)
def test_incomplete_records_are_refused(tmp_path, record, message):
    with pytest.raises(ConfigError) as found:
        load_case(analytic_case.write_case(tmp_path, record=record))
    assert message in str(found.value) and "record" in str(found.value) and "\n" not in str(found.value)


def test_a_name_never_reaches_a_message(tmp_path):
    for key in ("prescriber", "physicist"):
        with pytest.raises(ConfigError) as found:
            load_case(analytic_case.write_case(tmp_path, record={key: "Secret\tName"}))
        assert key in str(found.value) and "Secret" not in str(found.value)


def test_vials_of_other_territories_and_too_much_residual_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"record.vials 1: territory 'left' has no injection; choose one of 'right'"):
        made(tmp_path, vial(territory="left"))
    with pytest.raises(ConfigError, match="not below the 1500 MBq"):
        made(tmp_path, vial(residual_mbq=1500.0))
    aware = datetime.datetime(2026, 3, 4, 4, tzinfo=datetime.UTC)
    with pytest.raises(ConfigError, match="time zone"):
        made(tmp_path, vial(), injection={"time": aware})


@pytest.mark.slow
def test_a_plan_has_the_record_and_the_counts_of_the_lung_shunt(planned, patient):
    before, _ = planned()
    result, _ = planned(record={"prescriber": "A. Physician", "liver_function": LABORATORY, "vials": [vial()]})
    table = json.loads(json.dumps(result_to_json(result)))
    assert table["record"]["prescriber"] == "A. Physician" and table["record"]["vials"][0]["lot"] == "L-1"
    assert table["record"]["liver_function"]["albi"] == pytest.approx(-2.74)
    # The record changes no dose.
    assert [voi.mean_gy for voi in result.vois] == [voi.mean_gy for voi in before.vois]
    assert table["lung_shunt"]["fraction"] == pytest.approx(result.lung_shunt_fraction)


@pytest.mark.parametrize(("fraction", "found"), [(0.2, []), (0.5, ["SJ558"]), (None, [])])
def test_a_residual_that_is_unlikely_is_asked_for(tmp_path, fraction, found):
    """A per cent that was stated as a number."""
    case = load_case(analytic_case.write_case(tmp_path))
    injection = InjectionTable(territory="right", activity_mbq=1000.0, residual_fraction=fraction)
    checks = treatment_record(case, (injection,), load_protocol(case.protocol.name), half_life_h=HALF_LIFE_H)[1]
    assert codes(checks) == found
