"""ALBI and Child-Pugh against values computed with other means."""

import math
from decimal import Decimal, getcontext

import pytest

from sirtjax import dosimetry
from sirtjax.errors import InputError


def exact_albi(bilirubin, albumin):
    """The published formula in decimal arithmetic: log10 by the ratio of natural logarithms."""
    getcontext().prec = 40
    bilirubin, albumin = Decimal(str(bilirubin)), Decimal(str(albumin))
    return Decimal("0.66") * bilirubin.ln() / Decimal(10).ln() - Decimal("0.085") * albumin


@pytest.mark.parametrize(("bilirubin", "albumin"), [(10, 40), (17.1, 35), (3.2, 44.5), (68, 27.5), (513, 19)])
def test_the_score_is_the_published_formula(bilirubin, albumin):
    found = dosimetry.albi_score(bilirubin_umol_per_l=bilirubin, albumin_g_per_l=albumin)
    assert found == pytest.approx(float(exact_albi(bilirubin, albumin)), abs=1e-12)


def test_units_of_bilirubin():
    # Atoms counted: 33 C, 36 H, 4 N, 6 O.
    mass = 33 * 12.011 + 36 * 1.008 + 4 * 14.007 + 6 * 15.999
    assert dosimetry.bilirubin_umol_per_l(1.0, unit="mg/dL") == pytest.approx(1e4 / mass, rel=1e-5)
    assert dosimetry.bilirubin_umol_per_l(12.5, unit="umol/L") == 12.5


def test_the_limits_of_the_grades_belong_to_the_better_one():
    for score, grade in ((-9.0, 1), (-2.6, 1), (-2.5999, 2), (-1.39, 2), (-1.3899, 3), (1.0, 3)):
        assert dosimetry.albi_grade(score) == grade


def test_every_child_pugh_score_has_its_class():
    assert [dosimetry.child_pugh_class(points) for points in range(5, 16)] == list("AABBBCCCCCC")
    for points in (4, 16):
        with pytest.raises(InputError, match="5 to 15"):
            dosimetry.child_pugh_class(points)


@pytest.mark.parametrize(("bilirubin", "albumin"), [(0.0, 40.0), (-1.0, 40.0), (10.0, 0.0), (math.nan, 40.0)])
def test_values_that_are_no_concentrations_are_refused(bilirubin, albumin):
    with pytest.raises(InputError, match="above 0"):
        dosimetry.albi_score(bilirubin_umol_per_l=bilirubin, albumin_g_per_l=albumin)


@pytest.mark.parametrize(
    ("bilirubin", "albumin", "names"),
    [
        (14.0, 38.0, []),
        (0.8, 38.0, ["bilirubin"]),
        (14.0, 3.8, ["albumin"]),
        (1.1, 4.0, ["bilirubin", "albumin"]),
        # 2.5 mg/dL read as umol/L, and 50 umol/L read as mg/dL: possible values, as docs/checks.md states.
        (2.5, 38.0, []),
        (50.0 * 17.1, 38.0, []),
        (60.0 * 17.1, 380.0, ["bilirubin", "albumin"]),
    ],
)
def test_values_in_the_other_unit_are_reported(bilirubin, albumin, names):
    found = dosimetry.laboratory_checks(bilirubin_umol_per_l=bilirubin, albumin_g_per_l=albumin)
    assert [(check.code, check.where) for check in found] == [("SJ554", name) for name in names]
