"""`sirtjax verify`: the delivered dose beside the planned one."""

import json

import analytic_case as case
import dicom_case
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


@pytest.mark.slow
def test_planned_beside_delivered(run, folder, tmp_path):
    assert run("plan", case.write_case(folder), "-o", tmp_path / "plan", "--no-pdf").code == 0
    path = case.write_case(folder, injections=DELIVERED, plan=str(tmp_path / "plan" / "results.json"))
    done = run("verify", path, "-o", tmp_path / "verified", "--json")
    table = json.loads(done.out)
    assert done.code == (1 if "error" in {check["severity"] for check in table["checks"]} else 0), done.err
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


@pytest.mark.slow
def test_a_verification_by_options(run, folder, tmp_path):
    options = [
        "--patient-id", "TEST-01", "--protocol", "resin-icc-bilobar", "--activity", folder / "spect.nii",
        "--ct", folder / "ct.nii", "--liver", folder / "liver.nii", "--lesions", folder / "lesions.nii",
        "--lung-shunt", "0.05", "--injection", "whole liver=500@2026-03-02T10:30", "--calibration", "relative",
        "--set", "dose.method=local",
    ]  # fmt: skip
    done = run("verify", "-o", tmp_path / "verified", "--json", "--no-pdf", *options)
    assert done.code == 0, done.err
    table = json.loads(done.out)
    assert table["injections"][0]["activity_mbq"] == 500.0
    assert table["lung_dose_gy"] == pytest.approx(49.77 * 25 / 1000, rel=1e-3)


# Within every limit of resin-icc-bilobar: 40 Gy in the normal tissue of each territory, 30 Gy in the lungs.
KEPT = [{"territory": "right", "activity_mbq": 120.0}, {"territory": "left", "activity_mbq": 80.0}]
# Normal liver near 140 Gy.
TOO_MUCH = [{"territory": "right", "activity_mbq": 1100.0}, {"territory": "left", "activity_mbq": 700.0}]


@pytest.fixture(scope="module")
def plan_of(folder, tmp_path_factory):
    """results.json of this patient's plan."""
    from sirtjax.workflows import load_case, plan_case, result_to_json

    result, _, _ = plan_case(load_case(case.write_case(folder)))
    path = tmp_path_factory.mktemp("plan") / "results.json"
    path.write_text(json.dumps(result_to_json(result)))
    return path


@pytest.mark.slow
def test_a_limit_that_the_delivered_dose_exceeds_ends_with_1(run, folder, plan_of, tmp_path):
    path = case.write_case(folder, injections=TOO_MUCH, plan=str(plan_of))
    done = run("verify", path, "-o", tmp_path / "verified", "--no-pdf")
    assert done.code == 1
    assert "error: mean(normal right) <= 40 Gy:" in done.err and "[SJ405]" in done.err
    assert "verify: exit code 1 because of SJ405; all results are written" in done.err
    assert "targets and limits" in done.out
    line = next(line for line in done.out.splitlines() if "mean(normal right) <= 40 Gy" in line)
    planned, delivered = (cell.strip() for cell in line.split("│")[2:4])
    assert float(planned.removesuffix(" Gy")) <= 40.01 < 100.0 < float(delivered.removesuffix(" Gy"))
    assert "every check passed" not in (tmp_path / "verified" / "report.html").read_text()
    table = json.loads((tmp_path / "verified" / "results.json").read_text())
    (row,) = (row for row in table["objectives"] if row["name"] == "mean(normal right) <= 40 Gy")
    assert (row["met"], row["planned_met"]) == (False, True)


@pytest.mark.slow
def test_limits_that_are_kept_end_with_0(run, folder, plan_of, tmp_path):
    path = case.write_case(folder, injections=KEPT, plan=str(plan_of))
    done = run("verify", path, "-o", tmp_path / "verified", "--json", "--no-pdf")
    assert done.code == 0, done.err
    table = json.loads(done.out)
    assert "error" not in {check["severity"] for check in table["checks"]}
    assert all(row["met"] for row in table["objectives"] if row["direction"] == "at most")


def test_the_plan_of_another_patient_is_refused(run, folder, plan_of, tmp_path):
    path = case.write_case(folder, injections=KEPT, plan=str(plan_of), patient={"id": "TEST-02"})
    done = run("verify", path, "-o", tmp_path / "verified", "--json", "--no-pdf")
    lines = [line for line in done.err.splitlines() if not line.startswith("verify: ")]
    assert (done.code, done.out, len(lines)) == (2, "", 1)
    assert lines[0].startswith(f"sirtjax: {plan_of}: the plan of another patient: the pseudonyms of plan and case")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_another_patient_whom_the_headers_name(run, tmp_path, plan_of, monkeypatch):
    """Two DICOM patients under one pseudonym: the keyed hashes in results.json tell them apart."""
    from sirtjax.io import _patient_fingerprint

    monkeypatch.setattr(_patient_fingerprint, "_key", _patient_fingerprint._key)
    monkeypatch.setattr(_patient_fingerprint, "_fingerprint", None)

    def done(verb, patient, out, **changes):
        folder = tmp_path / f"{patient}-{verb}"
        case.write_patient(folder, ct=dicom_case.SPECT, spect=dicom_case.SPECT)
        counts = 1000.0 * case.concentration(dicom_case.SPECT, 7.0)
        modality = "NM" if verb == "plan" else "PT"
        dicom_case.write_series(folder / "image", counts, dicom_case.SPECT, modality, "image", patient=patient)
        images = {"activity": {"path": "image", "resolution_fwhm_mm": 5.0}}
        path = case.write_case(folder, images=images, dose={"method": "local", "spacing_mm": 6.0}, **changes)
        return run(verb, path, "-o", tmp_path / out, "--no-pdf")

    assert done("plan", "SECRET-1", "plan").code == 0
    text = (tmp_path / "plan" / "results.json").read_text()
    mark = json.loads(text)["provenance"]["patient"]
    assert mark["number"] is not None and mark["key"] is not None and "SECRET" not in text
    plan = str(tmp_path / "plan" / "results.json")
    same = done("verify", "SECRET-1", "same", injections=KEPT, plan=plan)
    assert same.code == 0, same.err
    rows = json.loads((tmp_path / "same" / "results.json").read_text())["comparison"]["rows"]
    assert rows[0]["agreement"] == "agrees" and "identifiers of the DICOM headers" in rows[0]["found"]
    other = done("verify", "SECRET-2", "other", injections=KEPT, plan=plan)
    assert other.code == 2
    assert "the plan of another patient: the identifiers of the DICOM headers (ID, name, date of birth)" in other.err
    assert "SECRET" not in other.err and not (tmp_path / "other").exists()
