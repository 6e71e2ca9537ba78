import json

import pytest
import typer
from typer.testing import CliRunner

from sirtjax.cli.prescribe import prescribe
from sirtjax.errors import ConfigError, InputError

app = typer.Typer()
app.command()(prescribe)
CHOSEN = ["--residual-fraction", "0", "--strategy", "upper"]
PATIENT = [*CHOSEN, "--normal-ml", "900", "--untreated-ml", "0", "--lung-shunt", "0", "--tumour", "100:5"]
CASE = ["--protocol", "resin-icc-bilobar", *PATIENT, "--density-g-per-ml", "1.0", "--constant", "y90-thesis"]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def result(*arguments):
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_json_by_hand():
    # Equivalent volume 900 + 5*100 mL; 40 Gy to normal tissue at 40 * 1400 / 49.38 MBq, tumour then 200 Gy.
    answer = result(*CASE, "--lung-mass-g", "900", "--residual-fraction", "0.1")
    (territory,) = answer["prescription"]["territories"]
    assert territory["chosen_mbq"] == pytest.approx(40 * 1400 / 49.3788, rel=1e-5)
    assert territory["lower_bound_mbq"] == pytest.approx(20 * 1400 / 49.3788, rel=1e-5)
    assert territory["dispensed_mbq"] == pytest.approx(territory["chosen_mbq"] / 0.9)
    doses = {p["voi"]: p["mean_gy"] for p in answer["prescription"]["predictions"]}
    assert doses["tumour 1"] == pytest.approx(200.0)
    assert [c["code"] for c in answer["prescription"]["checks"]] == ["SJ602", "SJ602"]


def test_table_shows_bounds_activity_and_checks():
    done = run(*CASE)
    assert done.exit_code == 0, done.output
    for text in ("upper: mean(normal tissue, treated) <= 40 Gy", "567 to 1134 MBq", "49.38 Gy.kg/GBq", "SJ305"):
        assert text in done.stdout


def test_given_activity_and_empty_interval():
    answer = result(*CASE, "--strategy", "fixed", "--activity-mbq", "2000")
    assert answer["prescription"]["total_mbq"] == 2000.0
    assert "SJ402" in [c["code"] for c in answer["prescription"]["checks"]]
    low = run("--protocol", "resin-icc-bilobar", *PATIENT[:-1], "100:1.6")
    assert low.exit_code == 0 and "empty" in low.stdout and "SJ501" in low.stdout


def test_bsa_beside_it():
    # BSA of 1.70 m and 70 kg is 1.80968; tumour 150 of 1500 mL gives 1709.68 MBq, times 0.8 above 10 % shunt.
    answer = result(
        *(
            "--protocol",
            "resin-icc-bilobar",
            *CHOSEN,
            "--normal-ml",
            "1350",
            "--untreated-ml",
            "0",
            "--lung-shunt",
            "0.12",
        ),
        *("--tumour", "150:4", "--height-m", "1.7", "--weight-kg", "70"),
    )
    assert answer["other_rules"]["bsa_whole_liver_mbq"] == pytest.approx(1709.68, abs=0.01)
    assert answer["other_rules"]["bsa_reduced_mbq"] == pytest.approx(0.8 * 1709.68, abs=0.01)


def test_holmium_rule_beside_it():
    answer = result("--protocol", "holmium-icc-bilobar", *PATIENT)
    assert answer["other_rules"]["activity_per_mass_mbq"] == pytest.approx(3780 * 1.05)


def test_the_protocols_can_be_listed():
    done = run("--list-protocols")
    assert done.exit_code == 0
    assert "holmium-mcrc-unilobar\tHolmium, mCRC, unilobar" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--protocol", "nothing", *PATIENT], ConfigError, "there is no protocol 'nothing'"),
        ([*CASE, "--strategy", "fixed"], InputError, "--activity-mbq is allowed only with --strategy fixed"),
        ([*CASE, "--activity-mbq", "5"], InputError, "--activity-mbq is allowed only with --strategy fixed"),
        (
            ["--protocol", "resin-icc-bilobar", *PATIENT[4:]],
            InputError,
            "--strategy and --residual-fraction missing, and neither has a default; "
            "give --strategy upper, lower or fixed and --",
        ),
        (["--protocol", "resin-icc-bilobar", *PATIENT[2:]], InputError, "--residual-fraction missing"),
        (["--protocol", "resin-icc-bilobar", *PATIENT[:2], *PATIENT[4:]], InputError, "--strategy missing"),
        ([*CASE, "--tumour", "80"], InputError, "--tumour 80: expected volume in mL and T/N ratio"),
        ([*CASE, "--tumour", "a:b"], InputError, "--tumour a:b: expected"),
        ([*CASE, "--height-m", "1.7"], InputError, "needs both --height-m and --weight-kg"),
        ([*CASE, "--height-m", "170", "--weight-kg", "70"], InputError, "check the units"),
        (
            ["--protocol", "glass-icc-bilobar", *PATIENT, "--height-m", "1.7", "--weight-kg", "70"],
            InputError,
            "has no BSA method",
        ),
        ([*CASE[:-8], "--lung-shunt", "5", "--untreated-ml", "0"], InputError, "not a percentage"),
        ([*CASE, "--untreated-ml", "-5"], InputError, "untreated liver volume"),
    ],
)
def test_errors(arguments, error, message):
    done = run(*arguments)
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
