"""A run does not delete its own inputs, and does not continue in the folder of another patient."""

import json
import shutil
from dataclasses import replace

import analytic_case as case
import numpy as np
import pytest
from treatment_folder import write_sum, write_treatment

import sirtjax as sj
from sirtjax.errors import OutputError
from sirtjax.io import file_sha256
from sirtjax.reports import load_steps, save_steps, write_plan
from sirtjax.volume import Geometry, LabelMap
from sirtjax.workflows import load_case, plan_case

GRID = Geometry.from_axes((30, 28, 26), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(-40.0, -40.0, 0.0))
DELIVERED = [{"territory": "right", "activity_mbq": 320.0}, {"territory": "left", "activity_mbq": 180.0}]


@pytest.fixture
def patient(tmp_path):
    case.write_patient(tmp_path / "patient")
    return tmp_path / "patient"


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    case.write_patient(folder)
    write_plan(load_case(case.write_case(folder)), folder / "plan", pdf=False)
    return folder / "plan"


@pytest.fixture
def planned(once, tmp_path):
    """A plan of the patient, as written."""
    shutil.copytree(once, tmp_path / "plan")
    return tmp_path / "plan"


def content(folder):
    return {str(file): file_sha256(file) for file in folder.rglob("*") if file.is_file()}


def refused(run, folder, message, *words):
    """Runs a command that must end before it computes and change nothing."""
    before = content(folder)
    done = run(*words)
    assert (done.code, done.out) == (2, ""), done.err
    assert message in " ".join(done.err.split())
    assert content(folder) == before
    assert not list(folder.parent.glob(".sirtjax-*"))


@pytest.mark.parametrize("option", ["--force", "--resume"])
def test_a_verification_keeps_its_plan(run, patient, planned, monkeypatch, option):
    def computed(*given, **options):
        pytest.fail("computed before the folder was checked")

    monkeypatch.setattr("sirtjax.workflows.verify_case", computed)
    path = case.write_case(patient, injections=DELIVERED, plan=str(planned / "results.json"))
    message = f"{planned}: the output folder contains the plan of this verification; choose another folder"
    refused(run, planned, message, "verify", path, "-o", planned, option, "--no-pdf")
    through = planned.parent / "link"
    through.symlink_to(planned)
    message = "the output folder contains the plan of this verification"
    refused(run, planned, message, "verify", path, "-o", through, option, "--no-pdf")


def test_a_case_file_and_a_mask_in_the_steps_are_kept(run, patient, planned):
    path = case.write_case(patient)
    for file in patient.glob("*.nii"):
        shutil.copy(file, planned / "steps" / file.name)
    inside = shutil.copy(path, planned / "steps" / "mine.toml")
    message = "the output folder contains the file of this run (mine.toml); choose another folder"
    refused(run, planned, message, "plan", inside, "-o", planned, "--force")
    mask = f"masks.liver.path={str(planned / 'steps' / 'liver.nii')!r}"
    message = "the output folder contains an input of this run (masks.liver.path, liver.nii); choose another folder"
    refused(run, planned, message, "plan", path, "-o", planned, "--force", "--set", mask)


@pytest.mark.slow
def test_a_plan_in_memory_keeps_its_inputs(patient, planned):
    loaded = load_case(case.write_case(patient))
    result, maps, products = plan_case(loaded)
    (planned / "spect.nii").write_bytes((patient / "spect.nii").read_bytes())
    table = case.case_table()["images"]
    moved = table | {"activity": table["activity"] | {"path": str(planned / "spect.nii")}}
    other = load_case(case.write_case(patient, images=moved))
    before = content(planned)
    with pytest.raises(OutputError, match=r"contains an input of this run \(images\.activity\.path, spect\.nii\)"):
        sj.tasks.PlannedCase(case=other, result=result, maps=maps, products=products).save(planned, force=True)
    assert content(planned) == before


def saved_again(made, folder, **tables):
    """Saves a plan of the patient to a folder, in memory, with force."""
    loaded = load_case(case.write_case(made, **tables))
    result, maps, products = plan_case(loaded)
    sj.tasks.PlannedCase(case=loaded, result=result, maps=maps, products=products).save(folder, force=True, pdf=False)


