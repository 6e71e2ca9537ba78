"""The viable part of a lesion with a necrotic core, against doses calculated by hand."""

import csv
import io
import json
import math
from importlib import resources

import analytic_case as case
import jsonschema
import numpy as np
import pdfplumber
import pytest

from sirtjax import pipeline
from sirtjax.dosimetry import get_nuclide
from sirtjax.errors import ConfigError, InputError
from sirtjax.io import file_names, write_nifti, write_transform
from sirtjax.reports import report_html, report_pdf, voi_csv
from sirtjax.reports._dicom_measurements import measurement_groups
from sirtjax.spatial import AffineTransform, rigid_matrix
from sirtjax.volume import LabelMap, Volume
from sirtjax.workflows import (
    Voi,
    load_case,
    pipeline_inputs,
    plan_case,
    result_mask,
    result_to_json,
    run_until,
    verify_case,
)
from sirtjax.workflows._viable import viable_vois

BIG = case.Lesion("alpha", (-22.0, 4.0, -4.0), 22.0, 4.0, "right")
LESIONS = (BIG, case.LESIONS[1])
# The viable shell is outside this radius; the activity is cold inside the second one and hot between, so that no
# edge of the shell meets an edge of activity.
CORE_MM, COLD_MM, COLD, MARGIN_MM = 12.0, 5.0, 0.0, 7.0
INJECTED_MBQ, LSF, DENSITY = 1000.0, 0.05, 1.05
K = get_nuclide("y90-icrp107").dose_constant_gy_kg_per_gbq
ALL = [{"territory": "whole liver", "activity_mbq": INJECTED_MBQ}]
VIABLE = {"path": "viable.nii", "image": "activity"}
MASKS = {
    "liver": {"path": "liver.nii", "image": "activity"},
    "lesions": {"path": "lesions.nii", "image": "activity", "labels": {"1": "alpha", "2": "beta"}},
}
# On the diagnostic image: a pull from the activity frame.
MOVED = rigid_matrix((0.05, -0.04, 0.12), (14.0, -9.0, 11.0), case.CENTRE_MM)
DIAGNOSTIC = case.grid(
    (66, 60, 50),
    (2.6, 2.7, 2.6),
    rotation_rad=(0, 0, 0.08),
    flips=(1, 1, -1),
    centre_mm=case.CENTRE_MM + np.array([14, -9, 11]),
)


def ball_ml(radius_mm):
    return 4 / 3 * math.pi * radius_mm**3 / 1000


SHELL_ML = ball_ml(BIG.radius_mm) - ball_ml(CORE_MM)
IN_ALPHA = BIG.ratio * (ball_ml(BIG.radius_mm) - ball_ml(COLD_MM)) + COLD * ball_ml(COLD_MM)
TOTAL = (
    ball_ml(case.LIVER_MM)
    + (BIG.ratio - 1) * ball_ml(BIG.radius_mm + MARGIN_MM)
    + (COLD - BIG.ratio) * ball_ml(COLD_MM)
    + (LESIONS[1].ratio - 1) * LESIONS[1].volume_ml(MARGIN_MM)
)
# Of the activity injected: dose = K x activity / mass, the concentration in proportion to the image.
SHELL_GY = K * INJECTED_MBQ * (1 - LSF) * BIG.ratio / (DENSITY * TOTAL)
ALPHA_GY = K * INJECTED_MBQ * (1 - LSF) * IN_ALPHA / (DENSITY * TOTAL * ball_ml(BIG.radius_mm))


def shell(points, centre_mm, inner_mm, outer_mm):
    distance = case.distance_mm(points, centre_mm)
    return (distance > inner_mm) & (distance <= outer_mm)


def write_mask(folder, inside, geometry, name="mask", file="viable.nii"):
    """One mask, or several as a label map by name."""
    if not isinstance(inside, dict):
        write_nifti(folder / file, LabelMap.from_mask(inside, geometry, name=name), force=True)
        return
    values = np.zeros(geometry.shape, np.uint8)
    for value, part in enumerate(inside.values(), start=1):
        values[part] = value
    write_nifti(folder / file, LabelMap(values, geometry, names=tuple(enumerate(inside, start=1))), force=True)


def centre(lesion):
    return case.CENTRE_MM + np.asarray(lesion.offset_mm)


@pytest.fixture(scope="module")
def points():
    return case.points_of(case.CT)[..., 0, :]


