"""Which saved steps are out of date: named inputs, manual edits, and results of earlier steps."""

import json

import analytic_case as case
import numpy as np
import pytest

from sirtjax.io import read_nifti_array, write_nifti
from sirtjax.reports import load_steps, save_steps, saved_step_states
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows import AutomaticMask, Hooks, load_case, run_until


@pytest.fixture
def patient(tmp_path):
    case.write_patient(tmp_path / "patient")
    return tmp_path / "patient"


@pytest.fixture
def out(run, patient, tmp_path):
    """A folder with all steps."""
    for name in ("registration", "lesions", "territories"):
        assert run("step", name, case.write_case(patient), "-o", tmp_path / "out").code == 0
    return tmp_path / "out"


def states(run, path, out):
    done = run("step", "status", path, "-o", out, "--json")
    assert done.code == 0, done.err
    return {row["step"]: (row["state"], row["reasons"]) for row in json.loads(done.out)}


def edit(file, *, name):
    """Removes one voxel of a mask."""
    array, geometry = read_nifti_array(file)
    changed = np.asarray(array).copy() > 0
    changed[tuple(np.argwhere(changed)[0])] = False
    write_nifti(file, LabelMap.from_mask(changed, geometry, name=name), force=True)


def test_the_states_of_all_steps(run, patient, out, tmp_path):
    path = case.write_case(patient)
    assert all(found == ("current", []) for found in states(run, path, out).values())
    nothing = states(run, path, tmp_path / "nothing")
    assert {state for state, _ in nothing.values()} == {"missing"}
    listed = run("step", "status", path, "-o", out)
    assert "current" in listed.out
    # Listing changes nothing.
    assert not (tmp_path / "nothing").exists()


def test_a_changed_file_is_named(run, patient, out):
    liver, labels, territories = case.masks(case.CT)
    case.write_labels(patient, case.CT, (liver, np.roll(labels, 1, axis=0), territories))
    path = case.write_case(patient)
    found = states(run, path, out)
    lesions = case.case_table()["masks"]["lesions"]["path"]
    assert found["lesions"] == ("out of date", [f"file {lesions} changed"])
    assert found["images"] == ("current", [])
    done = run("step", "resampling", path, "-o", out)
    assert f"the case has changed, so the step lesions is recomputed (file {lesions} changed)" in done.err
    assert states(run, path, out)["lesions"] == ("current", [])


@pytest.mark.slow
def test_an_edited_liver_makes_what_was_computed_from_it_out_of_date(run, patient, out):
    path = case.write_case(patient)
    edit(out / "steps" / "liver" / "liver.nii.gz", name="liver")
    found = states(run, path, out)
    assert found["liver"] == ("edited", ["liver/liver.nii.gz edited manually"])
    assert found["territories"] == ("out of date", ["result of step liver changed"])
    assert found["lesions"] == ("current", [])
    done = run("step", "resampling", path, "-o", out)
    assert "the step liver is used as edited (liver/liver.nii.gz edited manually)" in done.err
    assert "an earlier result has changed, so the step territories is recomputed" in done.err
    assert {state for state, _ in states(run, path, out).values()} == {"current"}


def test_an_edited_result_is_kept_although_an_earlier_one_changed(run, patient, out):
    path = case.write_case(patient)
    edit(out / "steps" / "liver" / "liver.nii.gz", name="liver")
    file = out / "steps" / "territories.nii.gz"
    array, geometry = read_nifti_array(file)
    mine = np.where(np.asarray(array) == 1, 2, np.asarray(array)).astype(np.uint8)
    write_nifti(file, LabelMap(mine, geometry, names=((1, "right"), (2, "left"))), force=True)
    assert states(run, path, out)["territories"][0] == "edited"
    done = run("step", "resampling", path, "-o", out)
    assert "the step territories is used as edited" in done.err
    kept, _ = read_nifti_array(file)
    assert np.array_equal(kept, mine)


