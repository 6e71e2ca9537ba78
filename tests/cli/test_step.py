"""`sirtjax step` and `plan --resume`: one step at a time, in any order, corrected in between."""

import json
import shutil
from dataclasses import replace

import analytic_case as case
import numpy as np
import pytest

from sirtjax.formats import read_masks
from sirtjax.io import read_nifti_array, write_nifti
from sirtjax.reports import load_steps, run_step, save_steps
from sirtjax.reports._steps_files import refuse_edited_steps
from sirtjax.volume import LabelMap
from sirtjax.workflows import AutomaticMask, Hooks, UsedMask, _steps, load_case

STEPS = ("images", "liver", "lesions", "territories", "registration", "resampling")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    case.write_patient(folder)
    return folder


# The function that makes the product of each step; it is not called if the product is there already.
MAKERS = {
    "images": "select_images",
    "liver": "liver_voi",
    "lesions": "lesion_vois",
    "territories": "_divided",
    "registration": "align_diagnostic",
    "resampling": "resample_case",
}


@pytest.fixture
def made(monkeypatch):
    """The names of the steps that are made, in order."""
    seen = []
    for name, function in MAKERS.items():
        maker = getattr(_steps, function)

        def watched(*given, name=name, maker=maker, **options):
            seen.append(name)
            return maker(*given, **options)

        monkeypatch.setattr(_steps, function, watched)
    return seen


def index(out):
    return json.loads((out / "steps" / "steps.json").read_text())


def test_a_step_makes_what_it_needs_and_writes_it(run, folder, tmp_path):
    path = case.write_case(folder)
    done = run("step", "lesions", path, "-o", tmp_path, "--json")
    assert done.code == 0, done.err
    assert {row["step"] for row in json.loads(done.out)} == {"images", "liver", "lesions"}
    assert set(index(tmp_path)) == {"images", "liver", "lesions"}
    assert [row["name"] for row in index(tmp_path)["lesions"]["vois"]] == ["alpha", "beta"]
    assert (tmp_path / "steps" / "lesions" / "alpha.nii.gz").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("order", [STEPS[::-1], ("registration", "territories", "liver")])
def test_the_order_of_the_steps_is_free(run, folder, tmp_path, made, order):
    path = case.write_case(folder)
    for name in order:
        assert run("step", name, path, "-o", tmp_path).code == 0
    done = run("plan", path, "-o", tmp_path, "--resume", "--json", "--no-pdf")
    assert done.code == 0, done.err
    # Masks, territories and registration are made once in all; images are read, and mapped, each time.
    for name in ("liver", "lesions", "territories", "registration"):
        assert made.count(name) == 1, made
    direct = run("plan", path, "-o", tmp_path / "direct", "--json", "--no-pdf")
    means = [[voi["mean_gy"] for voi in json.loads(one.out)["vois"]] for one in (done, direct)]
    assert means[0] == pytest.approx(means[1], rel=1e-5)