@pytest.fixture(scope="module")
def necrotic(tmp_path_factory, points):
    """A folder with a patient whose lesion alpha has a cold core, and the mask of its viable shell."""
    folder = tmp_path_factory.mktemp("necrotic")
    case.write_patient(folder, margin_mm=MARGIN_MM, lesions=LESIONS)
    fine = case.points_of(case.SPECT, 4)
    value = np.where(case.distance_mm(fine, case.CENTRE_MM) <= case.LIVER_MM + MARGIN_MM, 1.0, 0.0)
    for lesion in LESIONS:
        value[case.distance_mm(fine, centre(lesion)) <= lesion.radius_mm + MARGIN_MM] = lesion.ratio
    value[case.distance_mm(fine, centre(BIG)) <= COLD_MM] = COLD
    counts = (100 * value.mean(axis=-1)).astype(np.float32)
    write_nifti(folder / "spect.nii", Volume(counts, case.SPECT, unit="counts"), force=True)
    write_mask(folder, shell(points, centre(BIG), CORE_MM, BIG.radius_mm), case.CT)
    return folder


def loaded(folder, viable=VIABLE, **changes):
    masks = MASKS if viable is None else MASKS | {"viable": viable}
    changes = {"territories": None, "masks": masks, "injections": ALL, "prescription": {"strategy": "fixed"}} | changes
    return load_case(case.write_case(folder, **changes))


@pytest.fixture(scope="module")
def planned(necrotic):
    return plan_case(loaded(necrotic))


def test_dose_of_the_viable_part_is_that_of_the_hand_calculation(planned):
    result, maps, _ = planned
    row = result.voi("viable alpha")
    assert (row.kind, row.lesion, row.territory) == ("viable tumour", "alpha", "whole liver")
    assert row.mean_gy == pytest.approx(SHELL_GY, rel=0.01)
    assert row.multi_compartment_mean_gy == pytest.approx(SHELL_GY, rel=0.01)
    # The whole lesion has less, because of its core: the two VOIs are not the same.
    assert result.voi("alpha").mean_gy == pytest.approx(ALPHA_GY, rel=0.01)
    assert row.volume_ml == pytest.approx(SHELL_ML, rel=0.01)
    assert row.lesion_fraction == pytest.approx(SHELL_ML / BIG.volume_ml(), rel=0.01)
    assert row.d_gy["70"] == pytest.approx(SHELL_GY, rel=0.02)
    assert row.d_gy["98"] > 0.97 * row.mean_gy > 1.2 * result.voi("alpha").min_gy
    assert row.dvh_dose_gy and row.tn_ratio is None and row.biology == {}
    # By brute force over the maps of the plan: the other dose method too.
    weight = maps.occupancy["viable alpha"]
    assert row.mean_gy == pytest.approx(float(np.average(np.asarray(maps.dose_gy.array), weights=weight)), rel=1e-4)
    assert row.other_dose.mean_gy < SHELL_GY
    assert row.other_dose.d_gy["70"] > 0


def test_everything_else_is_unchanged(necrotic, planned):
    without, _, _ = plan_case(loaded(necrotic, viable=None))
    rows = {row.name: row for row in planned[0].vois}
    assert [name for name in rows if name not in {row.name for row in without.vois}] == ["viable alpha"]
    for row in without.vois:
        assert rows[row.name] == row, row.name


def test_checks_name_the_lesion_without_a_viable_part_and_small_parts(necrotic, planned, points):
    codes = {check.code: check for check in planned[0].checks}
    assert codes["SJ312"].where == "beta"
    assert "SJ311" not in codes and "SJ561" not in codes
    # A sphere of 4 mm is 8 mm across, less than twice the stated resolution of 5 mm.
    small = case.distance_mm(points, centre(LESIONS[1])) <= 4.0
    parts = {"alpha": shell(points, centre(BIG), CORE_MM, BIG.radius_mm + 3.0), "b": small}
    write_mask(necrotic, parts, case.CT, file="both.nii")
    table = {"path": "both.nii", "image": "activity", "labels": {"1": "alpha", "2": "b"}}
    result, _, _ = plan_case(loaded(necrotic, viable=table))
    codes = {check.code: check for check in result.checks}
    assert codes["SJ311"].where == "viable beta" and codes["SJ311"].limit == 10.0
    assert codes["SJ311"].value == pytest.approx(8.0, rel=0.05)
    # The outer shell of 3 mm is outside the lesion.
    outside = (ball_ml(25.0) - ball_ml(22.0)) / (ball_ml(25.0) - ball_ml(CORE_MM))
    assert codes["SJ561"].where == "viable alpha" and codes["SJ561"].value == pytest.approx(outside, abs=0.02)
    assert "SJ312" not in codes
    part_ml = ball_ml(25.0) - ball_ml(CORE_MM)
    assert result.voi("viable alpha").lesion_fraction == pytest.approx(part_ml / BIG.volume_ml(), rel=0.02)


