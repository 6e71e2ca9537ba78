"""Several vials per territory and vials for several territories, against brute force and a linear program."""

import itertools
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.optimize import linprog

from sirtjax import dosimetry
from sirtjax.errors import ConfigError

HALF_LIFE_H = 64.1
SUNDAYS = tuple(dosimetry.parse_time(f"2026-11-{day}T12:00+00:00") for day in (15, 22))
TIMES = tuple(dosimetry.parse_time(f"2026-11-{day}T09:00+00:00") for day in (24, 26))
TERMS = dosimetry.OrderTerms(tolerance_fraction=0.05, calibrations=SUNDAYS, shelf_life_h=280.0)


def wanted(activity_mbq, name="right", residual_fraction=0.02):
    return dosimetry.WantedActivity(
        name=name, activity_mbq=activity_mbq, residual_fraction=residual_fraction, mean_dose_gy=120.0
    )


def hours(start, end):
    return (end.timestamp() - start.timestamp()) / 3600


def brute_force(activity_mbq, residual_fraction, times, most, terms=TERMS):
    """Every count of every vial, without the library: delivered activity by (time, vials)."""
    sizes = (3000, 5000, 7000, 10000, 15000, 20000)
    found = {}
    for moment in times:
        kinds = [(c, s) for c in terms.calibrations for s in sizes if 0 <= hours(c, moment) <= terms.shelf_life_h]
        each = [s * 0.5 ** (hours(c, moment) / HALF_LIFE_H) for c, s in kinds]
        for counts in itertools.product(range(most + 1), repeat=len(kinds)):
            if not 1 <= sum(counts) <= most:
                continue
            delivered = (1 - residual_fraction) * sum(n * mbq for n, mbq in zip(counts, each, strict=True))
            if abs(delivered / activity_mbq - 1) <= terms.tolerance_fraction:
                vials = sorted(kind for n, kind in zip(counts, kinds, strict=True) for _ in range(n))
                found[moment, tuple(vials)] = delivered
    return found


@pytest.mark.parametrize(("activity_mbq", "most"), [(1960.0, 1), (2900.0, 2), (6400.0, 3), (9100.0, 3)])
@pytest.mark.slow
def test_every_combination_is_found_and_no_other(activity_mbq, most):
    supply = dosimetry.load_vials("glass")
    found = dosimetry.combine_vials(wanted(activity_mbq), supply, TIMES, terms=TERMS, max_vials=most)
    expected = brute_force(activity_mbq, 0.02, TIMES, most)
    assert expected, "the case shows nothing"
    keys = [(one.injection, tuple(sorted((v.calibration, v.vial_mbq) for v in one.vials))) for one in found]
    assert len(set(keys)) == len(keys)
    assert set(keys) == set(expected)
    for key, one in zip(keys, found, strict=True):
        assert one.delivered_mbq == pytest.approx(expected[key], rel=1e-12)
        assert one.mean_dose_gy == pytest.approx(120.0 * expected[key] / activity_mbq, rel=1e-12)
        million = 0.98 * sum(mbq for _, mbq in key[1]) / 3000 * 1.2
        assert one.spheres_million == pytest.approx(million, rel=1e-12)
        # The activity of all spheres that are delivered is the delivered activity.
        assert one.bq_per_sphere * one.spheres_million == pytest.approx(one.delivered_mbq, rel=1e-12)
    differences = [abs(one.difference_fraction) for one in found]
    assert differences == sorted(differences)


def test_the_order_of_the_combinations_is_the_one_that_was_asked_for():
    supply = dosimetry.load_vials("glass")
    few = dosimetry.combine_vials(wanted(6400.0), supply, TIMES, terms=TERMS, max_vials=3, sort="fewest vials")
    numbers = [len(one.vials) for one in few]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 1
    sparse = dosimetry.combine_vials(wanted(6400.0), supply, TIMES, terms=TERMS, max_vials=3, sort="fewest spheres")
    spheres = [one.spheres_million for one in sparse]
    assert spheres == sorted(spheres)
    # Older spheres have less activity, so the same activity needs more of them.
    ages = {one.injection: one for one in sparse}
    assert len(ages) == 2


def test_the_window_of_a_combination_is_where_it_delivers_the_activity():
    supply = dosimetry.load_vials("glass")
    found = dosimetry.combine_vials(wanted(2900.0), supply, TIMES, terms=TERMS, max_vials=2)
    inside = 0
    for one in found:
        for moment, factor in ((one.usable_from, 1.05), (one.exact_at, 1.0), (one.usable_until, 0.95)):
            if moment is None:
                continue
            ages = [hours(v.calibration, moment) for v in one.vials]
            activity = 0.98 * sum(v.vial_mbq * 0.5 ** (h / HALF_LIFE_H) for v, h in zip(one.vials, ages, strict=True))
            at_edge = min(ages) == pytest.approx(0, abs=1e-6) or max(ages) == pytest.approx(280.0, abs=1e-6)
            assert activity == pytest.approx(factor * 2900, rel=1e-8) or at_edge
            inside += not at_edge
        assert one.usable_from <= one.injection <= one.usable_until
        assert one.loss_gy_per_hour == pytest.approx(one.mean_dose_gy * (1 - 0.5 ** (1 / HALF_LIFE_H)), rel=1e-12)
    assert inside > 5


