"""`sirtjax plan`: a case in, a whole folder or nothing out."""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import shutil

import analytic_case as case
import nibabel
import numpy as np
import pytest

from sirtjax.cli import plan, review
from sirtjax.cli.main import main
from sirtjax.errors import ComputationError
from sirtjax.io import write_nifti
from sirtjax.review import open_review
from sirtjax.volume import Volume

FILES = {"report.html", "report.pdf", "results.json", "voi.csv", "dose.nii.gz", "activity.nii.gz"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    case.write_patient(folder)
    case.write_case(folder)
    return folder


@pytest.fixture(scope="module")
def once(folder, tmp_path_factory):
    """The plan made once: what it printed, and its folder."""
    out, printed = tmp_path_factory.mktemp("once") / "plan", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(plan, "use_compilation_cache", lambda: None)
        with pytest.raises(SystemExit) as stopped:
            main(["plan", str(folder / "case.toml"), "-o", str(out), "--json"])
    assert not stopped.value.code
    return printed.getvalue(), out


@pytest.fixture
def planned(once, tmp_path):
    """What the plan printed, and a copy of its folder."""
    shutil.copytree(once[1], tmp_path / "plan")
    return once[0], tmp_path / "plan"


def test_the_folder_and_the_json(planned):
    printed, out = planned
    assert {path.name for path in out.iterdir()} == FILES | {"masks", "steps", ".sirtjax-files"}
    table = json.loads(printed)
    assert table == json.loads((out / "results.json").read_text())
    assert {path.name for path in (out / "masks").iterdir()} == {
        "liver.nii.gz", "normal-liver.nii.gz", "right.nii.gz", "normal-right.nii.gz", "left.nii.gz",
        "normal-left.nii.gz", "lesions.nii.gz", "alpha.nii.gz", "beta.nii.gz",
    }  # fmt: skip
    with (out / "voi.csv").open() as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert float(rows["alpha"]["mean_gy"]) == pytest.approx(
        next(voi["mean_gy"] for voi in table["vois"] if voi["name"] == "alpha"), rel=1e-5
    )


def test_the_dose_file_is_the_dose_of_the_table(planned):
    printed, out = planned
    dose = nibabel.load(out / "dose.nii.gz").get_fdata()
    mask = nibabel.load(out / "masks" / "alpha.nii.gz")
    assert np.allclose(nibabel.load(out / "dose.nii.gz").affine, mask.affine)
    mean_gy = next(voi["mean_gy"] for voi in json.loads(printed)["vois"] if voi["name"] == "alpha")
    assert dose[mask.get_fdata() > 0].mean() == pytest.approx(mean_gy, rel=0.01)


@pytest.mark.slow
def test_tables_and_checks_are_printed(run, folder, tmp_path):
    done = run("plan", folder / "case.toml", "-o", tmp_path / "plan", "--no-pdf")
    assert done.code == 0
    for text in ("TEST-01", "resin-icc-bilobar", "right", "alpha"):
        assert text in done.out
    assert "SJ305" in done.err and "report.html" in done.err
    quiet = run("--quiet", "step", "liver", folder / "case.toml", "-o", tmp_path / "quiet")
    assert (quiet.code, quiet.err) == (0, "")


@pytest.mark.slow
def test_an_existing_folder_is_replaced_only_with_force(run, folder, planned):
    _, out = planned
    before = (out / "report.html").read_text()
    done = run("plan", folder / "case.toml", "-o", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "holds files already; choose another folder or give --force" in done.err
    assert (out / "report.html").read_text() == before
    lower = ("--set", "prescription.strategy=lower")
    assert run("plan", folder / "case.toml", "-o", out, "--force", *lower).code == 0
    assert '"strategy": "lower"' in (out / "results.json").read_text()
    (out / "notes.txt").write_text("mine")
    refused = run("plan", folder / "case.toml", "-o", out, "--force")
    assert refused.code == 2 and "notes.txt" in refused.err
    assert '"strategy": "lower"' in (out / "results.json").read_text()


def refused(run, path, out, message, *options, code=2):
    done = run("plan", path, "-o", out, *options)
    lines = [line for line in done.err.splitlines() if not line.startswith("plan: ")]
    assert (done.code, done.out, len(lines)) == (code, "", 1), done.err
    assert lines[0].startswith("sirtjax: ") and message in lines[0]
    assert "Traceback" not in done.err
    # Neither the output nor a temporary folder is left beside it.
    assert not out.exists() and list(out.parent.iterdir()) == []


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lung_shunt": None}, "lung_shunt: Field required"),
        ({"dose": {"methode": "local"}}, "dose.methode: unknown key; did you mean 'method'?"),
        ({"protocol": {"name": "resin-nowhere"}}, "there is no protocol 'resin-nowhere'"),
        ({"images": {"activity": {"path": "none.nii"}}}, "none.nii: no such file"),
        ({"lung_shunt": {"method": "spect"}}, "no [masks.lungs], and automatic segmentation fails"),
        ({"injections": [{"territory": "middle"}]}, "there is no territory 'middle'"),
        ({"prescription": {"targets": ["gamma"]}}, "no lesion is named gamma"),
        (
            {"prescription": None},
            "case.toml: prescription.strategy and prescription.residual_fraction missing",
        ),
    ],
)
def test_bad_input_is_one_line_exit_2_and_leaves_nothing(run, folder, empty, tmp_path, changes, message):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).symlink_to(file)
    refused(run, case.write_case(tmp_path, **changes), empty / "plan", message)


