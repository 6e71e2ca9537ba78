"""`sirtjax verify`: the delivered dose beside the planned one."""

import json

import analytic_case as case
import pytest

DELIVERED = [
    {"territory": "right", "activity_mbq": 320.0, "time": "2026-03-02T10:30:00"},
    {"territory": "left", "activity_mbq": 180.0},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    case.write_patient(folder)
    return folder


def test_planned_beside_delivered(run, folder, tmp_path):
    assert run("plan", case.write_case(folder), "-o", tmp_path / "plan").code == 0
    path = case.write_case(folder, injections=DELIVERED, plan=str(tmp_path / "plan" / "results.json"))
    done = run("verify", path, "-o", tmp_path / "verified", "--json")
    assert done.code == 0, done.err
    table = json.loads(done.out)
    assert table["kind"] == "verification"
    assert [row["activity_mbq"] for row in table["injections"]] == [320.0, 180.0]
    planned = json.loads((tmp_path / "plan" / "results.json").read_text())
    assert table["planned"]["alpha"] == next(row for row in planned["vois"] if row["name"] == "alpha")
    page = (tmp_path / "verified" / "report.html").read_text()
    assert "treatment verification" in page and "planned mean (Gy)" in page and "delivered at injection" in page


def test_without_activities_it_is_refused(run, folder, tmp_path):
    done = run("verify", case.write_case(folder), "-o", tmp_path / "verified")
    lines = [line for line in done.err.splitlines() if not line.startswith("verify: ")]
    assert (done.code, done.out, len(lines)) == (2, "", 1)
    assert "needs the delivered activity_mbq" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_is_none(run, folder, tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    path = case.write_case(folder, injections=DELIVERED, plan=str(tmp_path / "plan.json"))
    done = run("verify", path, "-o", tmp_path / "verified")
    assert done.code == 2 and "plan.json: not the results.json of a plan" in done.err


def test_a_verification_by_options(run, folder, tmp_path):
    options = [
        "--patient-id", "TEST-01", "--protocol", "resin-icc-bilobar", "--activity", folder / "spect.nii",
        "--ct", folder / "ct.nii", "--liver", folder / "liver.nii", "--lesions", folder / "lesions.nii",
        "--lung-shunt", "0.05", "--injection", "whole liver=500@2026-03-02T10:30", "--calibration", "relative",
        "--set", "dose.method=local",
    ]  # fmt: skip
    done = run("verify", "-o", tmp_path / "verified", "--json", *options)
    assert done.code == 0, done.err
    table = json.loads(done.out)
    assert table["injections"][0]["activity_mbq"] == 500.0
    assert table["lung_dose_gy"] == pytest.approx(49.77 * 25 / 1000, rel=1e-3)
