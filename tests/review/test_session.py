"""A folder under review: its scenes and masks, and the plan that follows from what was signed."""

import gzip
import threading
import time

import analytic_case as case
import diagnostic_case
import nibabel
import numpy as np
import pytest
from reviewed_plan import DOSE_GY

from sirtjax import spatial, workflows
from sirtjax.errors import ComputationError, ConfigError, ImageFormatError
from sirtjax.reports import write_results
from sirtjax.review import RequestError, Session
from sirtjax.workflows import StepResults, unreviewed_masks


def image(packed):
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(packed))


def page_voxels(session, key):
    packed, sha256 = session.mask_bytes(key)
    return np.asarray(image(packed).dataobj).copy(), sha256


def grid_of(session, key):
    plan = session.describe()
    mask = next(one for one in plan["masks"] if one["key"] == key)
    return next(one for one in plan["scenes"] if one["key"] == mask["scene"])["grid"]


def save(session, key, voxels, sha256, by="Dr. A"):
    return session.save(key, voxels.tobytes(order="F"), author=by, if_match=sha256, grid=grid_of(session, key))


def test_the_page_is_told_of_every_mask(session):
    plan = session.describe()
    assert [mask["key"] for mask in plan["masks"]] == ["liver", "lesion-alpha", "lesion-beta", "territories"]
    assert {mask["state"] for mask in plan["masks"]} == {"given"}
    assert [len(scene["masks"]) for scene in plan["scenes"]] == [4]
    assert plan["masks"][3]["labels"] == [[1, "right"], [2, "left"]]
    assert not (session.folder / "review").exists()


def test_the_dose_under_the_cursor_is_the_dose_of_the_plan(session):
    sent = image(session.dose_bytes("0"))
    step_gy = float(bytes(sent.header["descrip"]).split()[0])
    values = np.asarray(sent.dataobj)[page_voxels(session, "liver")[0] > 0] * step_gy
    assert values == pytest.approx(DOSE_GY, rel=1e-4)


@pytest.mark.slow
def test_histograms_are_those_of_the_report(tmp_path):
    """Volume, mean, D70 and curve of every mask of a plan, on masks of another grid and frame than the dose."""
    diagnostic_case.write_patient(tmp_path)
    result, maps, products = workflows.plan_case(diagnostic_case.diagnostic_case(tmp_path, "file", "moved.tfm"))
    (tmp_path / "out").mkdir()
    write_results(tmp_path / "out", result, maps)
    session = Session(tmp_path / "out", products, lambda products, on_step: None)
    compared = set()
    for mask in session.describe()["masks"]:
        for name, found in session.histograms(mask["key"])["vois"].items():
            row = result.voi(name)
            assert found["volume_ml"] == pytest.approx(row.volume_ml, rel=1e-5)
            assert found["mean_gy"] == pytest.approx(row.mean_gy, rel=1e-5)
            assert found["d70_gy"] == pytest.approx(row.d_gy["70"], rel=1e-4)
            assert found["dvh_dose_gy"] == pytest.approx(row.dvh_dose_gy, rel=1e-4)
            assert found["dvh_volume_percent"] == pytest.approx(row.dvh_volume_percent, abs=0.05)
            compared.add(name)
    assert {"liver", "alpha", "beta"} <= compared


def test_histograms_follow_what_is_on_the_page(session):
    voxels, _ = page_voxels(session, "lesion-alpha")
    whole = session.histograms("lesion-alpha")["vois"]["alpha"]
    assert whole["d70_gy"] == pytest.approx(DOSE_GY, rel=1e-6)
    place = np.argwhere(voxels)
    half = voxels.copy()
    half[: int(np.median(place[:, 0]))] = 0
    grid = grid_of(session, "lesion-alpha")
    sent = session.histograms("lesion-alpha", voxels=half.tobytes(order="F"), grid=grid)["vois"]["alpha"]
    assert sent["volume_ml"] / whole["volume_ml"] == pytest.approx(half.sum() / voxels.sum(), rel=0.01)
    nothing = session.histograms("lesion-alpha", voxels=bytes(voxels.size), grid=grid)
    assert nothing == {"vois": {"alpha": None}}
    # Nothing is saved by asking.
    assert page_voxels(session, "lesion-alpha")[0].sum() == voxels.sum()
    with pytest.raises(RequestError, match="on another grid") as refused:
        session.histograms("lesion-alpha", voxels=half.tobytes(order="F"), grid="another")
    assert refused.value.status == 422


