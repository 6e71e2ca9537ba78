"""A plan registered to the images after treatment: a known movement, equal doses, and inputs that must not pass."""

import dataclasses
import json
import math
from functools import partial
from types import SimpleNamespace

import analytic_case as case
import numpy as np
import pytest
from scipy import stats

from sirtjax import io
from sirtjax.errors import ComputationError, ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.registration import RegistrationResult, Status, load_preset
from sirtjax.spatial import AffineTransform, rigid_matrix, transform_points
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import Hooks, load_case, plan_case, result_mask, result_to_json, verify_case
from sirtjax.workflows._before_after import _lungs, lesion_agreement
from sirtjax.workflows._before_after_record import VoiComparison

# The patient lies this much further after treatment (LPS, mm): no whole number of voxels of any grid.
MOVED_MM = np.array([7.3, -5.1, 9.4])
TILTED = (0.04, -0.03, 0.07)


def displaced(geometry, by_mm):
    affine = np.array(geometry.affine)
    affine[:3, 3] += by_mm
    return Geometry.from_affine(geometry.shape, affine)


def write_after(folder, *, activity, ct):
    """The images and masks after treatment, of the patient moved by MOVED_MM, named pet.nii, after-....nii."""
    here = displaced(activity, MOVED_MM)
    io.write_nifti(
        folder / "pet.nii", Volume(100.0 * case.concentration(activity, 7.0), here, unit="counts"), force=True
    )
    liver, lesions, sides = case.masks(ct)
    place = displaced(ct, MOVED_MM)
    ct_hu = np.where(liver, 50, 0).astype(np.int16)
    io.write_nifti(folder / "after-ct.nii", Volume(ct_hu, place, unit="HU"), force=True)
    case.write_labels(folder, place, (liver, lesions, sides), prefix="after-")