@pytest.mark.slow
def test_a_mask_corrected_by_hand_is_used(run, folder, tmp_path):
    path = case.write_case(folder)
    assert run("step", "liver", path, "-o", tmp_path).code == 0
    file = tmp_path / "steps" / "liver" / "liver.nii.gz"
    array, geometry = read_nifti_array(file)
    cut = np.array(array)
    cut[: cut.shape[0] // 2 - 12] = 0
    write_nifti(file, LabelMap.from_mask(cut > 0, geometry, name="liver"), force=True)
    done = run("plan", path, "-o", tmp_path, "--resume", "--json", "--no-pdf")
    assert done.code == 0, done.err
    liver = next(voi for voi in json.loads(done.out)["vois"] if voi["name"] == "liver")
    assert liver["mask_ml"] == pytest.approx((cut > 0).sum() * geometry.voxel_volume_ml)
    kept, _ = read_nifti_array(file)
    assert np.array_equal(kept > 0, cut > 0)
    # A run used and wrote it again; it is still the work of a person.
    refused = run("plan", path, "-o", tmp_path, "--force", "--no-pdf")
    assert refused.code == 2 and "liver.nii.gz was edited by hand and would be lost" in refused.err


def test_force_does_not_discard_a_mask_corrected_by_hand(run, folder, tmp_path):
    path = case.write_case(folder)
    assert run("step", "liver", path, "-o", tmp_path).code == 0
    refuse_edited_steps(tmp_path / "steps")  # nothing was edited
    refuse_edited_steps(tmp_path / "none")
    file = tmp_path / "steps" / "liver" / "liver.nii.gz"
    array, geometry = read_nifti_array(file)
    write_nifti(file, LabelMap.from_mask(np.roll(array, 1, axis=0) > 0, geometry, name="liver"), force=True)
    before = file.read_bytes()
    done = run("plan", path, "-o", tmp_path, "--force", "--no-pdf")
    assert done.code == 2 and done.err.count("\n") == 1
    assert f"{file} was edited by hand and would be lost; use it with --resume" in done.err
    assert file.read_bytes() == before
    file.unlink()
    refuse_edited_steps(tmp_path / "steps")


@pytest.mark.parametrize("version", [None, 2])
def test_a_mask_that_a_person_changed_is_not_made_again(run, folder, tmp_path, version):
    """By hand in steps/, or signed in the review: a run has written it as its own file since then."""
    loaded = load_case(case.write_case(folder))
    run_step(loaded, "lesions", tmp_path)
    products = load_steps(tmp_path / "steps", loaded)
    mask = np.array(products.liver.labels.array) > 0
    mask[:, :, :12] = False
    used = UsedMask(
        file="liver.nii.gz",
        sha256="0" * 64,
        replaces=True,
        version=version,
        state="draft" if version is None else "approved",
        reviewer=None if version is None else "R",
    )
    labels = LabelMap.from_mask(mask, products.liver.labels.geometry, name="liver")
    liver = replace(products.liver, labels=labels, used=used)
    save_steps(tmp_path / "steps", loaded, replace(products, liver=liver))
    file = tmp_path / "steps" / "liver" / "liver.nii.gz"
    before = file.read_bytes()
    lesions = case.case_table()["masks"]["lesions"]
    changed = case.case_table()["masks"] | {"lesions": {**lesions, "labels": {"1": "alpha", "2": "gamma"}}}
    for words in (("step", "lesions"), ("plan", "--resume"), ("plan", "--force")):
        path = case.write_case(folder, masks=changed)
        done = run(*words, path, "-o", tmp_path)
        assert done.code == 2 and f"{file} was edited by" in done.err, words
    assert file.read_bytes() == before


def test_a_step_can_be_made_again(run, folder, tmp_path, made):
    path = case.write_case(folder)
    run("step", "lesions", path, "-o", tmp_path)
    run("step", "lesions", path, "-o", tmp_path)
    assert made.count("lesions") == 1
    run("step", "lesions", path, "-o", tmp_path, "--rerun")
    assert (made.count("lesions"), made.count("liver")) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"lung_shunt": {"method": "value", "fraction": 0.1}}, set()),
        ({"prescription": {"strategy": "lower"}, "dose": {"method": "local"}}, set()),
        ({"registration": {"method": "identity"}}, {"registration", "territories"}),
        ({"territories": None}, {"territories"}),
        (
            {"images": {"activity": {"path": "spect.nii"}, "ct": {"path": "ct.nii", "resample_slices": True}}},
            {"liver", "lesions", "territories", "registration"},
        ),
        ({"images": {"activity": {"path": "spect.nii", "resolution_fwhm_mm": 14.0}, "ct": {"path": "ct.nii"}}}, set()),
        ({"masks": "only alpha"}, {"liver", "lesions", "territories", "registration"}),
    ],
)
def test_a_changed_case_makes_only_what_depends_on_it_again(run, folder, tmp_path, made, changes, again):
    for name in ("lesions", "territories", "registration"):
        run("step", name, case.write_case(folder), "-o", tmp_path)
    made.clear()
    if changes.get("masks"):
        masks = case.case_table()["masks"]
        changes = {"masks": {"liver": masks["liver"], "lesions": masks["lesions"] | {"names": ["alpha"]}}}
    done = run("step", "resampling", case.write_case(folder, **changes), "-o", tmp_path)
    assert done.code == 0, done.err
    assert set(made) - {"images", "resampling"} == again
    for name in again:
        assert f"the case has changed, so the step {name} is recomputed" in done.err