@pytest.mark.slow
def test_a_plan_in_memory_keeps_what_a_person_made(patient, planned):
    before = content(planned)
    with pytest.raises(OutputError, match=r"results\.json is of another patient .*; choose another folder, or delete"):
        saved_again(patient, planned, patient={"id": "TEST-02"})
    (planned / "steps" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 1 other files, such as steps/notes\.txt, that would be lost"):
        saved_again(patient, planned)
    (planned / "steps" / "notes.txt").unlink()
    mask = planned / "steps" / "liver" / "liver.nii.gz"
    kept = mask.read_bytes()
    mask.write_bytes((planned / "steps" / "lesions" / "alpha.nii.gz").read_bytes())
    with pytest.raises(OutputError, match=r"liver\.nii\.gz was edited by hand and would be lost"):
        saved_again(patient, planned)
    mask.write_bytes(kept)
    assert content(planned) == before


def test_a_step_keeps_the_masks_of_its_case(run, patient, planned):
    """Rerun, it would write its liver over a file with all masks."""
    path = case.write_case(patient)
    shutil.copy(patient / "liver.nii", planned / "steps" / "liver" / "all.nii")
    mask = f"masks.liver.path={str(planned / 'steps' / 'liver' / 'all.nii')!r}"
    message = "the output folder contains an input of this run (masks.liver.path, all.nii)"
    refused(run, planned, message, "step", "liver", path, "-o", planned, "--rerun", "--set", mask)


def test_a_plan_again_removes_the_mask_of_a_renamed_lesion(once, planned):
    loaded = load_case(once.parent / "case.toml")
    products = load_steps(planned / "steps", loaded)
    first, *others = products.lesions
    named = replace(
        first, name="gamma", labels=LabelMap(first.labels.array, first.labels.geometry, names=((1, "gamma"),))
    )
    save_steps(planned / "steps", loaded, replace(products, lesions=(named, *others)))
    assert {file.name for file in (planned / "steps" / "lesions").iterdir()} == {"gamma.nii.gz", "beta.nii.gz"}


def test_the_index_of_the_steps_has_no_description_of_a_series(planned):
    """Descriptions are free text, and often contain a name."""
    index = json.loads((planned / "steps" / "steps.json").read_text())
    assert index["images"]["chosen"] and "description" not in json.dumps(index)


@pytest.mark.slow
def test_a_plan_replaces_its_own_folder(run, patient, planned):
    path = case.write_case(patient)
    assert run("plan", path, "-o", planned, "--force", "--no-pdf").code == 0
    assert run("plan", path, "-o", planned, "--resume", "--no-pdf").code == 0


def test_an_accumulation_keeps_its_treatments(run, tmp_path, monkeypatch):
    monkeypatch.setattr("sirtjax.cli.accumulate.use_compilation_cache", lambda: None)
    masks = {"liver": np.ones(GRID.shape, bool)}
    for name in ("first", "second"):
        write_treatment(tmp_path / name, np.full(GRID.shape, 50.0), GRID, masks)
    path = write_sum(tmp_path)
    message = "the output folder contains the treatment 'second' of this accumulation; choose another folder"
    refused(run, tmp_path / "second", message, "accumulate", path, "-o", tmp_path / "second", "--force")
    text = path.read_text().replace('folder = "second"', 'folder = "sum/second"')
    path.write_text(text)
    shutil.move(tmp_path / "second", tmp_path / "sum" / "second")
    refused(run, tmp_path / "sum", message, "accumulate", path, "-o", tmp_path / "sum", "--force")


@pytest.mark.parametrize("lost", ["results.json", "steps/case.json"])
def test_the_folder_of_another_patient_is_not_continued(run, patient, planned, lost):
    path = case.write_case(patient, patient={"id": "TEST-02"})
    (planned / lost).unlink()
    kept = "steps/case.json" if lost == "results.json" else "results.json"
    message = f"{planned}: {kept} is of another patient (patient.id differs from that of the case)"
    refused(run, planned, message, "plan", path, "-o", planned, "--resume", "--no-pdf")
    refused(run, planned, message, "plan", path, "-o", planned, "--force", "--no-pdf")
    refused(run, planned, message, "step", "liver", path, "-o", planned)
    refused(run, planned, message, "step", "prescription", path, "-o", planned)
    assert json.loads((planned / kept).read_text())