def test_without_a_fitting_combination_the_closest_is_shown_as_not_fitting():
    terms = replace(TERMS, tolerance_fraction=0.001)
    (only,) = dosimetry.combine_vials(wanted(777.0), dosimetry.load_vials("glass"), TIMES, terms=terms)
    assert not only.fits
    everything = brute_force(777.0, 0.02, TIMES, 1, replace(TERMS, tolerance_fraction=1e9))
    closest = min(abs(one / 777.0 - 1) for one in everything.values())
    assert abs(only.difference_fraction) == pytest.approx(closest, rel=1e-9)
    late = [dosimetry.parse_time("2027-01-01T09:00+00:00")]
    assert dosimetry.combine_vials(wanted(777.0), dosimetry.load_vials("glass"), late, terms=terms) == ()


def test_a_holmium_dose_is_made_for_its_time():
    terms = replace(TERMS, calibrations=SUNDAYS[1:])
    found = dosimetry.combine_vials(
        wanted(4000.0), dosimetry.load_vials("holmium"), TIMES, terms=terms, max_vials=3, nuclide="ho166-clinical"
    )
    half_life_h = dosimetry.get_nuclide("ho166-clinical").half_life_h
    assert [len(one.vials) for one in found] == [1, 1]
    for one in found:
        (vial,) = one.vials
        made = 4000.0 / 0.98 * 2 ** (hours(SUNDAYS[1], one.injection) / half_life_h)
        assert vial.vial_mbq == pytest.approx(made, rel=1e-12)
        assert one.spheres_million is None
    with pytest.raises(ConfigError, match="number of spheres is not in the data file"):
        dosimetry.combine_vials(
            wanted(4000.0), dosimetry.load_vials("holmium"), TIMES, terms=terms, sort="fewest spheres"
        )


def largest_fraction(needs, times, vials, shelf_life_h):
    """The largest common fraction of the activities that can be drawn, as a linear program; None if infeasible."""
    count, kinds = len(needs), len(vials)
    equal, limits, caps = [], [], []
    for i in range(count):
        row = np.zeros(count * kinds + 1)
        row[i * kinds : (i + 1) * kinds] = 1
        row[-1] = -needs[i]
        equal.append(row)
    for v, (calibration, mbq) in enumerate(vials):
        row = np.zeros(count * kinds + 1)
        for i in range(count):
            row[i * kinds + v] = 2 ** (hours(calibration, times[i]) / HALF_LIFE_H)
        limits.append(row)
        caps.append(mbq)
    bounds = [
        (0, None if 0 <= hours(vials[v][0], times[i]) <= shelf_life_h else 0)
        for i in range(count)
        for v in range(kinds)
    ]
    cost = np.zeros(count * kinds + 1)
    cost[-1] = -1
    solved = linprog(cost, A_ub=limits, b_ub=caps, A_eq=equal, b_eq=np.zeros(count), bounds=[*bounds, (0, 1)])
    return -solved.fun


@pytest.mark.parametrize("seed", range(8))
def test_shared_vials_are_those_of_a_linear_program(seed):
    random = np.random.default_rng(seed)
    supply = dosimetry.load_vials("resin")
    days = random.integers(22, 28, 3)
    times = [dosimetry.parse_time(f"2026-11-{day}T{hour:02d}:00+00:00") for day, hour in zip(days, (13, 15, 17))]  # noqa: B905
    needs = random.uniform(150, 1500, 3)
    calibrations = tuple(dosimetry.parse_time(f"2026-11-{day}T12:00+00:00") for day in (20, 22, 23))
    terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=calibrations, shelf_life_h=100.0)
    territories = [wanted(0.95 * mbq, f"part {n}", 0.05) for n, mbq in enumerate(needs)]
    found = dosimetry.share_vials(territories, supply, times, terms=terms, max_vials=3)
    expected = {}
    for number in (1, 2, 3):
        for vials in itertools.combinations_with_replacement([(c, 3000.0) for c in calibrations], number):
            less = [tuple(v for k, v in enumerate(vials) if k != left) for left in range(number)]
            fraction = largest_fraction(needs, times, vials, 100.0)
            if fraction >= 0.9 and not any(largest_fraction(needs, times, one, 100.0) >= 0.9 for one in less if one):
                expected[vials] = fraction
    assert {tuple((v.calibration, v.vial_mbq) for v in one.vials) for one in found} == set(expected)
    for one in found:
        fraction = expected[tuple((v.calibration, v.vial_mbq) for v in one.vials)]
        for delivery, need in zip(one.deliveries, needs, strict=True):
            assert delivery.delivered_mbq == pytest.approx(0.95 * need * fraction, rel=1e-6)
            assert delivery.mean_dose_gy == pytest.approx(120 * fraction, rel=1e-6)
        # No vial gives more than it contains, counted back to its calibration time, nor more than its 5 mL.
        for number, vial in enumerate(one.vials, 1):
            parts = [part for part in one.withdrawals if part.vial == number]
            back = [part.withdrawn_mbq * 2 ** (hours(vial.calibration, part.injection) / HALF_LIFE_H) for part in parts]
            assert sum(back) <= 3000 * (1 + 1e-9)
            for part, mbq in zip(parts, back, strict=True):
                assert part.withdrawn_ml == pytest.approx(5.0 * mbq / 3000, rel=1e-9)
                assert part.left_mbq == pytest.approx(part.before_mbq - part.withdrawn_mbq, rel=1e-9)
                assert 0 <= hours(vial.calibration, part.injection) <= 100
        assert sum(d.spheres_million for d in one.deliveries) <= 0.95 * 44 * len(one.vials) * (1 + 1e-9)