def test_a_mask_file_with_new_content_is_read_again(run, folder, tmp_path, made):
    patient, out = tmp_path / "patient", tmp_path / "out"
    shutil.copytree(folder, patient)
    path = case.write_case(patient)
    run("step", "registration", path, "-o", out)
    run("step", "lesions", path, "-o", out)
    made.clear()
    liver, labels, territories = case.masks(case.CT)
    case.write_labels(patient, case.CT, (liver, np.roll(labels, 1, axis=0), territories))
    assert run("step", "lesions", path, "-o", out).code == 0
    assert made == ["liver", "lesions"]
    moved, _ = read_nifti_array(out / "steps" / "lesions" / "alpha.nii.gz")
    assert np.array_equal(moved > 0, np.roll(labels, 1, axis=0) == 1)


def test_an_automatic_mask_corrected_by_hand_is_no_longer_automatic(run, folder, tmp_path, monkeypatch):
    def found(image):
        (liver,) = read_masks(folder / "liver.nii").values()
        return AutomaticMask(liver, "a model", ("too much of it",), 0.75)

    hooks = Hooks(segment_liver=found)
    monkeypatch.setattr("sirtjax.workflows.automatic_hooks", lambda **options: hooks)
    masks = {key: table for key, table in case.case_table()["masks"].items() if key != "liver"}
    path = case.write_case(folder, masks=masks)
    assert run("step", "liver", path, "-o", tmp_path).code == 0
    as_found = load_steps(tmp_path / "steps", load_case(path)).liver
    assert (as_found.automatic, as_found.quality_flags) == ("a model", ("too much of it",))
    assert as_found.estimated_dsc == 0.75
    file = tmp_path / "steps" / "liver" / "liver.nii.gz"
    array, geometry = read_nifti_array(file)
    cut = np.array(array) > 0
    cut[: cut.shape[0] // 2 - 12] = False
    write_nifti(file, LabelMap.from_mask(cut, geometry, name="liver"), force=True)
    corrected = load_steps(tmp_path / "steps", load_case(path)).liver
    assert (corrected.automatic, corrected.quality_flags, corrected.estimated_dsc) == (None, (), None)
    assert corrected.origin == "segmented automatically by a model, edited manually"


@pytest.mark.slow
def test_resume_without_steps_is_a_plan(run, folder, tmp_path):
    assert run("plan", case.write_case(folder), "-o", tmp_path / "new", "--resume", "--no-pdf").code == 0


@pytest.mark.slow
def test_damaged_steps(run, folder, tmp_path):
    path = case.write_case(folder)
    run("step", "lesions", path, "-o", tmp_path)
    (tmp_path / "steps" / "lesions" / "alpha.nii.gz").unlink()
    done = run("plan", path, "-o", tmp_path, "--resume")
    assert done.code == 2 and "alpha.nii.gz: no such file" in done.err
    (tmp_path / "steps" / "steps.json").write_text("{")
    done = run("step", "liver", path, "-o", tmp_path)
    assert done.code == 2 and "steps.json: cannot be read" in done.err
    (tmp_path / "steps" / "steps.json").write_text("[]")
    assert "not an index of steps" in run("step", "liver", path, "-o", tmp_path).err