def own(voi, direction, dose_gy, **more):
    return {"voi": voi, "direction": direction, "dose_gy": dose_gy, "source": "the test", **more}


def test_a_target_on_a_viable_part_bounds_the_activity(necrotic, planned):
    objectives = [own("tumour", "at least", 1.0), own("viable alpha", "at least", 90.0)]
    result, _, _ = plan_case(
        loaded(necrotic, injections=[], prescription={"strategy": "lower", "objectives": objectives}),
        products=planned[2],
    )
    (injection,) = result.injections
    expected_mbq = INJECTED_MBQ * 90.0 / SHELL_GY
    assert injection.lower_mbq == pytest.approx(expected_mbq, rel=0.01)
    assert injection.activity_mbq == pytest.approx(injection.lower_mbq)
    assert injection.limiting_objective == "mean(viable alpha) >= 90 Gy"
    assert result.voi("viable alpha").mean_gy == pytest.approx(90.0, rel=1e-4)
    (row,) = [row for row in result.objectives if row.voi == "viable alpha"]
    assert row.met and row.role == "viable_tumour"


@pytest.mark.slow
def test_the_differentiable_plan_has_the_same_target(necrotic, planned):
    objectives = [own("tumour", "at least", 1.0), own("viable alpha", "at least", 90.0)]
    one = loaded(necrotic, injections=[], prescription={"strategy": "lower", "objectives": objectives})
    _, _, products = plan_case(one, products=planned[2])
    inputs, config = pipeline_inputs(one, products)
    found = pipeline.run(inputs, config)
    names = [voi.name for voi in config.vois]
    assert float(found.mean_gy[names.index("viable alpha")]) == pytest.approx(90.0, rel=1e-4)
    assert float(found.lower_mbq[0]) == pytest.approx(INJECTED_MBQ * 90.0 / SHELL_GY, rel=0.01)


@pytest.mark.parametrize("voi", ["viable alpha", "viable_tumour"])
def test_a_missed_target_is_reported(necrotic, planned, voi):
    asked = own(voi, "at least", 1.1 * SHELL_GY, kind="V", volume_fraction=0.7)
    result, _, _ = plan_case(
        loaded(necrotic, prescription={"strategy": "fixed", "objectives": [asked]}), products=planned[2]
    )
    (row,) = [row for row in result.objectives if row.voi == "viable alpha"]
    assert not row.met and row.value_gy == pytest.approx(SHELL_GY, rel=0.02)
    assert any(check.code == "SJ401" and "viable alpha" in check.where for check in result.checks)


@pytest.mark.slow
def test_a_verification_evaluates_it_next_to_the_plan(necrotic, planned):
    prescription = {"strategy": "fixed", "objectives": [own("viable alpha", "at least", 0.9 * SHELL_GY)]}
    plan, _, products = plan_case(loaded(necrotic, prescription=prescription), products=planned[2])
    (necrotic / "results.json").write_text(json.dumps(result_to_json(plan)))
    less = [{"territory": "whole liver", "activity_mbq": 0.8 * INJECTED_MBQ}]
    changes = {"plan": "results.json", "injections": less, "prescription": {"strategy": "fixed"}}
    result, _, _ = verify_case(loaded(necrotic, **changes), products=products)
    assert result.voi("viable alpha").mean_gy == pytest.approx(0.8 * SHELL_GY, rel=0.01)
    (row,) = [row for row in result.objectives if row.voi == "viable alpha"]
    assert row.planned_met and not row.met
    assert any(check.code == "SJ404" and "viable alpha" in check.where for check in result.checks)
    # A verification without the mask cannot evaluate the target of the plan, and names the VOI.
    missing, _, _ = verify_case(loaded(necrotic, viable=None, **changes))
    (named,) = [check for check in missing.checks if check.code == "SJ516"]
    assert "viable alpha" in named.where