def test_a_plan_from_changed_masks_is_a_draft_until_they_are_signed(session):
    assert unreviewed_masks(session.reviewed()) == ()
    voxels, sha256 = page_voxels(session, "lesion-alpha")
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    told = save(session, "lesion-alpha", voxels, sha256)
    products = session.reviewed()
    (line,) = unreviewed_masks(products)
    assert line.startswith("alpha: changed by Dr. A on ") and line.endswith(", not signed")
    alpha = products.lesions[0]
    assert alpha.labels.array.sum() == (voxels > 0).sum()
    session.sign("lesion-alpha", "verified", reviewer="Dr. B", if_match=told["sha256"], comment="")
    products = session.reviewed()
    assert unreviewed_masks(products) == ()
    assert "version 2 of the review" in products.lesions[0].origin and "verified by Dr. B" in products.lesions[0].origin
    session.sign("lesion-alpha", "rejected", reviewer="Dr. B", if_match=told["sha256"], comment="")
    assert unreviewed_masks(session.reviewed())[0].startswith("alpha: rejected by Dr. B")


def test_an_automatic_mask_is_a_draft_until_it_is_signed(plan_folder, reviewed_case):
    from dataclasses import replace

    found = replace(reviewed_case.liver, automatic="a network", quality_flags=("cut off above",))
    session = Session(plan_folder, replace(reviewed_case, liver=found), lambda products, on_step: None)
    assert unreviewed_masks(session.reviewed()) == ("liver: segmented automatically by a network, not verified",)
    sha256 = session.describe_mask("liver")["sha256"]
    session.sign("liver", "rejected", reviewer="Dr. B", if_match=sha256, comment="")
    assert unreviewed_masks(session.reviewed())[0].startswith("liver: rejected by Dr. B")
    session.sign("liver", "verified", reviewer="Dr. B", if_match=sha256, comment="")
    products = session.reviewed()
    assert unreviewed_masks(products) == ()
    assert (products.liver.automatic, products.liver.quality_flags) == (None, ())


def test_territories_follow_a_changed_liver_unless_they_were_reviewed(session):
    voxels, sha256 = page_voxels(session, "liver")
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    save(session, "liver", voxels, sha256)
    assert session.reviewed().territories is None
    voxels, sha256 = page_voxels(session, "territories")
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    save(session, "territories", voxels, sha256)
    divided = session.reviewed().territories
    assert (np.asarray(divided.labels.array) > 0).sum() == (voxels > 0).sum()
    assert divided.draft.startswith("changed by Dr. A")


def test_a_second_browser_can_not_overwrite_the_first(session):
    voxels, sha256 = page_voxels(session, "liver")
    save(session, "liver", np.zeros_like(voxels), sha256, by="Dr. C")
    with pytest.raises(RequestError, match=r"saved by Dr\. C meanwhile") as refused:
        save(session, "liver", voxels, sha256)
    assert refused.value.status == 412


def test_while_the_plan_is_made_nothing_is_saved(plan_folder, reviewed_case):
    go = threading.Event()

    def replan(products, on_step):
        on_step("dose")
        go.wait(20)

    session = Session(plan_folder, reviewed_case, replan)
    voxels, sha256 = page_voxels(session, "liver")
    session.replanning.start()
    try:
        for work in (lambda: save(session, "liver", voxels, sha256), session.replanning.start):
            with pytest.raises(RequestError, match="planning is in progress") as refused:
                work()
            assert refused.value.status == 409
        with pytest.raises(RequestError, match="planning is in progress"):
            session.sign("liver", "verified", reviewer="Dr. B", if_match=sha256, comment="")
        for _ in range(200):
            if session.replanning.progress.message == "dose":
                break
            time.sleep(0.01)
        assert session.replanning.progress.state == "running"
    finally:
        go.set()
        session.replanning.wait()
    assert session.replanning.progress.state == "done"
    assert save(session, "liver", voxels, sha256)["state"] == "given"


def test_a_plan_that_fails_says_why(plan_folder, reviewed_case):
    def replan(products, on_step):
        raise ComputationError("the liver lies\noutside")

    session = Session(plan_folder, reviewed_case, replan)
    session.replanning.start()
    session.replanning.wait()
    assert (session.replanning.progress.state, session.replanning.progress.message) == (
        "failed",
        "the liver lies outside",
    )