def test_options_name_the_choice_and_the_residual_that_they_lack(run, folder, empty):
    said = ("--activity", folder / "spect.nii", "--liver", folder / "liver.nii", "--lesions", folder / "lesions.nii")
    said = (*said, "--protocol", "resin-icc-bilobar", "--lung-shunt", "0.05")
    both = run("plan", *said, "-o", empty / "plan")
    message = (
        "sirtjax: --strategy and --residual-fraction missing, and neither has a default; give "
        "--strategy upper, lower or fixed and --residual-fraction NUMBER "
        "(fraction that stays in vial and catheter, 0 to below 1)"
    )
    assert (both.code, both.err.splitlines()) == (2, [message])
    one = run("plan", *said, "--strategy", "upper", "-o", empty / "plan")
    assert (
        one.code == 2
        and one.err.startswith("sirtjax: --residual-fraction missing, and it has no default; ")
        and "--strategy" not in one.err
    )
    wrong = run("plan", *said, "--strategy", "most", "--residual-fraction", "1.5", "-o", empty / "plan")
    assert wrong.code == 2 and "prescription.strategy" in wrong.err and "prescription.residual_fraction" in wrong.err


def test_negative_activity_and_images_apart(run, folder, empty, tmp_path):
    for file in folder.glob("*.nii"):
        (tmp_path / file.name).symlink_to(file)
    path = case.write_case(tmp_path)
    (tmp_path / "spect.nii").unlink()
    negative = Volume(np.full(case.SPECT.shape, -1, np.float32) + (np.arange(30) == 5) * 9, case.SPECT, unit="counts")
    write_nifti(tmp_path / "spect.nii", negative)
    refused(run, path, empty / "plan", "spect.nii: negative activity, down to -1 counts")


def test_a_failed_computation_is_exit_1_and_leaves_nothing(run, folder, empty, monkeypatch):
    def fail(*_, **__):
        raise ComputationError("the dose is not finite")

    monkeypatch.setattr("sirtjax.workflows.plan_case", fail)
    refused(run, folder / "case.toml", empty / "plan", "the dose is not finite", code=1)


