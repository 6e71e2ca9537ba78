"""Checks of a sum of treatments: their limits, and what the sum of BEDs neglects against numerical integration."""

import pytest
from integrated_bed import integrated_bed

from sirtjax.errors import InputError
from sirtjax.workflows._sum_checks import above, table_limit
from sirtjax.workflows._sum_overlap import overlapping_fraction

TISSUE = {"alpha_beta_gy": 2.5, "repair_half_time_h": 2.5}


@pytest.mark.parametrize("days", [0.0, 1.0, 7.0])
def test_the_neglected_part_of_the_cross_term(days):
    doses, halves = [60.0, 80.0], [64.1, 26.8]

    def cross(start_h):
        together = integrated_bed(doses, halves, [0.0, start_h], **TISSUE)
        each = [integrated_bed([d], [h], [0.0], **TISSUE) for d, h in zip(doses, halves, strict=True)]
        return together - sum(each)

    found = overlapping_fraction(24.0 * days, half_life_h=halves[0], next_half_life_h=halves[1], repair_half_time_h=2.5)
    assert float(found) == pytest.approx(cross(24.0 * days) / cross(0.0), rel=0.02)


def test_equal_half_times_are_the_limit_of_unequal_ones():
    at, near = (
        overlapping_fraction(30.0, half_life_h=26.8, next_half_life_h=64.1, repair_half_time_h=repair)
        for repair in (26.8, 26.81)
    )
    assert at == pytest.approx(near, rel=1e-3)


@pytest.mark.parametrize("code", ["SJ541", "SJ545", "SJ548"])
def test_a_check_applies_above_its_limit(code):
    limit = table_limit(code)
    assert above(code, "x", limit) == ()
    (check,) = above(code, "x", limit * 1.001)
    assert (check.code, check.limit, check.where) == (code, limit, "x")


def test_a_limit_of_the_case_has_its_source():
    assert above("SJ540", "normal liver, mean dose", 70.0, limit=70.0, source="board") == ()
    (check,) = above("SJ540", "normal liver, mean dose", 70.1, limit=70.0, source="board")
    assert (check.severity, check.limit, check.source) == ("error", 70.0, "board")


def test_a_check_needs_a_number():
    with pytest.raises(InputError, match="a check needs a finite number"):
        above("SJ545", "x", float("nan"))