@pytest.mark.slow
def test_a_registered_plan_hands_over_its_viable_parts(necrotic, planned):
    plan, maps, _ = planned
    out = necrotic / "plan"
    (out / "masks").mkdir(parents=True)
    (out / "results.json").write_text(json.dumps(result_to_json(plan)))
    write_nifti(out / "dose.nii.gz", maps.dose_gy)
    files = file_names(maps.occupancy)
    for name in maps.occupancy:
        write_nifti(out / "masks" / f"{files[name]}.nii.gz", result_mask(maps, name))
    masks = {"liver": MASKS["liver"]}
    changes = {"plan": "plan/results.json", "plan_registration": {"method": "identity"}, "masks": masks}
    result, _, _ = verify_case(loaded(necrotic, **changes))
    row = result.voi("viable alpha")
    assert (row.kind, row.lesion) == ("viable tumour", "alpha")
    assert row.mean_gy == pytest.approx(SHELL_GY, rel=0.01)
    assert row.volume_ml == pytest.approx(SHELL_ML, rel=0.02)
    assert any("viable alpha" in line and "not reviewed" in line for line in result.unreviewed_masks)
    assert next(mask for mask in result.masks if mask.name == "viable alpha").state == "draft"
    assert not any(check.code == "SJ516" for check in result.checks)


