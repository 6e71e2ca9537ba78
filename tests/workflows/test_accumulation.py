"""The sum of several treatments: uniform doses and a known translation, brute force, and inputs that must not pass."""

import dataclasses
import json
import re
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from treatment_folder import write_sum, write_treatment

from sirtjax import io
from sirtjax.errors import ComputationError, ConfigError, GeometryError, ImageFormatError, InputError
from sirtjax.registration import RegistrationResult, Status, load_preset
from sirtjax.spatial import AffineTransform, rigid_matrix
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import _accumulation_case as tables
from sirtjax.workflows import accumulate_case, accumulation_to_json, load_accumulation

PAGE = (Path(__file__).parents[2] / "docs" / "accumulation.md").read_text(encoding="utf-8")
SCHEMA = json.loads((resources.files("sirtjax.configs") / "accumulation.schema.json").read_text())
SHAPE, SPACING = (36, 32, 28), (3.0, 3.0, 3.0)
GRID = Geometry.from_axes(SHAPE, spacing_mm=SPACING, origin_mm=(-50.0, -40.0, 10.0))
# The patient lies this much further in the second treatment (LPS, mm): no whole number of voxels.
MOVED_MM = np.array([4.4, -7.3, 5.2])
BIOLOGY = """
[biology.tumour]
alpha_beta_gy = 10.0
repair_half_time_h = 1.5
source = "written for tests"
[biology.normal_liver]
alpha_beta_gy = 2.5
repair_half_time_h = 2.5
source = "written for tests"
"""
LIMIT = '[[limits]]\nvoi = "normal liver"\nlimit_gy = 500.0\nsource = "written for tests"\n'


def ball(grid, centre_mm, radius_mm):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid.to_world(index) - np.asarray(centre_mm), axis=-1) <= radius_mm


CENTRE_MM = np.array([2.0, 6.0, 50.0])
LESION_MM = CENTRE_MM + np.array([10.0, -4.0, 6.0])


def masks(grid, shift_mm=(0.0, 0.0, 0.0)):
    shift = np.asarray(shift_mm)
    return {"liver": ball(grid, CENTRE_MM + shift, 33.0), "t1": ball(grid, LESION_MM + shift, 12.0)}


def codes(result):
    return {check.code for check in result.checks}


def shifted(grid, by_mm):
    affine = np.array(grid.affine)
    affine[:3, 3] += by_mm
    return Geometry.from_affine(grid.shape, affine)


