"""Orders of vials, against decay computed in the test from UTC times written out by hand."""

import re

import pytest

from sirtjax import dosimetry
from sirtjax.errors import ConfigError

HALF_LIFE_H = 64.1
SUNDAY = dosimetry.parse_time("2026-11-22T12:00-05:00")  # 17:00 UTC


def wanted(activity_mbq=1700.0, residual_fraction=0.0, mean_dose_gy=100.0):
    return dosimetry.WantedActivity(
        name="right", activity_mbq=activity_mbq, residual_fraction=residual_fraction, mean_dose_gy=mean_dose_gy
    )


def order(device, injection, *, tolerance=0.1, calibrations=(SUNDAY,), shelf_life_h=240.0, before_h=0.0, **want):
    terms = dosimetry.OrderTerms(
        tolerance_fraction=tolerance,
        calibrations=tuple(calibrations),
        shelf_life_h=shelf_life_h,
        before_calibration_h=before_h,
    )
    supply = dosimetry.load_vials(device)
    return dosimetry.order_vials(wanted(**want), supply, [dosimetry.parse_time(injection)], terms=terms)


def decayed(hours, half_life_h=HALF_LIFE_H):
    return 0.5 ** (hours / half_life_h)


def test_glass_by_hand():
    # Thursday 09:00 UTC is 88 h after Sunday 17:00 UTC.
    found = order("glass", "2026-11-26T10:00+01:00", residual_fraction=0.02, activity_mbq=1900.0)
    assert [row.vial_mbq for row in found.options] == [3000, 5000, 7000, 10000, 15000, 20000]
    for row in found.options:
        assert row.in_vial_mbq == pytest.approx(row.vial_mbq * decayed(88), rel=1e-12)
        assert row.delivered_mbq == pytest.approx(0.98 * row.in_vial_mbq, rel=1e-12)
        assert row.mean_dose_gy == pytest.approx(100.0 * row.delivered_mbq / 1900.0, rel=1e-12)
    assert [row.state for row in found.options] == ["too little", "fits"] + 4 * ["too much"]
    (only,) = found.fitting
    assert only.difference_fraction == pytest.approx(5000 * decayed(88) * 0.98 / 1900 - 1, rel=1e-9)
    assert found.loss_per_hour_fraction == pytest.approx(1 - 0.5 ** (1 / 64.1), rel=1e-12)
    # At both ends of the window the activity differs by the tolerance, and at `exact_at` not at all.
    for moment, factor in ((only.usable_from, 1.1), (only.exact_at, 1.0), (only.usable_until, 0.9)):
        hours = (moment.timestamp() - SUNDAY.timestamp()) / 3600.0
        assert 0.98 * 5000 * decayed(hours) == pytest.approx(factor * 1900, rel=1e-9)


def test_a_clock_change_within_the_week_is_an_hour_of_decay(tmp_path):
    # Toronto sets its clocks back on 2026-11-01 at 02:00; both calibrations are at 12:00 local time.
    week = dosimetry.CalibrationWeek(
        weekday="Thursday", time=dosimetry.parse_time("2026-01-01T12:00+00:00").time(), time_zone="America/Toronto",
        source="written for this test",
    )  # fmt: skip
    start, end = (dosimetry.parse_time(f"{day}T00:00+00:00") for day in ("2026-10-29", "2026-11-06"))
    before, after = dosimetry.weekly_calibrations(week, start=start, end=end)
    assert [one.isoformat() for one in (before, after)] == ["2026-10-29T12:00:00-04:00", "2026-11-05T12:00:00-05:00"]
    assert dosimetry.hours_between(before, after) == 7 * 24 + 1
    in_vial = dosimetry.vial_activity_mbq(3000.0, calibration=before, moment=after, half_life_h=HALF_LIFE_H)
    assert in_vial == pytest.approx(3000 * decayed(169), rel=1e-12)
    # The inverse crosses the change as well.
    again = dosimetry.time_of_activity(3000.0, 3000 * decayed(169), calibration=before, half_life_h=HALF_LIFE_H)
    assert again.timestamp() == pytest.approx(after.timestamp(), abs=1e-3)
    assert again.utcoffset() == after.utcoffset()


def test_a_weekly_file_lists_every_calibration_within_the_shelf_life(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'schema = 1\ndevice = "glass"\nproduct = "own"\nnuclide = "y90-icrp107"\n'
        '[dispensing]\nvalue = "whole"\nsource = "test"\n[[vials]]\nactivity_mbq = 3000.0\nsource = "test"\n'
        '[calibration]\nweekday = "Sunday"\ntime = 12:00:00\ntime_zone = "America/Toronto"\nsource = "test"\n'
        '[shelf_life]\nvalue_h = 240.0\nsource = "test"\n'
    )
    found = order(path, "2026-11-24T17:00+00:00", calibrations=(), shelf_life_h=None, activity_mbq=1785.0)
    # Two and nine days after Sunday 17:00 UTC; the vial of two weeks ago has expired.
    assert [row.in_vial_mbq for row in found.options] == pytest.approx([3000 * decayed(216), 3000 * decayed(48)])
    assert found.terms.shelf_life_h == 240.0
    assert [row.calibration.day for row in found.fitting] == [22]


