"""What a plan after a review says of its masks: the version that was used, its hash, and who signed it."""

import dataclasses

import numpy as np
import pytest

from sirtjax import io, workflows
from sirtjax.reports import load_steps, save_steps
from sirtjax.review import Session
from sirtjax.review._scene import to_page
from sirtjax.volume import LabelMap
from sirtjax.workflows._mask_records import mask_results


@pytest.fixture
def loaded(reviewed_case):
    return workflows.load_case(reviewed_case.images.activity.source.path.parent / "case.toml")


def grid_of(session, key):
    plan = session.describe()
    return next(scene["grid"] for scene in plan["scenes"] if key in scene["masks"])


def change(session, key, by="Dr. A"):
    """Take one voxel off a mask and save it; the SHA-256 of the new version."""
    scene = next(scene for scene in session.scenes.values() if key in scene.masks)
    voxels = np.asarray(to_page(scene, session._newest(key)).array).copy()
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    sha256 = session.describe_mask(key)["sha256"]
    told = session.save(key, voxels.tobytes(order="F"), author=by, if_match=sha256, grid=grid_of(session, key))
    return told["sha256"]


def inputs(case, products):
    return workflows.provenance(case, products.images, registration="", products=products)["inputs"]


def rows(case, products):
    return {row.name: row for row in mask_results(case, products)}


def test_without_a_review_the_files_of_the_case_are_the_inputs(loaded, reviewed_case):
    found = inputs(loaded, reviewed_case)
    for role, table in loaded.masks.drawn().items():
        assert found[f"{role} mask"]["sha256"] == io.file_sha256(table.path)
    liver = rows(loaded, reviewed_case)["liver"]
    assert (liver.file, liver.sha256) == ("liver.nii", io.file_sha256(loaded.masks.liver.path))
    assert (liver.version, liver.state, liver.reviewer, liver.signed_at) == (None, "given", None, None)


def test_a_changed_and_signed_mask_takes_the_place_of_the_first(loaded, session):
    first = io.file_sha256(loaded.masks.liver.path)
    second = change(session, "liver")
    session.sign("liver", "verified", reviewer="Dr. B", if_match=second, comment="dome corrected")
    products = session.reviewed()
    found = inputs(loaded, products)
    assert found["liver mask"] == {
        "file": "review/liver/0002.nii.gz", "modality": None, "grid": None, "series_uid": None, "sha256": second,
        "version": 2,
    }  # fmt: skip
    assert io.file_sha256(session.folder / found["liver mask"]["file"]) == second
    assert first not in {entry["sha256"] for entry in found.values()}
    liver = rows(loaded, products)["liver"]
    assert (liver.sha256, liver.version, liver.state) == (second, 2, "verified")
    assert (liver.reviewer, liver.comment, liver.origin) == ("Dr. B", "dome corrected", "liver.nii")
    assert liver.signed_at == session.describe_mask("liver")["signatures"][0]["signed_at"]
    assert liver.volume_ml == pytest.approx(products.liver.volume_ml)


def test_a_file_stays_an_input_as_long_as_one_of_its_masks_is_used(loaded, session):
    alpha = change(session, "lesion-alpha")
    found = inputs(loaded, session.reviewed())
    assert found["alpha mask"]["sha256"] == alpha
    assert found["lesions mask"]["sha256"] == io.file_sha256(loaded.masks.lesions.path)
    assert rows(loaded, session.reviewed())["alpha"].state == "draft"
    beta = change(session, "lesion-beta")
    found = inputs(loaded, session.reviewed())
    assert "lesions mask" not in found and found["beta mask"]["sha256"] == beta
    territories = change(session, "territories")
    assert inputs(loaded, session.reviewed())["territories"]["sha256"] == territories


def test_a_signature_on_the_first_version_names_its_reviewer_and_keeps_the_input(loaded, session):
    sha256 = session.describe_mask("liver")["sha256"]
    session.sign("liver", "verified", reviewer="Dr. B", if_match=sha256)
    products = session.reviewed()
    assert inputs(loaded, products)["liver mask"]["sha256"] == io.file_sha256(loaded.masks.liver.path)
    liver = rows(loaded, products)["liver"]
    assert (liver.version, liver.sha256, liver.reviewer) == (1, sha256, "Dr. B")


def test_a_signature_holds_for_its_version_alone(loaded, session):
    second = change(session, "liver")
    session.sign("liver", "verified", reviewer="Dr. B", if_match=second)
    third = change(session, "liver", by="Dr. C")
    liver = rows(loaded, session.reviewed())["liver"]
    assert (liver.version, liver.sha256, liver.state, liver.reviewer) == (3, third, "draft", None)


def test_steps_keep_what_was_used_and_notice_a_change_by_hand(loaded, session, tmp_path):
    second = change(session, "liver")
    session.sign("liver", "verified", reviewer="Dr. B", if_match=second)
    save_steps(tmp_path / "steps", loaded, session.reviewed())
    products = load_steps(tmp_path / "steps", loaded)
    assert inputs(loaded, products)["liver mask"]["sha256"] == second
    assert rows(loaded, products)["liver"].reviewer == "Dr. B"
    # A mask that was given is changed in the folder of the steps: the file there is what a plan uses now.
    file = tmp_path / "steps" / "lesions" / "alpha.nii.gz"
    array, geometry = io.read_nifti_array(file)
    array = np.asarray(array).copy()
    array[tuple(np.argwhere(array)[0])] = 0
    io.write_nifti(file, LabelMap(array, geometry, names=((1, "alpha"),)), force=True)
    products = load_steps(tmp_path / "steps", loaded)
    entry = inputs(loaded, products)["alpha mask"]
    assert (entry["file"], entry["sha256"]) == ("steps/lesions/alpha.nii.gz", io.file_sha256(file))
    assert rows(loaded, products)["alpha"].origin == "lesions.nii, edited manually"


def test_the_registration_says_that_it_was_guided_by_the_first_version(plan_folder, moved_case):
    record = dataclasses.replace(moved_case.registration.record, preset="cnn", guides=("liver",), notes=("a note",))
    alignment = dataclasses.replace(moved_case.registration, record=record)
    products = dataclasses.replace(moved_case, registration=alignment)
    session = Session(plan_folder, products, lambda products, on_step: None)
    assert session.reviewed().registration.record.notes == ("a note",)
    change(session, "liver")
    guided = "before their review these masks guided the registration: liver (now version 2)"
    assert session.reviewed().registration.record.notes == ("a note", guided)
    change(session, "liver")
    assert session.reviewed().registration.record.notes == ("a note", guided.replace("2", "3"))