def test_an_automatic_mask_depends_on_the_content_of_its_image(patient, tmp_path):
    table = case.case_table()
    masks = {key: value for key, value in table["masks"].items() if key != "liver"}
    loaded = load_case(case.write_case(patient, masks=masks, territories=None))
    liver, _, _ = case.masks(case.CT)

    def segment(image):
        return AutomaticMask(LabelMap.from_mask(liver, image.volume.geometry, name="liver"), method="rule of the test")

    products = run_until(loaded, "liver", hooks=Hooks(segment_liver=segment))
    save_steps(tmp_path / "steps", loaded, products)
    assert load_steps(tmp_path / "steps", loaded).liver is not None
    ct = patient / table["images"]["ct"]["path"]
    array, geometry = read_nifti_array(ct)
    before = ct.read_bytes()
    write_nifti(ct, Volume(np.asarray(array) + 1, geometry, unit="HU"), force=True)
    notes = []
    assert load_steps(tmp_path / "steps", loaded, on_note=notes.append).liver is None
    assert any(f"file {ct.name} changed" in note for note in notes)
    ct.write_bytes(before)
    assert {one.step: one.state for one in saved_step_states(tmp_path / "steps", loaded)}["liver"] == "current"


def resolution(value):
    return {"activity": {"path": "spect.nii", "resolution_fwhm_mm": value}, "ct": {"path": "ct.nii"}}


def test_no_step_depends_on_the_resolution(run, patient, out):
    path = case.write_case(patient, images=resolution(14.0))
    assert all(found == ("current", []) for found in states(run, path, out).values())


@pytest.mark.parametrize(("words", "options"), [(("plan",), ("--resume", "--no-pdf")), (("step", "liver"), ())])
def test_an_edit_that_a_changed_case_would_discard_stops_the_run(run, patient, out, words, options):
    file = out / "steps" / "liver" / "liver.nii.gz"
    edit(file, name="liver")
    mine = file.read_bytes()
    changed = {"activity": {"path": "spect.nii"}, "ct": {"path": "ct.nii", "resample_slices": True}}
    path = case.write_case(patient, images=changed)
    listed = states(run, path, out)
    assert listed["liver"] == ("out of date", ["[images] changed", "liver/liver.nii.gz edited manually"])
    done = run(*words, path, "-o", out, *options)
    message = (
        f"{file} was edited by hand and would be recomputed ([images] changed); move it and name it in [masks], or "
        "delete it"
    )
    assert (done.code, done.out) == (2, "") and message in done.err
    assert file.read_bytes() == mine
    file.unlink()
    assert states(run, path, out)["liver"][1] == ["[images] changed", "liver/liver.nii.gz missing"]
    assert run("step", "liver", path, "-o", out).code == 0
    assert states(run, path, out)["liver"] == ("current", [])


@pytest.mark.slow
def test_an_edit_that_an_earlier_run_used_is_not_discarded_either(run, patient, out):
    file = out / "steps" / "liver" / "liver.nii.gz"
    edit(file, name="liver")
    path = case.write_case(patient)
    assert run("step", "resampling", path, "-o", out).code == 0
    assert {state for state, _ in states(run, path, out).values()} == {"current"}
    mine = file.read_bytes()
    changed = {"activity": {"path": "spect.nii"}, "ct": {"path": "ct.nii", "resample_slices": True}}
    path = case.write_case(patient, images=changed)
    assert states(run, path, out)["liver"] == (
        "out of date",
        ["[images] changed", "liver/liver.nii.gz edited manually"],
    )
    done = run("step", "resampling", path, "-o", out)
    assert done.code == 2 and f"{file} was edited by hand and would be recomputed" in done.err
    assert file.read_bytes() == mine


def test_rerun_discards_the_edit_of_its_own_step_only(run, patient, out):
    file = out / "steps" / "liver" / "liver.nii.gz"
    edit(file, name="liver")
    mine = file.read_bytes()
    changed = {"activity": {"path": "spect.nii"}, "ct": {"path": "ct.nii", "resample_slices": True}}
    path = case.write_case(patient, images=changed)
    assert run("step", "lesions", path, "-o", out, "--rerun").code == 2
    assert file.read_bytes() == mine
    assert run("step", "liver", path, "-o", out, "--rerun").code == 0
    assert file.read_bytes() != mine