def write_plan(folder):
    """The folder of the plan as `sirtjax plan` writes it, without the reports."""
    result, maps, _ = plan_case(load_case(case.write_case(folder)))
    out = folder / "plan"
    (out / "masks").mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(result_to_json(result)))
    io.write_nifti(out / "dose.nii.gz", maps.dose_gy, force=True)
    files = io.file_names(maps.occupancy)
    for name in maps.occupancy:
        io.write_nifti(out / "masks" / f"{files[name]}.nii.gz", result_mask(maps, name), force=True)
    return result, maps


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Folder, result and maps of a plan, with the images of the moved patient and transforms in both directions."""
    folder = tmp_path_factory.mktemp("before-after")
    case.write_patient(folder)
    write_after(folder, activity=case.SPECT, ct=case.CT)
    back = rigid_matrix((0, 0, 0), tuple(-MOVED_MM), (0, 0, 0))
    io.write_transform(folder / "true.tfm", AffineTransform(back), force=True)
    io.write_transform(folder / "wrong.tfm", AffineTransform(np.linalg.inv(back)), force=True)
    return (folder, *write_plan(folder))


def after_table(folder, result, **changes):
    """The case of the verification: what was planned is delivered."""
    masks = {
        "liver": {"path": "after-liver.nii", "image": "activity"},
        "lesions": {"path": "after-lesions.nii", "image": "activity", "labels": {"1": "alpha", "2": "beta"}},
    }
    table = {
        "images": {"activity": {"path": "pet.nii", "resolution_fwhm_mm": 5.0}, "ct": {"path": "after-ct.nii"}},
        "masks": masks,
        "territories": {"path": "after-territories.nii", "image": "activity", "labels": {"1": "right", "2": "left"}},
        "plan": "plan/results.json",
        "plan_registration": {"method": "file", "path": "true.tfm"},
        "injections": [{"territory": row.territory, "activity_mbq": row.activity_mbq} for row in result.injections],
    }
    path = case.write_case(folder, **(table | changes))
    return load_case(path)


@pytest.fixture(scope="module")
def delivered(plan):
    folder, result, _ = plan
    return verify_case(after_table(folder, result))


@pytest.mark.slow
def test_the_same_dose_in_a_moved_patient_has_no_difference(plan, delivered):
    _, planned, planned_maps = plan
    result, maps, _ = delivered
    both = result.before_after
    assert {row.name for row in both.vois} == {voi.name for voi in planned.vois} | {"lungs"}
    for row in both.vois:
        assert abs(row.difference_percent) < 1e-3
        assert row.planned_met == row.delivered_met
        if row.kind != "lungs":
            assert row.delivered_d70_gy == pytest.approx(row.planned_d70_gy, rel=1e-5)
            assert row.warped_planned_gy == pytest.approx(row.delivered_gy, rel=1e-4)
            assert row.delivered_v_percent == pytest.approx(row.planned_v_percent, abs=1e-3)
    assert {(one.scope, one.passed_fraction) for one in both.gamma} == {("local", 1.0), ("global", 1.0)}
    assert all(one.voxels > 5000 for one in both.gamma)
    inside = maps.occupancy["liver"] > 0.5
    difference = np.abs(np.asarray(maps.dose_gy.array) - np.asarray(maps.planned_dose_gy.array))
    assert difference[inside].max() < 1e-3 * float(np.asarray(planned_maps.dose_gy.array).max())
    position = both.registration
    assert (position.method, position.liver_contoured, position.status) == ("file", True, None)
    assert position.dice > 0.98
    assert position.centroid_mm < 0.5
    assert position.centroid_unregistered_mm == pytest.approx(float(np.linalg.norm(MOVED_MM)), abs=0.3)


def test_a_missed_recommendation_is_no_missed_target(delivered):
    target = delivered[0].objectives[0]
    lungs = [
        dataclasses.replace(target, voi="lungs", purpose="bound", met=True, planned_met=True),
        dataclasses.replace(target, voi="lungs", purpose="goal", met=False, planned_met=False),
    ]
    row = _lungs(dataclasses.replace(delivered[0], objectives=tuple(lungs)), SimpleNamespace(lung_dose_gy=1.0))
    assert (row.planned_met, row.delivered_met) == (True, True)


@pytest.mark.slow
def test_planned_values_are_those_of_the_plan(plan, delivered):
    planned = {voi.name: voi for voi in plan[1].vois}
    for row in delivered[0].before_after.vois:
        if row.name == "lungs":
            assert row.planned_gy == plan[1].lung_dose_gy
            continue
        before = planned[row.name]
        assert (row.planned_gy, row.planned_tn_ratio) == (before.mean_gy, before.tn_ratio)
        assert (row.planned_uptake_fraction, row.planned_d70_gy) == (before.uptake_fraction, before.d_gy["70"])


@pytest.mark.slow
def test_two_lesions_are_too_few_for_an_agreement(delivered):
    agreement = delivered[0].before_after.lesions
    assert (agreement.count, agreement.bias_gy) == (2, None)
    assert agreement.note.startswith("two lesions have a planned and a delivered dose; correlation and limits")


def test_three_lesions_agree_by_the_numbers_of_scipy():
    row = partial(
        VoiComparison, difference_gy=None, difference_percent=None, planned_d70_gy=None, delivered_d70_gy=None
    )
    before, after = [100.0, 180.0, 240.0, 310.0], [112.0, 160.0, 260.0, 300.0]
    rows = [
        row(name=str(n), kind="lesion", planned_gy=one, delivered_gy=two)
        for n, (one, two) in enumerate(zip(before, after, strict=True))
    ]
    rows.append(row(name="normal liver", kind="normal liver", planned_gy=40.0, delivered_gy=400.0))
    rows.append(row(name="new", kind="lesion", planned_gy=None, delivered_gy=400.0))
    found = lesion_agreement(rows)
    difference = np.subtract(after, before)
    assert (found.count, found.note) == (4, "")
    assert found.bias_gy == pytest.approx(difference.mean())
    assert found.upper_limit_gy == pytest.approx(difference.mean() + 1.96 * difference.std(ddof=1))
    half = stats.t.ppf(0.975, 3) * difference.std(ddof=1) / math.sqrt(4)
    assert found.bias_interval_gy == pytest.approx((difference.mean() - half, difference.mean() + half))
    assert found.pearson == pytest.approx(stats.pearsonr(before, after).statistic)


@pytest.mark.slow
def test_an_oblique_grid_and_a_rotation(tmp_path):
    """The patient turned and moved, on grids of other spacing: the warped plan keeps the dose of each VOI."""
    case.write_patient(tmp_path)
    planned, _ = write_plan(tmp_path)
    about = rigid_matrix(TILTED, tuple(MOVED_MM), tuple(case.CENTRE_MM))
    activity = case.grid((60, 52, 50), (2.7, 3.1, 3.3), rotation_rad=(0.1, 0.0, -0.1), flips=(1, 1, -1))
    for name, source in (("pet", activity), ("ct", case.CT)):
        turned = Geometry.from_affine(source.shape, about @ source.affine)
        if name == "pet":
            array = Volume(100.0 * case.concentration(source, 7.0), turned, unit="counts")
            io.write_nifti(tmp_path / "pet.nii", array, force=True)
            continue
        liver, lesions, sides = case.masks(source)
        hu = Volume(np.where(liver, 50, 0).astype(np.int16), turned, unit="HU")
        io.write_nifti(tmp_path / "after-ct.nii", hu, force=True)
        case.write_labels(tmp_path, turned, (liver, lesions, sides), prefix="after-")
    pull = AffineTransform(np.linalg.inv(about))
    assert transform_points(pull, about[:3, :3] @ case.CENTRE_MM + about[:3, 3]) == pytest.approx(case.CENTRE_MM)
    io.write_transform(tmp_path / "true.tfm", pull, force=True)
    result, _, _ = verify_case(after_table(tmp_path, planned))
    both = result.before_after
    for row in both.vois:
        if row.kind in ("lesion", "normal liver"):
            assert row.warped_planned_gy == pytest.approx(row.planned_gy, rel=0.02), row.name
            assert row.delivered_gy == pytest.approx(row.planned_gy, rel=0.02), row.name
        if row.kind == "lesion":
            assert row.dice > 0.85  # whole voxels of 3 mm, radii of 9.5 and 13 mm
            assert row.centroid_mm < 1.0
    assert min(one.passed_fraction for one in both.gamma) > 0.99


@pytest.mark.slow
def test_without_masks_those_of_the_plan_are_used_as_drafts(plan):
    """Only the liver is contoured after treatment; lesions and territories come from the plan."""
    folder, planned, _ = plan
    masks = {"liver": {"path": "after-liver.nii", "image": "activity"}}
    result, _, products = verify_case(after_table(folder, planned, masks=masks, territories=None))
    (sentence,) = result.unreviewed_masks
    assert sentence.startswith("alpha, beta, territories: warped from the plan of ")
    assert sentence.endswith(", not reviewed")
    assert [mask.state for mask in result.masks] == ["given", "draft", "draft", "draft"]
    for lesion in case.LESIONS:
        assert result.voi(lesion.name).volume_ml == pytest.approx(lesion.volume_ml(), rel=0.05)  # whole voxels of 3 mm
    for row in result.before_after.vois:
        assert row.delivered_gy == pytest.approx(row.planned_gy, rel=0.02), row.name
        if row.kind == "lesion":
            assert (row.dice, row.centroid_mm) == (None, None)  # there is one mask only
    assert {voi.name for voi in products.lesions} == {"alpha", "beta"}


@pytest.mark.slow
def test_a_liver_that_is_not_contoured_is_segmented_to_check_the_position(plan):
    folder, planned, _ = plan
    table = after_table(folder, planned, masks={}, territories=None)
    with pytest.raises(ConfigError, match="no liver after treatment to check the position of the plan by"):
        verify_case(table)
    liver, _, _ = case.masks(case.CT)
    far = LabelMap.from_mask(np.roll(liver, 20, axis=0), displaced(case.CT, MOVED_MM), name="liver")
    with pytest.raises(InputError, match=r"have a DSC of 0\.\d\d \(at least 0\.85 required\)"):
        verify_case(table, hooks=Hooks(segment_liver=lambda image: far))


@pytest.mark.slow
def test_doses_by_voi_do_not_need_a_registration(plan):
    folder, planned, _ = plan
    result, maps, _ = verify_case(after_table(folder, planned, plan_registration=None))
    both = result.before_after
    assert (both.registration, both.gamma, maps.planned_dose_gy) == (None, (), None)
    assert all(abs(row.difference_percent) < 1e-3 for row in both.vois)
    assert all(row.warped_planned_gy is None for row in both.vois)


def test_a_transform_of_the_wrong_direction_is_refused(plan):
    folder, planned, _ = plan
    table = after_table(folder, planned, plan_registration={"method": "file", "path": "wrong.tfm"})
    with pytest.raises(InputError, match=r"moves the plan away from the liver .* check its direction"):
        verify_case(table)
    accepted = {"method": "file", "path": "wrong.tfm", "accept": ["POOR_AGREEMENT"]}
    with pytest.raises(InputError, match="moves the plan away"):
        verify_case(after_table(folder, planned, plan_registration=accepted))


@pytest.mark.slow
def test_a_poor_position_needs_a_person(plan):
    """Without the transform the livers are 13 mm apart."""
    folder, planned, _ = plan
    with pytest.raises(InputError, match=r"DSC of 0\.8\d? .* set plan_registration.accept = \[\"POOR_AGREEMENT\"\]"):
        verify_case(after_table(folder, planned, plan_registration={"method": "identity"}))
    accepted = {"method": "identity", "accept": ["POOR_AGREEMENT"]}
    result, _, _ = verify_case(after_table(folder, planned, plan_registration=accepted))
    (check,) = (check for check in result.checks if check.code == "SJ529")
    assert (check.severity, round(check.value, 1)) == ("warning", 0.8)
    assert min(one.passed_fraction for one in result.before_after.gamma) < 0.9


@pytest.mark.slow
def test_identity_between_two_frames_of_reference_is_refused(plan, delivered):
    folder, planned, _ = plan
    table = json.loads((folder / "plan" / "results.json").read_text())
    table["provenance"]["inputs"]["activity"]["frame_of_reference_uid"] = "1.2.3"
    (folder / "plan" / "other-frame.json").write_text(json.dumps(table))
    images = delivered[2].images
    source = dataclasses.replace(images.activity.source, frame_of_reference_uid="1.2.4")
    images = dataclasses.replace(images, activity=dataclasses.replace(images.activity, source=source))
    changed = after_table(folder, planned, plan="plan/other-frame.json", plan_registration={"method": "identity"})
    with pytest.raises(
        GeometryError, match=r"the activity image is in frame of reference 1\.2\.4, the plan in 1\.2\.3"
    ):
        verify_case(changed, products=dataclasses.replace(delivered[2], images=images))


def ended(status):
    """A registration that ends with this status, at the true transform."""

    def register(reference, floating, guides):
        return RegistrationResult(
            transform=AffineTransform(rigid_matrix((0, 0, 0), tuple(-MOVED_MM), (0, 0, 0))),
            affine=AffineTransform(np.eye(4)),
            config=load_preset("cnn"),
            status=status,
            stages=(),
            quality={},
            folding_fraction=None,
            notes=(),
        )

    return register


RIGID = {"method": "rigid", "ct": "ct.nii"}


@pytest.mark.slow
def test_a_failed_registration_is_not_used(plan):
    folder, planned, _ = plan
    table = after_table(folder, planned, plan_registration=RIGID)
    with pytest.raises(
        ComputationError, match=r"registration of the CT of the plan \(preset cnn\) has the status CROPP"
    ):
        verify_case(table, hooks=Hooks(register=ended(Status.CROPPED)))
    with pytest.raises(ComputationError, match=r'accept it with plan_registration.accept = \["CROPPED"\]'):
        verify_case(table, hooks=Hooks(register=ended(Status.CROPPED)))
    accepted = after_table(folder, planned, plan_registration=RIGID | {"accept": ["CROPPED"]})
    result, _, _ = verify_case(accepted, hooks=Hooks(register=ended(Status.CROPPED)))
    (check,) = (check for check in result.checks if check.code == "SJ108")
    assert "registration of the plan" in check.message
    assert result.before_after.registration.accepted


@pytest.mark.slow
def test_the_registration_reads_the_ct_and_the_livers_of_both(plan):
    folder, planned, _ = plan
    seen = []

    def register(reference, floating, guides):
        seen.append((reference.geometry, floating.geometry, guides.common()))
        return ended(Status.SUCCESS)(reference, floating, guides)

    result, _, _ = verify_case(after_table(folder, planned, plan_registration=RIGID), hooks=Hooks(register=register))
    ((reference, floating, common),) = seen
    assert reference.matches(displaced(case.CT, MOVED_MM))
    assert floating.matches(case.CT)
    assert common == ("liver",)
    assert result.before_after.registration.status == "success"


def test_the_ct_must_be_the_one_of_the_plan(plan):
    folder, planned, _ = plan
    table = after_table(folder, planned, plan_registration={"method": "rigid", "ct": "after-ct.nii"})
    with pytest.raises(
        InputError, match=r"after-ct\.nii: not the CT of the plan \(SHA-256 [0-9a-f]{16}, the plan states"
    ):
        verify_case(table)


def changed_plan(plan, tmp_path, change):
    """The folder of the plan with one change, next to the images after treatment."""
    folder, planned, _ = plan
    for file in folder.rglob("*"):
        if file.is_file():
            target = tmp_path / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    change(tmp_path / "plan")
    return after_table(tmp_path, planned)


def test_a_plan_without_its_dose_is_refused(plan, tmp_path):
    table = changed_plan(plan, tmp_path, lambda out: (out / "dose.nii.gz").unlink())
    with pytest.raises(ImageFormatError, match=r"dose\.nii\.gz: missing; use the folder that `sirtjax plan` or"):
        verify_case(table)


def test_a_plan_without_a_mask_is_refused(plan, tmp_path):
    table = changed_plan(plan, tmp_path, lambda out: (out / "masks" / "alpha.nii.gz").unlink())
    with pytest.raises(ImageFormatError, match=r"alpha\.nii\.gz: missing"):
        verify_case(table)


def test_the_dose_of_another_plan_is_refused(plan, tmp_path):
    def doubled(out):
        dose = io.read_nifti(out / "dose.nii.gz").volume
        io.write_nifti(out / "dose.nii.gz", Volume(2 * dose.array, dose.geometry, unit="Gy"), force=True)

    with pytest.raises(ImageFormatError, match=r"not the dose of results\.json \(SHA-256 of the voxels differs\)"):
        verify_case(changed_plan(plan, tmp_path, doubled))


def test_a_dose_in_another_frame_is_refused(plan, tmp_path):
    def shifted(out):
        dose = io.read_nifti(out / "dose.nii.gz").volume
        other = displaced(dose.geometry, (0.0, 0.0, 5.0))
        io.write_nifti(out / "dose.nii.gz", Volume(dose.array, other, unit="Gy"), force=True)

    with pytest.raises(GeometryError, match=r"dose\.nii\.gz: the dose is on the grid"):
        verify_case(changed_plan(plan, tmp_path, shifted))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"method": "rigid"}, "method = 'rigid' requires `ct`"),
        ({"method": "file"}, '`path` is allowed only with method = "file", and required there'),
        ({"method": "identity", "ct": "ct.nii"}, r"`ct`: not allowed .*--unset plan_registration.ct"),
        ({"method": "rigid", "ct": "ct.nii", "preset": "none"}, "no registration preset is named 'none'"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(plan, table, message):
    with pytest.raises(ConfigError, match=message):
        after_table(plan[0], plan[1], plan_registration=table)


def test_a_plan_registration_needs_a_plan(plan):
    with pytest.raises(ConfigError, match=r"\[plan_registration\] requires `plan`"):
        after_table(plan[0], plan[1], plan=None)