def ramp(grid, shift_mm=(0.0, 0.0, 0.0), slope=1.5):
    """A dose that is linear in space, which every correct interpolation keeps exactly."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return 200.0 + (grid.to_world(index) - CENTRE_MM - np.asarray(shift_mm)) @ np.array([slope, 0.5, -0.7])


@pytest.fixture
def folder(tmp_path):
    """Two treatments in one frame: 60 Gy, then 40 Gy, with 100 Gy in the lesion of the second."""
    inside = masks(GRID)
    write_treatment(tmp_path / "first", np.full(SHAPE, 60.0), GRID, inside, lungs_gy=12.0)
    second = np.where(inside["t1"], 100.0, 40.0)
    write_treatment(tmp_path / "second", second, GRID, inside, lungs_gy=9.5)
    return tmp_path


def summed(path, **options):
    return accumulate_case(load_accumulation(path), **options)


# What is added


def test_uniform_doses_and_their_beds_add(folder):
    result, maps = summed(write_sum(folder, BIOLOGY + LIMIT))
    g_liver, g_tumour = 2.5 / (2.5 + 64.1) / 2.5, 1.5 / (1.5 + 64.1) / 10.0
    lesion, normal, lungs = result.voi("t1"), result.voi("normal liver"), result.voi("lungs")
    assert lesion.dose.mean_gy == pytest.approx(160.0)
    assert [one.dose.mean_gy for one in lesion.treatments] == pytest.approx([60.0, 100.0])
    assert lesion.bed.mean_gy == pytest.approx(60 + 3600 * g_tumour + 100 + 10000 * g_tumour)
    assert (normal.dose.mean_gy, normal.dose.d_gy["70"]) == pytest.approx((100.0, 100.0), rel=0.02)
    assert normal.bed.mean_gy == pytest.approx(100 + (3600 + 1600) * g_liver)
    assert [one.mean_bed_gy for one in normal.treatments] == pytest.approx([60 + 3600 * g_liver, 40 + 1600 * g_liver])
    assert normal.dose.v_percent["205"] == 0.0
    assert lungs.dose.mean_gy == pytest.approx(21.5)
    assert (lungs.volume_ml, lungs.bed, result.voi("liver").bed) == (None, None, None)
    assert set(maps.bed_gy) == {"tumour", "normal liver"}
    assert codes(result) == set()
    assert [limit.met for limit in result.limits] == [True, True]
    assert result.patient_evidence == "by the pseudonym"


def test_beds_add_by_brute_force_with_the_half_life_of_each_nuclide(folder):
    """Every voxel by NumPy in double precision; the second treatment is 166Ho."""
    rng = np.random.default_rng(5)
    doses = [rng.uniform(0, 250, SHAPE).astype(np.float32) for _ in range(2)]
    holmium = {"nuclide": "Ho-166", "nuclide_record": "ho166-icrp107", "protocol": "holmium-hcc-bilobar"}
    write_treatment(folder / "first", doses[0], GRID, masks(GRID))
    write_treatment(folder / "second", doses[1], GRID, masks(GRID), changes=holmium)
    result, maps = summed(write_sum(folder, BIOLOGY))
    halves = [64.1, 26.8]  # h, ICRP 107: 64.10 and 26.80
    for tissue, ratio, repair in (("tumour", 10.0, 1.5), ("normal liver", 2.5, 2.5)):
        expected = sum(
            d.astype(np.float64) + d.astype(np.float64) ** 2 / ratio * repair / (repair + half)
            for d, half in zip(doses, halves, strict=True)
        )
        np.testing.assert_allclose(maps.bed_gy[tissue].array, expected, rtol=2e-6)
    np.testing.assert_allclose(maps.dose_gy.array, doses[0].astype(float) + doses[1], rtol=1e-6)
    assert {check.message.split(" (")[0] for check in result.checks if check.code == "SJ544"} == {
        "different protocols",
        "different devices",
        "different nuclides",
        "different dose constants",
    }


@pytest.mark.parametrize("spacing_mm", [1.7, 3.0, 5.3])
def test_a_known_translation_on_another_grid(folder, spacing_mm):
    """A linear dose in a moved patient, on finer and coarser voxels: the sum is known in every voxel."""
    n = [int(np.ceil(size * 3.0 / spacing_mm)) + 12 for size in SHAPE]
    origin = np.array([-50.0, -40.0, 10.0]) - 6 * spacing_mm + MOVED_MM * 0.31
    grid = Geometry.from_axes(n, spacing_mm=(spacing_mm,) * 3, origin_mm=origin)
    write_treatment(folder / "first", ramp(GRID), GRID, masks(GRID))
    write_treatment(folder / "second", ramp(grid, MOVED_MM, slope=-0.9), grid, masks(grid, MOVED_MM))
    io.write_transform(folder / "there.tfm", AffineTransform(rigid_matrix((0, 0, 0), MOVED_MM, (0, 0, 0))))
    result, maps = summed(write_sum(folder, transform='method = "file"\npath = "there.tfm"'))
    inside = masks(GRID)["liver"]
    expected = (ramp(GRID) + ramp(GRID, slope=-0.9))[inside]
    np.testing.assert_allclose(np.asarray(maps.dose_gy.array)[inside], expected, rtol=1e-4)
    row = result.voi("liver").treatments[1]
    assert row.dose.mean_gy == pytest.approx(ramp(GRID, slope=-0.9)[inside].mean(), rel=1e-4)
    assert row.own_mean_gy == pytest.approx(row.dose.mean_gy, rel=0.01)  # masks of whole voxels on both grids
    found = result.treatments[1].transform
    assert found.dice > 0.93
    assert found.centroid_unregistered_mm == pytest.approx(np.linalg.norm(MOVED_MM), abs=0.3)
    assert result.treatments[1].outside_fraction < 1e-4


def test_a_fine_dose_does_not_alias_on_a_coarse_reference(tmp_path):
    """Layers of 0 and 200 Gy, thinner than the voxels of the reference: the mean and the mean BED are kept."""
    fine = Geometry.from_axes((108, 96, 84), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(-51.0, -41.0, 9.0))
    layers = np.broadcast_to(np.where(np.arange(108) % 2 == 0, 0.0, 200.0)[:, None, None], fine.shape)
    write_treatment(tmp_path / "first", np.full(SHAPE, 10.0), GRID, masks(GRID))
    write_treatment(tmp_path / "second", layers, fine, masks(fine))
    result, maps = summed(write_sum(tmp_path, BIOLOGY))
    moved = np.asarray(maps.doses_gy["second"].array)[masks(GRID)["liver"]]
    assert moved.mean() == pytest.approx(100.0, rel=0.005)
    assert (moved.min() > 60.0, moved.max() < 140.0) == (True, True)
    g = 2.5 / (2.5 + 64.1) / 2.5
    second = result.voi("normal liver").treatments[1]
    # The mean of the BEDs, 400 Gy, not the BED of the mean dose, 250 Gy.
    assert second.mean_bed_gy == pytest.approx(100 + 0.5 * 200.0**2 * g, rel=0.01)


def test_an_image_can_be_the_reference(folder):
    grid = Geometry.from_axes((60, 56, 50), spacing_mm=(2.0, 2.0, 2.2), origin_mm=(-58.0, -50.0, 2.0))
    hu = Volume(np.where(masks(grid)["liver"], 60, 0).astype(np.int16), grid, unit="HU")
    io.write_nifti(folder / "ct.nii.gz", hu)
    names = masks(grid)
    io.write_nifti(folder / "liver.nii.gz", LabelMap.from_mask(names["liver"], grid, name="liver"))
    io.write_nifti(folder / "lesions.nii.gz", LabelMap.from_mask(names["t1"], grid, name="t1"))
    reference = 'path = "ct.nii.gz"\nliver = { path = "liver.nii.gz" }\nlesions = { path = "lesions.nii.gz" }'
    result, maps = summed(write_sum(folder, reference=reference))
    assert result.reference == "ct.nii.gz"
    assert all(one.transform.method == "identity" for one in result.treatments)
    assert result.voi("t1").dose.mean_gy == pytest.approx(160.0, rel=0.06)  # edge of whole voxels of 3 mm
    assert result.voi("liver").treatments[0].dose.mean_gy == pytest.approx(60.0, rel=1e-4)
    # The part of the image around the liver, in its own voxels.
    assert maps.dose_gy.geometry.spacing_mm == pytest.approx((2.0, 2.0, 2.2))
    assert all(a < b for a, b in zip(maps.dose_gy.geometry.shape, grid.shape, strict=True))
    with pytest.raises(GeometryError, match="liver: outside the image"):
        far = LabelMap.from_mask(names["liver"], shifted(grid, (0, 0, 400)), name="liver")
        io.write_nifti(folder / "liver.nii.gz", far, force=True)
        summed(write_sum(folder, reference=reference))


# Limits


def test_cumulative_limits_that_are_exceeded_are_errors(folder):
    limits = '[[limits]]\nvoi = "normal liver"\nlimit_gy = 99.0\nsource = "board"\n'
    limits += '[[limits]]\nvoi = "normal liver"\nquantity = "bed"\nlimit_gy = 177.0\nsource = "board"\n'
    result, _ = summed(write_sum(folder, BIOLOGY + limits, top="previous_lung_gy = 28.6"))
    errors = {check.code: check for check in result.checks if check.severity == "error"}
    assert set(errors) == {"SJ540", "SJ304"}
    assert [limit.met for limit in result.limits] == [False, False, False]
    assert errors["SJ304"].value == pytest.approx(50.1)
    assert "Utrecht" in errors["SJ304"].source  # the limit of the protocol
    assert {check.where for check in result.checks if check.code == "SJ540"} == {
        "normal liver, mean dose",
        "normal liver, mean BED",
    }


def test_a_limit_of_the_file_replaces_that_of_the_protocol(folder):
    limits = '[[limits]]\nvoi = "lungs"\nlimit_gy = 20.0\nsource = "board"\n'
    result, _ = summed(write_sum(folder, limits))
    (check,) = [check for check in result.checks if check.code == "SJ304"]
    assert (check.limit, check.source) == (20.0, "board")
    assert "SJ546" in codes(result)


# What is reported


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"unreviewed_masks": ["liver: automatic"]}, "SJ547", "second is a DRAFT: liver: automatic"),
        ({"checks": [{"code": "SJ405", "severity": "error"}]}, "SJ547", "second has checks that are errors: SJ405"),
        ({"kind": "plan", "injections": []}, "SJ547", "second is a plan"),
        ({"dose_method": "kernel"}, "SJ544", "different dose methods"),
        ({"nuclide_record": "y90-thesis"}, "SJ544", "different dose constants"),
        ({"patient_id": "anonymous"}, "SJ549", "neither identifiers nor pseudonyms"),
    ],
)
def test_what_a_person_must_look_at(folder, changes, code, text):
    write_treatment(folder / "second", np.full(SHAPE, 40.0), GRID, masks(GRID), changes=changes)
    result, _ = summed(write_sum(folder, LIMIT))
    (check,) = result.checks
    assert check.code == code
    assert text in check.message
    assert bool(result.unreviewed_masks) == ("unreviewed_masks" in changes)


def test_a_liver_that_shrank_and_lesions_that_differ(folder):
    small = {"liver": ball(GRID, CENTRE_MM, 30.0), "t2": ball(GRID, LESION_MM, 9.0)}
    write_treatment(folder / "second", np.full(SHAPE, 40.0), GRID, small)
    result, _ = summed(write_sum(folder, LIMIT))
    assert codes(result) == {"SJ541", "SJ542"}
    messages = [check.message for check in result.checks if check.code == "SJ542"]
    assert "second has lesions that the reference does not have: t2" in messages[0]
    assert messages[1] == "second does not have these lesions of the reference: t1"
    (change,) = [check.value for check in result.checks if check.code == "SJ541"]
    assert change == pytest.approx((30 / 33) ** 3 - 1, abs=0.02)


def test_a_dose_map_that_misses_part_of_the_liver(folder):
    start = 9
    grid = Geometry.from_axes(
        (SHAPE[0] - start, *SHAPE[1:]), spacing_mm=SPACING, origin_mm=(-50.0 + 3.0 * start, -40.0, 10.0)
    )
    write_treatment(folder / "second", np.full(grid.shape, 40.0), grid, masks(grid))
    result, _ = summed(write_sum(folder, LIMIT))
    (check,) = [check for check in result.checks if check.code == "SJ545"]
    lost = masks(GRID)["liver"][:start].sum() / masks(GRID)["liver"].sum()
    assert check.value == pytest.approx(lost, abs=0.01)


def test_treatments_of_two_days_overlap_in_time(folder):
    path = write_sum(folder, BIOLOGY + LIMIT)
    path.write_text(path.read_text().replace("2026-05-04", "2026-03-09T08:00:00"))
    result, _ = summed(path)
    (check,) = result.checks
    assert (check.code, check.where) == ("SJ548", "first and second, 168 h apart")
    assert 0.15 < check.value < 0.2
    path.write_text(path.read_text().replace(BIOLOGY, ""))
    assert codes(summed(path)[0]) == set()  # no BED, nothing neglected


@pytest.mark.parametrize(
    ("stated", "codes_found"),
    [
        ({"record": {"treatment_date": "2026-05-05"}}, set()),
        ({"record": {"treatment_date": "2025-05-04"}}, {"SJ559"}),
        ({"provenance.case": {"injections": [{"time": "2026-05-02T09:00:00"}, {"time": None}]}}, {"SJ559"}),
        ({"provenance.case": {"injections": [{"time": "2026-05-02T09:00:00"}, {"time": "2026-05-03T09:00:00+02:00"}]}},
         set()),
        ({"record": {"treatment_date": None}, "provenance.case": {"injections": [{"time": "noon"}]}}, set()),
        ({"record": None, "provenance.case": {}}, set()),
    ],
)  # fmt: skip
def test_a_date_that_contradicts_the_results_of_its_treatment(folder, stated, codes_found):
    doses = np.full(SHAPE, 40.0)
    write_treatment(folder / "second", doses, GRID, masks(GRID), changes=stated)
    result, _ = summed(write_sum(folder, LIMIT))
    assert codes(result) == codes_found
    for check in result.checks:
        assert "second has the date 2026-05-04 in the file of the treatments and 202" in check.message


# What must not pass


def test_the_same_treatment_twice_is_refused(folder):
    for file in (folder / "first").rglob("*"):
        if file.is_file():
            target = folder / "second" / file.relative_to(folder / "first")
            target.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"'first' and 'second': the same dose \(SHA-256"):
        summed(write_sum(folder))


def test_a_verification_and_its_plan_are_one_treatment(folder):
    write_treatment(
        folder / "first", np.full(SHAPE, 60.0), GRID, masks(GRID), changes={"kind": "plan", "injections": []}
    )
    plan = {
        "provenance.inputs": {"plan": {"file": "results.json", "sha256": io.file_sha256(folder / "first/results.json")}}
    }
    write_treatment(folder / "second", np.full(SHAPE, 40.0), GRID, masks(GRID), changes=plan)
    with pytest.raises(InputError, match="'first' is the plan of the verification 'second'"):
        summed(write_sum(folder))


def test_two_verifications_of_one_image_need_a_person(folder):
    image = {"provenance.inputs": {"activity": {"file": "pet", "sha256": "ab" * 32}}}
    for name, gy in (("first", 60.0), ("second", 40.0)):
        write_treatment(folder / name, np.full(SHAPE, gy), GRID, masks(GRID), changes=image)
    with pytest.raises(InputError, match="both verifications use the same activity image"):
        summed(write_sum(folder))
    result, _ = summed(write_sum(folder, LIMIT, top='accept = ["SAME_IMAGE"]'))
    assert result.patient_evidence == "by images or masks in common"


def mark(number, key="k", name=None, born=None):
    return {"key": key, "number": number, "name": name, "born": born}


@pytest.mark.parametrize(
    ("first", "second", "evidence"),
    [
        ({"provenance.patient": mark("1")}, {"provenance.patient": mark("2")}, None),
        ({"patient_id": "P-1"}, {"patient_id": "P-2"}, None),
        # Another key: the hashes cannot be compared, the pseudonyms can.
        ({"provenance.patient": mark("1")}, {"provenance.patient": mark("2", key="other")}, "by the pseudonym"),
        # Equal identifiers overrule different pseudonyms.
        (
            {"provenance.patient": mark("1"), "patient_id": "P-1"},
            {"provenance.patient": mark("1"), "patient_id": "P-2"},
            "by the identifiers of the DICOM headers",
        ),
    ],
)
def test_treatments_of_different_patients_are_refused(folder, first, second, evidence):
    write_treatment(folder / "first", np.full(SHAPE, 60.0), GRID, masks(GRID), changes=first)
    write_treatment(folder / "second", np.full(SHAPE, 40.0), GRID, masks(GRID), changes=second)
    if evidence is not None:
        assert summed(write_sum(folder))[0].patient_evidence == evidence
        return
    with pytest.raises(InputError, match=r"different patients: their (identifiers|pseudonyms)"):
        summed(write_sum(folder))
    result, _ = summed(write_sum(folder, LIMIT, top='accept = ["PATIENT"]'))
    assert codes(result) == {"SJ549"}


def test_a_transform_of_the_wrong_direction_is_refused(folder):
    grid = shifted(GRID, MOVED_MM)
    write_treatment(folder / "second", np.full(SHAPE, 40.0), grid, masks(grid, MOVED_MM))
    wrong = AffineTransform(rigid_matrix((0, 0, 0), -MOVED_MM, (0, 0, 0)))
    io.write_transform(folder / "wrong.tfm", wrong)
    table = 'method = "file"\npath = "wrong.tfm"'
    with pytest.raises(InputError, match=r"moves its liver away from the liver .* check its direction"):
        summed(write_sum(folder, transform=table))
    with pytest.raises(InputError, match="moves its liver away"):
        summed(write_sum(folder, transform=table + '\naccept = ["POOR_AGREEMENT"]'))
    far = AffineTransform(rigid_matrix((0, 0, 0), (300.0, 0, 0), (0, 0, 0)))
    io.write_transform(folder / "wrong.tfm", far, force=True)
    with pytest.raises(GeometryError, match="its warped liver is outside the reference 'first'"):
        summed(write_sum(folder, transform=table))


def test_a_poor_position_needs_a_person(folder):
    far_mm = np.array([9.0, 0.0, -6.0])
    grid = shifted(GRID, far_mm)
    write_treatment(folder / "second", np.full(SHAPE, 40.0), grid, masks(grid, far_mm))
    with pytest.raises(InputError, match=r"have a DSC of 0\.7\d \(at least 0\.85 required\)"):
        summed(write_sum(folder))
    result, _ = summed(write_sum(folder, LIMIT, transform='method = "identity"\naccept = ["POOR_AGREEMENT"]'))
    assert "SJ543" in codes(result)


def test_identity_between_two_frames_of_reference_is_refused(folder):
    for name, uid in (("first", "1.2.3"), ("second", "1.2.4")):
        frame = {"provenance.inputs": {"activity": {"file": "pet", "frame_of_reference_uid": uid}}}
        dose = np.full(SHAPE, 60.0 if name == "first" else 40.0)
        write_treatment(folder / name, dose, GRID, masks(GRID), changes=frame)
    with pytest.raises(GeometryError, match=r"images are in frame of reference 1\.2\.4, the reference in 1\.2\.3"):
        summed(write_sum(folder))


def test_a_changed_dose_is_refused(folder):
    other = Volume(np.full(SHAPE, 41.0, np.float32), GRID, unit="Gy")
    io.write_nifti(folder / "second" / "dose.nii.gz", other, force=True)
    with pytest.raises(ImageFormatError, match=r"not the dose of results\.json"):
        summed(write_sum(folder))


def test_a_lung_dose_below_zero_is_refused(folder):
    """It would lower the cumulative lung dose of the other treatments."""
    write_treatment(folder / "second", np.full(SHAPE, 40.0), GRID, masks(GRID), lungs_gy=-20.0)
    with pytest.raises(
        ImageFormatError, match=r"not the results\.json of .* \(lung_dose_gy: .* greater than or equal to 0"
    ):
        summed(write_sum(folder))


def test_another_ct_and_a_failed_registration_are_refused(folder):
    hu = Volume(np.where(masks(GRID)["liver"], 60, 0).astype(np.int16), GRID, unit="HU")
    io.write_nifti(folder / "ct.nii.gz", hu)
    inputs = {"provenance.inputs": {"ct": {"file": "ct.nii.gz", "sha256": io.file_sha256(folder / "ct.nii.gz")}}}
    for name, gy in (("first", 60.0), ("second", 40.0)):
        write_treatment(folder / name, np.full(SHAPE, gy), GRID, masks(GRID), changes=inputs)
    path = write_sum(folder, LIMIT, transform='method = "rigid"')
    path.write_text(path.read_text().replace("\ndate", '\nct = "ct.nii.gz"\ndate'))

    def ended(status):
        result = RegistrationResult(
            transform=AffineTransform(np.eye(4)),
            affine=AffineTransform(np.eye(4)),
            config=load_preset("cnn"),
            status=status,
            stages=(),
            quality={},
            folding_fraction=None,
            notes=(),
        )
        return lambda reference, floating, guides: result

    with pytest.raises(ComputationError, match=r'accept it with treatments.transform.accept = \["CROPPED"\]'):
        summed(path, register=ended(Status.CROPPED))
    result, maps = summed(path, register=ended(Status.SUCCESS))
    assert result.treatments[1].transform.status == "success"
    assert maps.floating["second"].geometry.matches(GRID)
    path.write_text(path.read_text().replace('method = "rigid"', 'method = "rigid"\naccept = ["CROPPED"]'))
    assert "SJ108" in codes(summed(path, register=ended(Status.CROPPED))[0])
    io.write_nifti(folder / "ct.nii.gz", Volume(hu.array + np.int16(1), GRID, unit="HU"), force=True)
    with pytest.raises(InputError, match=r"not the CT of treatment 'first' \(SHA-256"):
        summed(path, register=ended(Status.SUCCESS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace('"second"\nfolder', '"First"\nfolder'), "needs a name of its own"),
        (lambda t: t.replace('treatment = "first"', 'treatment = "third"'), "no treatment is named 'third'"),
        (lambda t: t.replace('treatment = "first"', ""), "set either `treatment`"),
        (lambda t: t.replace('[treatments.transform]\nmethod = "identity"', ""), "has no `transform` to the reference"),
        (lambda t: t.replace('method = "identity"', 'method = "rigid"'), "a computed transform requires `ct`"),
        (lambda t: t.replace("limit_gy = 500.0", "limit_gy = -1"), "limits.0.limit_gy"),
        (lambda t: t.replace('source = "written for tests"', ""), "source: Field required"),
        (lambda t: t + LIMIT, "states a limit twice"),
        (lambda t: t + LIMIT.replace("limit_gy", 'quantity = "bed"\nlimit_gy'), r"requires \[biology.normal_liver\]"),
        (lambda t: t.replace("date = 2026-03-02", ""), "treatments.0.date: Field required"),
        (lambda t: t.replace("schema = 1", "schema = 1\nspacing_mm = 3"), "spacing_mm: unknown key"),
        (lambda t: t[: t.index('[[treatments]]\nname = "second"')], "at least 2 items"),
        (lambda t: t.replace('folder = "second"', 'folder = "nowhere"'), "nowhere: treatment 'second': not a folder"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(folder, change, message):
    path = write_sum(folder, LIMIT)
    path.write_text(change(path.read_text()))
    with pytest.raises(ConfigError, match=message):
        summed(path)


def test_a_protocol_that_is_not_bundled_needs_a_lung_limit(folder):
    write_treatment(folder / "second", np.full(SHAPE, 40.0), GRID, masks(GRID), changes={"protocol": "own.toml#x"})
    with pytest.raises(ConfigError, match=r"protocol 'own.toml#x' is not bundled.*voi = \"lungs\""):
        summed(write_sum(folder))


# The format and its page


def test_the_result_follows_its_schema(folder):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    result, _ = summed(write_sum(folder, BIOLOGY))
    table = json.loads(json.dumps(accumulation_to_json(result), allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(table)
    assert str(folder) not in json.dumps(table)  # folders may be named after patients
    with pytest.raises(jsonschema.ValidationError, match="extra"):
        jsonschema.Draft202012Validator(SCHEMA).validate({**table, "extra": 1})
    again = accumulation_to_json(dataclasses.replace(result, previous_lung_gy=float("nan")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(again)


def rows_of(section):
    (body,) = [part for part in re.split(r"^#+ ", PAGE, flags=re.M) if part.startswith(section + "\n")]
    return {line.split("|")[1].strip().strip("`"): line for line in body.splitlines() if line.startswith("| `")}


@pytest.mark.parametrize(
    ("section", "table"),
    [
        ("Top level", tables.Accumulation),
        ("[reference]", tables.ReferenceTable),
        ("[[treatments]]", tables.TreatmentTable),
        ("[treatments.transform]", tables.TreatmentTransformTable),
        ("[biology.tumour], [biology.normal_liver]", tables.SumTissueTable),
        ("[[limits]]", tables.SumLimitTable),
    ],
)
def test_every_key_is_on_the_page_with_its_default(section, table):
    rows = rows_of(section)
    assert set(rows) == {info.alias or name for name, info in table.model_fields.items()}
    for name, info in table.model_fields.items():
        default = rows[info.alias or name].split("|")[4].strip()
        if info.is_required():
            assert default == "no default", name
        elif info.default is None:
            assert default == "–", name


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("Top level of results.json", SCHEMA),
        ("treatments", SCHEMA["properties"]["treatments"]["items"]),
        ("treatments: transform", SCHEMA["properties"]["treatments"]["items"]["properties"]["transform"]["anyOf"][0]),
        ("vois", SCHEMA["properties"]["vois"]["items"]),
        ("vois: treatments", SCHEMA["properties"]["vois"]["items"]["properties"]["treatments"]["items"]),
        ("vois: dose and bed", SCHEMA["$defs"]["statistics"]),
        ("limits", SCHEMA["properties"]["limits"]["items"]),
    ],
)
def test_every_field_is_on_the_page(section, entry):
    assert set(rows_of(section)) == set(entry["properties"])


def test_the_example_of_the_page_is_a_valid_file(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.S)
    (tmp_path / "sum.toml").write_text(text)
    case = load_accumulation(tmp_path / "sum.toml", overrides=["previous_lung_gy=3"], unset=["biology"])
    assert [one.name for one in case.treatments] == ["right lobe", "left lobe"]
    assert (case.previous_lung_gy, case.biology.normal_liver) == (3.0, None)
    assert case.treatments[0].folder == tmp_path / "right-verification"