@pytest.mark.slow
def test_a_crash_half_way_leaves_the_old_output_whole(run, folder, planned, monkeypatch):
    _, out = planned
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def crash(*_, **__):
        raise RuntimeError("killed")

    monkeypatch.setattr("sirtjax.reports._files.voi_csv", crash)
    done = run("plan", folder / "case.toml", "-o", out, "--force", "--set", "prescription.strategy=lower")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("sirtjax: internal error, RuntimeError: killed; please report it")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".sirtjax")] == []


@pytest.mark.slow
def test_a_plan_after_a_review_names_reviewer_signature_and_version(run, planned, monkeypatch):
    _, out = planned
    monkeypatch.setattr(review, "use_compilation_cache", lambda: None)
    first = json.loads((out / "results.json").read_text())
    session = open_review(out)
    packed, sha256 = session.mask_bytes("liver")
    voxels = np.asarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(packed)).dataobj).copy()
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    grid = next(scene["grid"] for scene in session.describe()["scenes"] if "liver" in scene["masks"])
    told = session.save("liver", voxels.tobytes(order="F"), author="Dr. A", if_match=sha256, grid=grid)
    session.sign("liver", "verified", reviewer="Dr. Meyer", if_match=told["sha256"])
    (out / "report.pdf").unlink()
    assert run("review", out, "--recompute").code == 0
    table = json.loads((out / "results.json").read_text())
    (row,) = [row for row in table["masks"] if row["name"] == "liver"]
    assert (row["reviewer"], row["version"], row["state"]) == ("Dr. Meyer", 2, "verified")
    assert row["signed_at"] == session.describe_mask("liver")["signatures"][0]["signed_at"]
    assert table["provenance"]["inputs"]["liver mask"]["sha256"] == row["sha256"] == told["sha256"]
    assert hashlib.sha256((out / row["file"]).read_bytes()).hexdigest() == told["sha256"]
    old = first["provenance"]["inputs"]["liver mask"]["sha256"]
    assert old not in json.dumps(table["provenance"]["inputs"])
    page = (out / "report.html").read_text()
    assert "Dr. Meyer" in page and told["sha256"][:16] in page and old[:16] not in page
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.slow
def test_identify_prints_a_name_only_where_asked(run, folder, planned, tmp_path):
    _, out = planned
    assert "Jane Doe" not in (out / "report.html").read_text()
    done = run("plan", folder / "case.toml", "-o", tmp_path / "named", "--patient-name", "Jane Doe", "--no-pdf")
    assert (out / "report.pdf").is_file() and not (tmp_path / "named" / "report.pdf").exists()
    assert done.code == 0 and "Jane Doe" in (tmp_path / "named" / "report.html").read_text()
    for file in ("results.json", "voi.csv", "steps/steps.json"):
        assert "Jane Doe" not in (tmp_path / "named" / file).read_text()
    assert "Jane Doe" not in done.out + done.err


@pytest.mark.slow
def test_a_case_by_options(run, folder, empty):
    options = [
        "--patient-id", "TEST-01", "--protocol", "resin-icc-bilobar", "--activity", folder / "spect.nii",
        "--ct", folder / "ct.nii", "--liver", folder / "liver.nii", "--lesions", folder / "lesions.nii",
        "--lung-shunt", "0.05", "--set", "dose.method=local", "--strategy", "upper", "--residual-fraction", "0",
    ]  # fmt: skip
    done = run("plan", "-o", empty / "plan", "--json", "--no-pdf", *options)
    assert done.code == 0, done.err
    table = json.loads(done.out)
    assert [row["territory"] for row in table["injections"]] == ["whole liver"]
    assert table["injections"][0]["lung_shunt_fraction"] == 0.05


def test_options_and_a_file_are_not_mixed(run, folder, empty):
    refused(
        run, folder / "case.toml", empty / "plan", "a case file and --ct exclude each other", "--ct", folder / "ct.nii"
    )
    done = run("plan", "-o", empty / "plan")
    assert done.code == 2 and "no case: provide a case file, or --activity" in done.err
