import json

import pytest
import typer
from typer.testing import CliRunner

from sirtjax.cli.order import order
from sirtjax.errors import ComputationError, ConfigError

app = typer.Typer()
app.command()(order)
TERMS = ["--tolerance", "0.1", "--shelf-life-h", "240", "--calibration-time", "2026-11-22T17:00+00:00"]
NUMBERS = [*TERMS, "--device", "glass", "--activity-mbq", "1700", "--residual-fraction", "0.02"]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def plan_file(folder, **changes):
    """The parts of a results.json that `read_plan` requires."""
    voi = {"volume_ml": 500.0, "mask_ml": None, "d_gy": {}, "dvh_dose_gy": [], "dvh_volume_percent": []}
    injections = [
        {"territory": "right", "activity_mbq": 1700.0, "residual_fraction": 0.02},
        {"territory": "left", "activity_mbq": 640.0, "residual_fraction": 0.0},
        {"territory": "untreated", "activity_mbq": 0.0, "residual_fraction": 0.0},
    ]
    table = {
        "schema": "sirtjax-results/4",
        "kind": "plan",
        "patient_id": "p",
        "protocol": "glass-hcc-bilobar-high-bilirubin",
        "nuclide": "Y-90",
        "nuclide_record": "y90-thesis",
        "dose_method": "local",
        "injections": injections,
        "territories": [{"name": row["territory"], "volume_ml": 500.0, "treated": True} for row in injections],
        "objectives": [],
        "vois": [
            voi | {"name": "right", "kind": "territory", "mean_gy": 160.0},
            voi | {"name": "left", "kind": "territory", "mean_gy": 80.0},
        ],
        "lung_dose_gy": None,
        "provenance": {"created": "2026-11-20T10:00:00", "inputs": {}},
        "checks": [],
        "unreviewed_masks": [],
        "dose_map": {
            "file": "dose.nii.gz",
            "sha256": "0",
            "shape": [1, 1, 1],
            "world_from_voxel": [[1.0, 0, 0, 0], [0.0, 1, 0, 0], [0.0, 0, 1, 0], [0.0, 0, 0, 1]],
        },
    }
    path = folder / "results.json"
    path.write_text(json.dumps(table | changes))
    return str(path)


def test_a_draft_and_errors_of_the_plan_are_said_before_the_order(tmp_path):
    at = [*TERMS, "--injection-time", "2026-11-26T20:00+00:00"]
    assert "DRAFT" not in run(plan_file(tmp_path), *at).output
    error = {"code": "SJ402", "severity": "error", "message": "", "where": None, "value": None, "limit": None}
    path = plan_file(tmp_path, unreviewed_masks=["liver: segmented automatically"], checks=[error])
    shown = run(path, *at).stdout  # the result, not talk that --quiet hides
    assert "Caution: the plan is a DRAFT: liver: segmented automatically" in shown
    assert "Caution: the plan has checks that are errors: SJ402" in shown
    for one in json.loads(run(path, *at, "--json").stdout):
        assert len(one["cautions"]) == 2
        assert "DRAFT" in one["cautions"][0]


def test_tables_and_json_of_numbers():
    at = ["--injection-time", "2026-11-26T20:00+00:00"]  # 99 h after calibration
    shown = run(*NUMBERS, *at, "--mean-dose-gy", "120")
    assert shown.exit_code == 0, shown.output
    for text in ("Thu 2026-11-26 20:00 +0000", "fits", "1.08%", "package insert", "118.6", "within 10.0%"):
        assert text in shown.stdout, text
    header = shown.stdout.splitlines()[2]
    assert [word.strip() for word in header.strip("┃").split("┃")][-3:] == ["difference", "Gy", "state"]
    assert header.count("state") == header.count("Gy") == 1
    done = run(*NUMBERS, *at, "--json")
    (found,) = json.loads(done.stdout)
    best = [row for row in found["options"] if row["state"] == "fits"]
    assert [row["vial_mbq"] for row in best] == [5000.0]
    assert best[0]["delivered_mbq"] == pytest.approx(0.98 * 5000 * 0.5 ** (99 / 64.1))
    assert best[0]["calibration"] == "2026-11-22T17:00:00+00:00" and best[0]["mean_dose_gy"] is None


def test_each_territory_of_a_plan_gets_its_own_vial(tmp_path):
    at = ["--injection-time", "2026-11-26T20:00", "--time-zone", "UTC", "--json"]
    done = run(plan_file(tmp_path), *TERMS, *at)
    assert isinstance(done.exception, ComputationError)  # 3 GBq are still 1029 MBq, too much for the left
    right, left = json.loads(done.stdout)
    # The half-life of the plan's record, 64.0416 h.
    (row,) = [row for row in right["options"] if row["state"] == "fits"]
    delivered = 0.98 * 5000 * 0.5 ** (99 / 64.0416)
    assert row["delivered_mbq"] == pytest.approx(delivered, rel=1e-9)
    assert row["mean_dose_gy"] == pytest.approx(160.0 * delivered / 1700.0)
    assert {row["state"] for row in left["options"]} == {"too much"}
    assert "no vial delivers the wanted activity for left;" in str(done.exception)


def test_no_vial_ends_with_an_error_after_the_table():
    done = run(*NUMBERS, "--injection-time", "2026-12-03T20:00+00:00")
    assert isinstance(done.exception, ComputationError) and "expired" in done.stdout


def test_the_example_of_the_help_finds_a_vial():
    words = order.__doc__.partition("Example: sirtjax order ")[2].split()
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "fits" in done.output


@pytest.mark.parametrize("day", ["2036-11-26", "2006-11-26"])
def test_a_date_in_a_wrong_year_is_refused(day):
    numbers = [*TERMS, "--device", "holmium", "--activity-mbq", "1700", "--residual-fraction", "0.02"]
    error = run(*numbers, "--injection-time", f"{day}T20:00+00:00").exception
    assert isinstance(error, ConfigError) and "the calibration time 2026-11-22T17:00:00+00:00; correct" in str(error)


def test_incomplete_or_contradictory_options(tmp_path):
    path = plan_file(tmp_path)
    for arguments, message in (
        (NUMBERS, "no injection time is provided"),
        ([path, *NUMBERS], "are in the plan; omit them"),
        ([*TERMS, "--activity-mbq", "1700"], "an order needs a plan, or --activity-mbq"),
        (["--device", "glass"], "no tolerance is provided"),
    ):
        error = run(*arguments).exception
        assert isinstance(error, ConfigError) and message in str(error), message
    at = ["--injection-time", "2026-11-26T20:00+00:00"]
    error = run(plan_file(tmp_path, protocol="own.toml#lobe"), *TERMS, *at).exception
    assert isinstance(error, ConfigError) and "is not bundled; add --device" in str(error)
    error = run(plan_file(tmp_path), *TERMS, *at, "--device", "holmium").exception
    assert isinstance(error, ConfigError) and "contain Ho-166, the activity is Y-90" in str(error)
    error = run(plan_file(tmp_path, injections=[]), *TERMS, *at).exception
    assert isinstance(error, ConfigError) and "no activity to order" in str(error)