def test_masks_and_dose_are_carried_between_the_frames(plan_folder, moved_case):
    session = Session(plan_folder, moved_case, lambda products, on_step: None)
    plan = session.describe()
    assert [(scene["frame"], scene["compare"]) for scene in plan["scenes"]] == [
        ("diagnostic", False),
        ("activity", True),
    ]
    warped = np.asarray(image(session.warped_mask_bytes("liver", "1")).dataobj)
    sent = image(session.warped_mask_bytes("liver", "1"))
    centroid = np.argwhere(warped).mean(0) @ sent.affine[:3, :3].T + sent.affine[:3, 3]
    assert np.abs(centroid * [-1, -1, 1] - case.CENTRE_MM).max() < 0.6
    # The scene ends where the warped liver does, not at the rim of the CT.
    assert warped.sum() * session.scenes["1"].geometry.voxel_volume_ml == pytest.approx(case.ball_ml(52), rel=0.02)
    assert np.prod(session.scenes["1"].geometry.shape) < 0.8 * np.prod(session.scenes["1"].grid.shape)
    # In the frame where it was drawn the dose is the plan's, warped back.
    dose = image(session.dose_bytes("0"))
    step_gy = float(bytes(dose.header["descrip"]).split()[0])
    assert (np.asarray(dose.dataobj)[page_voxels(session, "liver")[0] > 0] * step_gy).mean() == pytest.approx(DOSE_GY)


def test_the_other_image_lies_right_after_the_registration_and_wrong_before(plan_folder, moved_case):
    session = Session(plan_folder, moved_case, lambda products, on_step: None)
    here = np.asarray(image(session.image_bytes("1")).dataobj, np.float32)
    before, after = (
        np.asarray(image(session.other_image_bytes("1", registered=registered)).dataobj, np.float32)
        for registered in (False, True)
    )
    body = (here > -200) & (after > -1000) & (before > -1000)

    def wrong(other):
        return np.mean(np.abs(here - other)[body] > 60)

    assert wrong(after) < 0.5 * wrong(before), (wrong(after), wrong(before))
    for key in ("0", "9"):
        with pytest.raises(RequestError):
            session.other_image_bytes(key, registered=True)


def test_an_affine_registration_bends_no_line_and_a_field_bends_as_it_says(plan_folder, moved_case):
    from dataclasses import replace

    session = Session(plan_folder, moved_case, lambda products, on_step: None)
    straight = session.deformation("1")
    assert np.abs(bend(straight, session)).max() < 0.02
    grid = session.scenes["1"].geometry
    field = np.zeros((*grid.shape, 3), np.float32)
    middle = np.asarray(grid.shape) // 2
    field[middle[0], middle[1], middle[2]] = (5.0, 0.0, 0.0)
    bent = replace(
        moved_case.registration,
        transform=spatial.DisplacementField(spatial_smooth(field), grid),
    )
    session = Session(plan_folder, replace(moved_case, registration=bent), lambda products, on_step: None)
    lines = session.deformation("1")
    moved = np.abs(bend(lines, session)) @ np.ones(3)
    nearest = np.unravel_index(np.argmax(moved), moved.shape)
    expected = (np.asarray(lines["shape"]) - 1) / 2
    assert np.abs(np.asarray(nearest) - expected).max() <= 1


def spatial_smooth(field):
    from scipy import ndimage

    return ndimage.gaussian_filter(field, (6, 6, 6, 0)) * 4000


def bend(lines, session):
    """How far each point of the lattice is from where it lies unbent, in voxels."""
    shape = session.scenes["1"].geometry.shape
    axes = [np.linspace(0, n - 1, count) for n, count in zip(shape, lines["shape"], strict=True)]
    still = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return np.asarray(lines["voxels"]).reshape(*lines["shape"], 3) - still


@pytest.mark.slow
def test_a_folder_that_holds_no_plan_is_refused(tmp_path, reviewed_case):
    with pytest.raises(ImageFormatError, match=r"results\.json: cannot be read"):
        Session(tmp_path, reviewed_case, lambda products, on_step: None)
    with pytest.raises(ConfigError, match="its steps are not complete; create a plan first"):
        Session(tmp_path, StepResults(), lambda products, on_step: None)
