"""`sirtjax prescribe` by outcome, against the formulas of compartments."""

import json
from statistics import NormalDist

import numpy as np
import pytest

VOLUMES = ("--tumour", "100:5", "--normal-ml", "500", "--untreated-ml", "900", "--lung-shunt", "0.05")
BASE = ("prescribe", "--protocol", "glass-hcc-bilobar-low-bilirubin", *VOLUMES, "--residual-fraction", "0")
LOW = ("--ntcp-response", "glass-liver-chiesa-low-bilirubin:0.3", "--bilirubin-umol-l", "15")
# Gy per MBq: half of the activity that stays in the liver is in 100 mL of tumour, half in 1400 mL of normal liver.
IN_LIVER = 49.77 * 0.95 / 2 / 1.05
TUMOUR, NORMAL = IN_LIVER / 100, IN_LIVER / 1400


def test_fifteen_percent_is_the_published_dose(run):
    done = run(*BASE, "--strategy", "ntcp", "--ntcp", "0.1", *LOW, "--json")
    assert done.code == 0, done.err
    table = json.loads(done.out)
    activity = table["prescription"]["total_mbq"]
    # 90 Gy at 15 %: TD50 = 90 / (1 + 0.3 z(0.15)); at 10 % it is TD50 (1 + 0.3 z(0.1)).
    z = NormalDist().inv_cdf
    assert activity * NORMAL == pytest.approx(90 / (1 + 0.3 * z(0.15)) * (1 + 0.3 * z(0.1)), rel=1e-3)
    assert table["lung_dose_includes_spill"] is False
    assert any(check["code"] == "SJ603" for check in table["prescription"]["checks"])
    printed = run(*BASE, "--strategy", "ntcp", "--ntcp", "0.1", *LOW)
    assert "betas from the liver are not included" in printed.out


def test_the_largest_utcp_is_that_of_a_grid(run):
    # Steep and early complications, so that the limit of 90 Gy does not decide.
    given = ("--ntcp-response", "glass-liver-chiesa-low-bilirubin:0.9", "--bilirubin-umol-l", "15")
    done = run(*BASE, "--strategy", "max-utcp", "--tcp-response", "glass-tumour:3", *given, "--json")
    table = json.loads(done.out)["prescription"]
    grid = np.linspace(1, 6000, 60000)
    half = 90 / (1 + 0.9 * NormalDist().inv_cdf(0.15))
    ntcp = np.asarray([NormalDist(half, 0.9 * half).cdf(dose) for dose in grid * NORMAL])
    utcp = (1 - ntcp) / (1 + (250 / (grid * TUMOUR)) ** 12)
    allowed = grid <= 90 / NORMAL
    assert table["total_mbq"] == pytest.approx(grid[allowed][np.argmax(utcp[allowed])], rel=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strategy", "ntcp", *LOW), "--ntcp is allowed only with --strategy ntcp"),
        (("--strategy", "upper", "--ntcp", "0.15"), "--ntcp is allowed only with --strategy ntcp"),
        (("--strategy", "ntcp", "--ntcp", "0.15"), "requires a dose response of the liver"),
        (("--strategy", "ntcp", "--ntcp", "0.15"), "or --ntcp-response of `sirtjax prescribe`"),
        (("--strategy", "ntcp", "--ntcp", "0.15", *LOW[:2]), "set record.liver_function.bilirubin"),
        (("--strategy", "ntcp", "--ntcp", "0.15", *LOW[:2]), "or --bilirubin-umol-l of `sirtjax prescribe`"),
        (("--strategy", "ntcp", "--ntcp", "0.15", *LOW[:3], "nan"), "the total bilirubin is nan umol/L"),
        (("--strategy", "upper", "--bilirubin-umol-l", "-4"), "the total bilirubin is -4.0 umol/L"),
        (("--strategy", "ntcp", "--ntcp", "0.15", "--ntcp-response", "glass-tumour:1"), "is TCP for glass, not NTCP"),
        (("--strategy", "ntcp", "--ntcp", "0.15", "--ntcp-response", "glass-liver-walrand:1"), "only a mean dose"),
        (("--strategy", "ntcp", "--ntcp", "0.15", "--ntcp-response", "glass-liver-walrand"), "its name and slope"),
    ],
)
def test_what_is_missing_is_refused_in_one_line(run, options, message):
    done = run(*BASE, *options)
    assert done.code != 0
    assert message in " ".join(done.err.split())


def test_a_bilirubin_that_contradicts_the_protocol_is_an_error(run):
    done = run(*BASE, "--strategy", "upper", "--bilirubin-umol-l", "30", "--json")
    (check,) = [one for one in json.loads(done.out)["prescription"]["checks"] if one["code"] == "SJ556"]
    assert check["severity"] == "error" and check["value"] == pytest.approx(30 / 17.1, rel=1e-3)
    same = run(*BASE, "--strategy", "upper", "--bilirubin-umol-l", "15", "--json")
    assert all(one["code"] != "SJ556" for one in json.loads(same.out)["prescription"]["checks"])
