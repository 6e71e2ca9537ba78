import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from sirtjax import dosimetry as d
from sirtjax.errors import ConfigError, InputError

# No counts outside the regions.
NO_COUNTS = {"liver_fraction_outside_territories": 0.0, "fraction_outside_liver_and_lungs": 0.0}
DOCS = Path(__file__).parents[2] / "docs" / "checks.md"


def codes(checks):
    return [check.code for check in checks]


def resin_shunt_checks(fraction):
    return d.lung_shunt_checks(fraction, device="resin")


def test_codes_are_unique_and_documented():
    listed = [rule.code for rule in d.CHECKS]
    assert listed == sorted(set(listed))
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    for rule in d.CHECKS:
        (line,) = [line for line in lines if line.startswith(f"| {rule.code} |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:3] == [rule.severity, rule.title]
        limits = rule.limit if isinstance(rule.limit, tuple) else (rule.limit,)
        assert all(limit is None or f"{limit:g}" in cells[3] for limit in limits)
        assert cells[4] == rule.source
    documented = [line.split("|")[1].strip() for line in lines if line.startswith("| SJ")]
    assert documented == listed


@pytest.mark.parametrize(
    ("inside", "outside", "code"),
    [
        # Just within the limit: nothing; just beyond it: the check.
        (lambda: d.liver_volume_checks(500.0), lambda: d.liver_volume_checks(499.0), "SJ101"),
        (lambda: d.liver_volume_checks(4500.0), lambda: d.liver_volume_checks(4501.0), "SJ101"),
        (
            lambda: d.draft_quality_checks("liver", estimated_dsc=0.90),
            lambda: d.draft_quality_checks("liver", estimated_dsc=0.899),
            "SJ115",
        ),
        (lambda: d.tn_ratio_checks("T", tn_ratio=1.5), lambda: d.tn_ratio_checks("T", tn_ratio=1.49), "SJ201"),
        (lambda: resin_shunt_checks(0.10), lambda: resin_shunt_checks(0.11), "SJ301"),
        (lambda: (), lambda: resin_shunt_checks(0.21), "SJ302"),
        (
            lambda: d.lung_dose_checks(30.0, previous_gy=0.0),
            lambda: d.lung_dose_checks(30.1, previous_gy=0.0),
            "SJ303",
        ),
        (
            lambda: d.lung_dose_checks(20.0, previous_gy=30.0),
            lambda: d.lung_dose_checks(20.0, previous_gy=30.1),
            "SJ304",
        ),
        (
            lambda: d.counts_checks(liver_fraction_outside_territories=0.10, fraction_outside_liver_and_lungs=0.2),
            lambda: d.counts_checks(liver_fraction_outside_territories=0.11, fraction_outside_liver_and_lungs=0.2),
            "SJ202",
        ),
        (
            lambda: (),
            lambda: d.counts_checks(liver_fraction_outside_territories=0.0, fraction_outside_liver_and_lungs=0.21),
            "SJ203",
        ),
        (
            lambda: d.counts_checks(**NO_COUNTS, cold_fractions={"right": 0.1}),
            lambda: d.counts_checks(**NO_COUNTS, cold_fractions={"right": 0.11, "left": 0.1}),
            "SJ204",
        ),
        (
            lambda: d.tumour_location_checks("T", fraction_outside_liver=0.05, fraction_outside_territories=0.05),
            lambda: d.tumour_location_checks("T", fraction_outside_liver=0.06, fraction_outside_territories=0.0),
            "SJ102",
        ),
        (
            lambda: d.tumour_location_checks("T", fraction_outside_liver=0.0, fraction_outside_territories=0.0),
            lambda: d.tumour_location_checks("T", fraction_outside_liver=0.51, fraction_outside_territories=0.0),
            "SJ107",
        ),
        (
            lambda: (),
            lambda: d.tumour_location_checks("T", fraction_outside_liver=0.0, fraction_outside_territories=0.06),
            "SJ103",
        ),
        (
            lambda: d.territory_overlap_checks("left", "right", overlap_fraction=0.01),
            lambda: d.territory_overlap_checks("left", "right", overlap_fraction=0.02),
            "SJ104",
        ),
        (
            lambda: d.registration_checks("lesions", registered=True),
            lambda: d.registration_checks("lesions", registered=False),
            "SJ106",
        ),
        (
            lambda: d.stated_activity_checks("right", activity_mbq=20.0),
            lambda: d.stated_activity_checks("right", activity_mbq=2.15),
            "SJ507",
        ),
        (
            lambda: d.stated_activity_checks("right", activity_mbq=25000.0),
            lambda: d.stated_activity_checks("right", activity_mbq=2.15e6),
            "SJ507",
        ),
        (lambda: d.stated_lung_mass_checks(100.0), lambda: d.stated_lung_mass_checks(0.9), "SJ315"),
        (lambda: d.stated_lung_mass_checks(None), lambda: d.stated_lung_mass_checks(9000.0), "SJ315"),
        (
            lambda: d.lungs_missing_checks(lung_mask=True, lung_mass_g=820.0),
            lambda: d.lungs_missing_checks(lung_mask=False, lung_mass_g=1000.0),
            "SJ305",
        ),
        (
            lambda: d.lung_shunt_checks(0.05, device="glass"),
            lambda: d.lung_shunt_checks(0.05, device="glass", planar=True),
            "SJ306",
        ),
        (
            lambda: d.calibration_checks("PET", reference_time_known=True),
            lambda: d.calibration_checks("PET", reference_time_known=False),
            "SJ601",
        ),
        (
            lambda: d.constant_checks("K", used=49.77, protocol=49.77, unit="Gy.kg/GBq"),
            lambda: d.constant_checks("K", used=49.38, protocol=49.77, unit="Gy.kg/GBq"),
            "SJ602",
        ),
        (lambda: d.unverified_checks(), lambda: d.unverified_checks("liver density"), "SJ603"),
    ],
)
def test_each_check_at_its_limit(inside, outside, code):
    assert inside() == ()
    (check,) = outside()
    rule = next(rule for rule in d.CHECKS if rule.code == code)
    assert (check.code, check.severity) == (code, rule.severity)
    assert check.message and "None" not in check.message and "{" not in check.message


def test_messages_name_numbers_and_units():
    (check,) = d.liver_volume_checks(320.4)
    assert check.message == "the liver has 320.4 mL, expected 500 to 4500 mL: check the liver mask"
    assert (check.value, check.limit, check.unit) == (320.4, (500.0, 4500.0), "mL")
    (check,) = resin_shunt_checks(0.123)
    assert "is 12.3 % (above 10 %)" in check.message
    (check,) = d.tn_ratio_checks("lesion 2", tn_ratio=0.8)
    assert "of lesion 2 is 0.8, below 1.5" in check.message


@pytest.mark.parametrize("device", ["glass", "holmium"])
def test_the_limits_of_the_resin_bsa_method_are_for_resin_alone(device):
    assert d.lung_shunt_checks(0.12, device=device) == d.lung_shunt_checks(0.24, device=device) == ()
    assert codes(d.lung_shunt_checks(0.24, device=device, planar=True)) == ["SJ306"]
    assert codes(d.lung_shunt_checks(0.24, device="resin", planar=True)) == ["SJ302", "SJ306"]


def test_the_protocols_lung_limits_replace_the_table():
    assert codes(d.lung_dose_checks(26.0, previous_gy=0.0, single_limit_gy=25.0)) == ["SJ303"]
    assert codes(d.lung_dose_checks(26.0, previous_gy=20.0, cumulative_limit_gy=45.0)) == ["SJ304"]


@pytest.mark.parametrize("where", [{"liver": 0.06}, {"liver": 0.6}, {"territories": 0.06}])
def test_a_fraction_of_a_tumour_is_a_percentage(where):
    found = d.tumour_location_checks(
        "T",
        fraction_outside_liver=where.get("liver", 0.0),
        fraction_outside_territories=where.get("territories", 0.0),
    )
    (check,) = found
    percent = 100 * next(iter(where.values()))
    assert check.message.startswith(f"{percent:.3g} % of T lies outside") and " %): " in check.message


def test_small_lesion_by_its_sphere():
    # A 20 mm sphere has 4.19 mL: small under 10.1 mm FWHM, not under 9.9 mm.
    ball_ml = 4 / 3 * math.pi * 10.0**3 / 1000
    assert d.small_lesion_checks("T", volume_ml=ball_ml, resolution_fwhm_mm=9.9) == ()
    (check,) = d.small_lesion_checks("T", volume_ml=ball_ml, resolution_fwhm_mm=10.1)
    assert check.code == "SJ105" and check.value == pytest.approx(20.0) and check.limit == pytest.approx(20.2)
    assert codes(d.small_lesion_checks("T", volume_ml=1e3 * ball_ml, resolution_fwhm_mm=None)) == ["SJ114"]


def test_the_recovery_that_the_small_lesion_limit_states():
    # Mean recovery of a sphere of radius R = FWHM in a cold surround: pair distances against a 3D Gaussian.
    sigma, radius = 1 / math.sqrt(8 * math.log(2)), 1.0

    def integrand(r):
        gauss = math.sqrt(2 / math.pi) * r**2 / sigma**3 * math.exp(-(r**2) / (2 * sigma**2))
        return gauss * (1 - 3 * r / (4 * radius) + r**3 / (16 * radius**3))

    recovery, _ = quad(integrand, 0, 2 * radius)
    rule = next(rule for rule in d.CHECKS if rule.code == "SJ105")
    assert f"{100 * recovery:.0f} %" in rule.source


def test_the_positron_fraction_of_a_pet():
    assert d.positron_fraction_checks(None, calibrated=False) == ()
    assert d.positron_fraction_checks(3.186e-5, calibrated=False) == ()  # rounded by some scanners
    (check,) = d.positron_fraction_checks(0.967, calibrated=False)  # 18F
    assert check.code == "SJ606" and check.value == 0.967 and check.limit == pytest.approx(31.86e-6)
    assert codes(d.positron_fraction_checks(3.4e-5, calibrated=False)) == ["SJ606"]
    assert d.positron_fraction_checks(0.967, calibrated=True) == ()


def test_errors():
    with pytest.raises(ConfigError, match="there is no check SJ999"):
        d.make_check("SJ999")
    with pytest.raises(InputError, match="a check needs a finite number"):
        d.lung_shunt_checks(float("nan"), device="glass")
    with pytest.raises(InputError, match="volume of T is inf"):
        d.small_lesion_checks("T", volume_ml=np.inf, resolution_fwhm_mm=8.0)


def test_a_lung_dose_chosen_at_its_limit_meets_it():
    assert d.lung_dose_checks(30.0 * (1 + 1e-9), previous_gy=20.0) == ()
    assert [check.code for check in d.lung_dose_checks(30.01, previous_gy=0.0)] == ["SJ303"]


def test_a_fraction_of_one_is_shown_in_percent():
    (check,) = d.counts_checks(liver_fraction_outside_territories=0.0, fraction_outside_liver_and_lungs=1.0)
    assert check.message.startswith("100 % of the counts lie outside liver and lungs (more than 20 %)")