def test_the_cases_of_the_linear_program_need_one_two_and_three_vials():
    supply = dosimetry.load_vials("resin")
    terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=SUNDAYS[1:], shelf_life_h=100.0)
    for mbq, number in ((700.0, 1), (1500.0, 2), (2100.0, 3)):
        both = [wanted(mbq, "right", 0.0), wanted(mbq, "left", 0.0)]
        found = dosimetry.share_vials(both, supply, [TIMES[0], TIMES[0]], terms=terms, max_vials=3)
        assert [len(one.vials) for one in found] == [number]
    assert dosimetry.share_vials(both, supply, [TIMES[0], TIMES[0]], terms=terms, max_vials=2) == ()


def test_the_latest_delay_leaves_the_least_activity():
    supply = dosimetry.load_vials("resin")
    terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=SUNDAYS[1:], shelf_life_h=240.0)
    both = [wanted(700.0, "right", 0.0), wanted(500.0, "left", 0.0)]
    (one,) = dosimetry.share_vials(both, supply, [TIMES[0], TIMES[0]], terms=terms)
    at_time = 3000 * 0.5 ** (hours(SUNDAYS[1], TIMES[0]) / HALF_LIFE_H)
    assert one.latest_delay_h == pytest.approx(HALF_LIFE_H * np.log2(at_time / (0.9 * 1200)), rel=1e-8)
    short = replace(terms, shelf_life_h=50.0)
    (one,) = dosimetry.share_vials(both, supply, [TIMES[0], TIMES[0]], terms=short)
    assert one.latest_delay_h == pytest.approx(50.0 - hours(SUNDAYS[1], TIMES[0]), rel=1e-8)


def test_the_latest_delay_of_a_vial_that_is_used_before_its_calibration():
    """As `order_vials` has it: 72 h to the calibration and 24 h of shelf life."""
    supply, injection = dosimetry.load_vials("resin"), TIMES[0]
    terms = dosimetry.OrderTerms(
        tolerance_fraction=0.1,
        calibrations=(injection + timedelta(hours=72),),
        shelf_life_h=24.0,
        before_calibration_h=72.0,
    )
    (one,) = dosimetry.share_vials([wanted(1000.0, "right", 0.0)], supply, [injection], terms=terms)
    assert one.latest_delay_h == pytest.approx(96.0, abs=1e-5)


def test_the_latest_delay_ends_before_a_gap_between_the_vials():
    """Both are delivered with delays of 0 to 4 h and of 10 to 14 h."""
    supply, first = dosimetry.load_vials("resin"), TIMES[0]
    vials = (first - timedelta(hours=20), first + timedelta(hours=10))
    terms = dosimetry.OrderTerms(tolerance_fraction=0.1, calibrations=vials, shelf_life_h=24.0)
    both = [wanted(600.0, "right", 0.0), wanted(600.0, "left", 0.0)]
    times = [first, first + timedelta(hours=20)]
    found = dosimetry.share_vials(both, supply, times, terms=terms, max_vials=2)
    delays = [one.latest_delay_h for one in found if len({vial.calibration for vial in one.vials}) == 2]
    assert delays and delays == pytest.approx([4.0] * len(delays), abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: dosimetry.combine_vials(wanted(1.0), s("resin"), TIMES, terms=TERMS), "are divided"),
        (lambda s: dosimetry.share_vials([wanted(1.0)], s("glass"), TIMES[:1], terms=TERMS), "are not divided"),
        (lambda s: dosimetry.combine_vials(wanted(1.0), s("glass"), TIMES, terms=TERMS, max_vials=0), "1 or more"),
        (lambda s: dosimetry.combine_vials(wanted(1.0), s("glass"), TIMES, terms=TERMS, max_vials=9), "reduce"),
        (lambda s: dosimetry.combine_vials(wanted(1.0), s("glass"), TIMES, terms=TERMS, sort="big"), "choose one of"),
        (lambda s: dosimetry.combine_vials(wanted(0.0), s("glass"), TIMES, terms=TERMS), "above 0"),
    ],
)
def test_wrong_values_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call(dosimetry.load_vials)