@pytest.mark.slow
def test_every_output_has_the_part(planned):
    result, maps, _ = planned
    percent = f"{100 * result.voi('viable alpha').lesion_fraction:.1f}"
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(voi_csv(result)))}
    assert rows["viable alpha"]["lesion"] == "alpha" and rows["alpha"]["lesion"] == ""
    assert float(rows["viable alpha"]["lesion_fraction"]) == pytest.approx(SHELL_ML / BIG.volume_ml(), rel=0.01)
    page = report_html(result, maps)
    assert "dotted outline: viable alpha" in page
    section = page[page.index("<h2>Viable tumour</h2>") :].partition("</section>")[0]
    assert "viable alpha" in section and percent in section
    (mask,) = [one for one in result.masks if one.name == "viable alpha"]
    assert (mask.role, mask.file) == ("viable tumour", "viable.nii")
    table = result_to_json(result)
    schema = json.loads((resources.files("sirtjax.configs") / "results.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(table)))
    names = {row.name: row.name for row in result.vois}
    (group,) = [one for one in measurement_groups(result, names) if one.name == "viable alpha"]
    numbers = {one.name: one.value for one in group.measurements if one.method in (None, result.dose_method)}
    assert group.kind == "lesion"
    assert numbers["lesion fraction"] == pytest.approx(100 * SHELL_ML / BIG.volume_ml(), rel=0.01)
    assert numbers["mean dose"] == pytest.approx(SHELL_GY, rel=0.01)
    with pdfplumber.open(io.BytesIO(report_pdf(result, maps))) as pdf:
        text = "\n".join(page.extract_text() for page in pdf.pages)
    assert "Viable tumour" in text and percent in text


@pytest.mark.parametrize("warped_lesions", [False, True])
@pytest.mark.slow
def test_a_part_contoured_on_the_diagnostic_image(necrotic, planned, warped_lesions):
    back = np.linalg.inv(MOVED)
    at = case.points_of(DIAGNOSTIC)[..., 0, :] @ back[:3, :3].T + back[:3, 3]
    blank = Volume(np.zeros(DIAGNOSTIC.shape, np.float32), DIAGNOSTIC, unit="HU")
    write_nifti(necrotic / "diagnostic.nii", blank, force=True)
    write_mask(necrotic, shell(at, centre(BIG), CORE_MM, BIG.radius_mm), DIAGNOSTIC, file="moved.nii")
    case.write_labels(necrotic, DIAGNOSTIC, case.labels_at(at, LESIONS), LESIONS, prefix="moved-")
    write_transform(necrotic / "moved.tfm", AffineTransform(MOVED), force=True)
    images = {
        "activity": {"path": "spect.nii", "resolution_fwhm_mm": 5.0},
        "ct": {"path": "ct.nii"},
        "diagnostic": {"path": "diagnostic.nii", "modality": "CT"},
    }
    masks = dict(MASKS)
    if warped_lesions:
        masks["lesions"] = MASKS["lesions"] | {"path": "moved-lesions.nii", "image": "diagnostic"}
    masks["viable"] = {"path": "moved.nii", "image": "diagnostic", "labels": {"1": "alpha"}}
    registration = {"method": "file", "path": "moved.tfm"}
    result, _, _ = plan_case(loaded(necrotic, images=images, masks=masks, registration=registration))
    row = result.voi("viable alpha")
    assert row.mean_gy == pytest.approx(SHELL_GY, rel=0.01)
    assert row.volume_ml == pytest.approx(SHELL_ML, rel=0.015)
    assert row.lesion_fraction == pytest.approx(SHELL_ML / BIG.volume_ml(), rel=0.03)
    (change,) = [one for one in result.registration.volumes if one.name == "viable alpha"]
    assert change.kind == "viable tumour" and abs(change.change_percent) < 1.5


def refused(folder, inside, message, names=None, error=InputError, **changes):
    write_mask(folder, inside, case.CT, file="wrong.nii")
    table = {"path": "wrong.nii", "image": "activity"}
    if names is not None:
        table["labels"] = names
    with pytest.raises(error, match=message) as caught:
        plan_case(loaded(folder, viable=table, **changes))
    assert "\n" not in str(caught.value)


def test_wrong_masks_are_refused(necrotic, points):
    ring = shell(points, centre(BIG), CORE_MM, BIG.radius_mm)
    ball = case.distance_mm(points, centre(LESIONS[1])) <= 8.0
    far = case.distance_mm(points, case.CENTRE_MM + np.array([0, 36, 10])) <= 8.0
    refused(necrotic, far, r"'rim' is inside no lesion \(0 % in 'alpha' and 0 % in 'beta'\)", {"1": "rim"})
    both = ball | (case.distance_mm(points, centre(BIG)) <= 8.0)
    refused(
        necrotic,
        both,
        r"'rim' is inside no lesion \(5\d % in 'alpha' and 4\d % in 'beta'\)|5\d % in 'beta'",
        {"1": "rim"},
    )
    half = shell(points, centre(BIG), BIG.radius_mm - 2.0, BIG.radius_mm + 1.0)
    refused(necrotic, half, r"'rim' is inside no lesion \(\d+ % in 'alpha'", {"1": "rim"})
    # The name of a lesion that does not contain it.
    refused(necrotic, ring, "'beta' has the name of a lesion, but it is 100 % in 'alpha'", {"1": "beta"})
    refused(necrotic, far, "'alpha' has the name of a lesion, but it is 0 % in 'alpha'", {"1": "alpha"})
    inner = shell(points, centre(BIG), CORE_MM, 17.0)
    two = {"a": inner, "b": ring & ~inner}
    refused(necrotic, two, "both the viable part of 'alpha'; join them", {"1": "a", "2": "b"})
    refused(necrotic, np.zeros_like(ring), "wrong.nii", None)


def test_a_part_of_two_overlapping_lesions_or_an_empty_one_is_refused(necrotic, points):
    """In memory, because a label map has no overlaps."""
    core = case.distance_mm(points, centre(BIG)) <= 10.0
    lesions = [Voi(name, LabelMap.from_mask(core, case.CT, name=name), "activity", "x.nii") for name in ("one", "two")]
    write_mask(necrotic, case.distance_mm(points, centre(BIG)) <= 6.0, case.CT, file="wrong.nii")
    loaded_case = loaded(necrotic, viable={"path": "wrong.nii", "image": "activity", "labels": {"1": "rim"}})
    images = plan_images(loaded_case)
    with pytest.raises(InputError, match=r"'rim' is inside 2 lesions \(100 % in 'one' and 100 % in 'two'\)"):
        viable_vois(loaded_case, images, lesions, None)
    # Its name decides between them.
    loaded_case = loaded(necrotic, viable={"path": "wrong.nii", "image": "activity", "labels": {"1": "Viable two"}})
    (found,) = viable_vois(loaded_case, images, lesions, None)
    assert (found.name, found.lesion) == ("viable two", "two")


def plan_images(loaded_case):
    return run_until(loaded_case, "images").images


def test_names_and_tables_that_contradict_are_refused(necrotic, points):
    named = MASKS | {"lesions": MASKS["lesions"] | {"labels": {"1": "alpha", "2": "viable alpha"}}, "viable": VIABLE}
    with pytest.raises(ConfigError, match="two VOIs are named 'viable alpha'"):
        plan_case(loaded(necrotic, masks=named))
    with pytest.raises(ConfigError, match=r"`no_lesions` and \[masks.viable\] contradict each other"):
        loaded(necrotic, masks={"liver": MASKS["liver"], "no_lesions": True, "viable": VIABLE})
    with pytest.raises(ConfigError, match=r"masks\.viable is on the diagnostic image"):
        loaded(necrotic, viable=VIABLE | {"image": "diagnostic"})


@pytest.mark.parametrize(
    ("voi", "viable", "message"),
    [
        ("viable beta", VIABLE, "no VOI is called 'viable beta'"),
        ("viable alpha", None, "no VOI is called 'viable alpha'"),
        ("viable_tumour", None, r"the case has no viable tumour; add \[masks.viable\]"),
    ],
)
def test_an_objective_on_a_missing_part_is_refused(necrotic, planned, voi, viable, message):
    prescription = {"strategy": "fixed", "objectives": [own(voi, "at least", 100.0)]}
    with pytest.raises(ConfigError, match=message):
        plan_case(loaded(necrotic, viable=viable, prescription=prescription))