def test_before_calibration_needs_permission():
    early = "2026-11-22T07:00-05:00"
    (refused,) = order("resin", early).options
    assert refused.state == "before calibration"
    assert refused.in_vial_mbq == pytest.approx(3000 / decayed(5))  # more than at calibration
    (allowed,) = order("resin", early, before_h=5.0).options
    assert allowed.state == "fits" and allowed.dispensed_mbq == pytest.approx(1700.0)
    assert order("resin", early, before_h=4.9).fitting == ()


def test_an_expired_vial_never_fits():
    # 5 GBq decay to 1700 MBq after 99.8 h.
    at = "2026-11-26T16:00-05:00"
    assert [row.vial_mbq for row in order("glass", at, shelf_life_h=100.0).fitting] == [5000.0]
    late = order("glass", at, shelf_life_h=99.0)
    assert late.fitting == () and {row.state for row in late.options} == {"expired"}
    # Windows end with the shelf life.
    rows = {row.vial_mbq: row for row in late.options}
    assert dosimetry.hours_between(SUNDAY, rows[5000.0].usable_until) == pytest.approx(99.0)
    assert rows[5000.0].exact_at is None and rows[20000.0].usable_until is None


def test_activity_beyond_every_vial():
    at = "2026-11-22T13:00-05:00"
    for device, too_much_mbq in (("glass", 25000.0), ("resin", 4000.0)):
        found = order(device, at, activity_mbq=too_much_mbq)
        assert found.fitting == () and {row.state for row in found.options} == {"too little"}
    assert {row.state for row in order("glass", at, activity_mbq=200.0).options} == {"too much"}


def test_resin_is_drawn_up_and_holmium_made_to_order():
    at = "2026-11-22T18:48-05:00"  # 6.8 h after calibration
    (resin,) = order("resin", at, residual_fraction=0.05).fitting
    assert resin.dispensed_mbq == pytest.approx(1700 / 0.95) and resin.delivered_mbq == pytest.approx(1700.0)
    (holmium,) = order("holmium", at, residual_fraction=0.05, shelf_life_h=30.0).fitting
    assert holmium.vial_mbq * decayed(6.8, 26.8) == pytest.approx(1700 / 0.95)
    assert holmium.vial_mbq > holmium.in_vial_mbq and holmium.difference_fraction == pytest.approx(0.0, abs=1e-12)


def test_each_bundled_number_has_a_source():
    for device in ("glass", "resin", "holmium"):
        supply = dosimetry.load_vials(device)
        assert supply.device == device
        for source in (supply.dispensing_source, *(one.source for one in supply.sizes)):
            assert re.search(r"https://|doi:", source), source
        # No citable text of the manufacturer states them, so the user has to.
        assert supply.calibration is None and supply.shelf_life_h is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shelf_life_h": None}, "the shelf life is not in the data file"),
        ({"calibrations": ()}, "the calibration time is not in the data file"),
        ({"tolerance": 1.0}, "tolerance: 1.0"),
        ({"residual_fraction": 1.0}, r"residual of right: 1\.0"),
        ({"activity_mbq": float("nan")}, "activity of right: nan MBq"),
        ({"mean_dose_gy": 0.0}, r"mean dose of right: 0\.0 Gy"),
        ({"before_h": -1.0}, r"use before calibration: -1\.0 h"),
        ({"calibrations": (SUNDAY.replace(tzinfo=None),)}, "has no time zone"),
        ({"device": "ceramic"}, "no vials are known for device 'ceramic'"),
    ],
)
def test_what_must_not_pass(change, message):
    with pytest.raises(ConfigError, match=message):
        order(**({"device": "glass", "injection": "2026-11-24T10:00+01:00"} | change))


@pytest.mark.parametrize(
    ("text", "zone", "message"),
    [
        ("2026-11-24", None, "has no time of day"),
        ("tomorrow", None, "is not a date and time"),
        ("2026-11-24T10:00", None, "has no time zone"),
        ("2026-11-24T10:00", "Mars/Olympus", "time zone 'Mars/Olympus' is not known"),
        ("2026-10-25T02:30", "Europe/Zurich", "is not unique"),  # twice
        ("2026-03-29T02:30", "Europe/Zurich", "is not unique"),  # never
    ],
)
def test_times_that_are_not_clear(text, zone, message):
    with pytest.raises(ConfigError, match=message):
        dosimetry.parse_time(text, zone=zone)


def test_the_nuclide_must_be_that_of_the_device():
    terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=(SUNDAY,), shelf_life_h=240.0)
    with pytest.raises(ConfigError, match="vials glass contain Y-90, the activity is Ho-166"):
        dosimetry.order_vials(wanted(), dosimetry.load_vials("glass"), [SUNDAY], terms=terms, nuclide="ho166-clinical")
