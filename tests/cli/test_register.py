import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from sirtjax import dicom, formats, io, registration
from sirtjax.registration import RegistrationResult, Stage, Status
from sirtjax.spatial import AffineTransform, DisplacementField, transform_points, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, Volume

REFERENCE = Geometry.from_axes((40, 34, 26), spacing_mm=(5.0, 5.5, 6.0), origin_mm=(-100.0, -90.0, 0.0))
FLOATING = Geometry.from_axes((44, 36, 30), spacing_mm=(4.5, 5.0, 5.0), origin_mm=(-95.0, -85.0, 5.0))
FINE = Geometry.from_axes((80, 60, 60), spacing_mm=(2.5, 3.0, 2.5), origin_mm=(-95.0, -85.0, 5.0))
SHIFT_MM = np.array([6.0, -4.0, 8.0])
LIVER_MM, LESION_MM, KIDNEY_MM = np.array([0.0, 0.0, 75.0]), np.array([-15.0, 5.0, 70.0]), np.array([62.0, 30.0, 60.0])


def image(geometry, shift_mm, *, unit="HU"):
    world = voxel_centres_mm(geometry) - shift_mm
    liver = (((world - LIVER_MM) / [50, 40, 38]) ** 2).sum(-1) <= 1
    values = np.where(liver, 60.0, -80.0) + 20 * np.sin(world[..., 0] / 9)
    return Volume(values.astype(np.float32), geometry, unit=unit)


def drawn(geometry, shift_mm):
    """Liver 1 with a lesion 2 drawn over it, and a kidney 5 beside it: one label map as drawing programs save it."""
    world = voxel_centres_mm(geometry) - shift_mm
    labels = ((((world - LIVER_MM) / [50, 40, 38]) ** 2).sum(-1) <= 1).astype(np.uint8)
    labels[np.linalg.norm(world - KIDNEY_MM, axis=-1) <= 20] = 5
    labels[np.linalg.norm(world - LESION_MM, axis=-1) <= 14] = 2
    return labels


def write_labels(path, array, geometry, names=()):
    io.write_nifti(path, LabelMap(array, geometry, names=tuple(names)))


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    for side, geometry, shift_mm in (("ref", REFERENCE, 0.0), ("flo", FLOATING, SHIFT_MM)):
        io.write_nifti(folder / f"{side}.nii.gz", image(geometry, shift_mm))
        labels = drawn(geometry, shift_mm)
        write_labels(folder / f"{side}_labels.nii.gz", labels, geometry)
        write_labels(folder / f"{side}_liver.nii.gz", (labels > 0).astype(np.uint8), geometry, [(1, "Liver")])
    (folder / "points.csv").write_text("name,x,y,z\nhilum,1.5,2,60\nclip,-3,4,55\n")
    (folder / "moved.csv").write_text("x, y, z\n7.5, -2, 68\n3, 0, 63\n")
    return folder


@pytest.fixture
def engine(monkeypatch):
    """Stands in for the optimisation: the true shift as its answer, and what it was asked."""
    from sirtjax.cli import register as verb
    from sirtjax.registration._inputs import guiding_masks

    asked = SimpleNamespace(status=Status.SUCCESS, calls=0)

    def register(reference, floating, **given):
        _, _, notes = guiding_masks(given["reference_masks"], given["floating_masks"], given["config"])
        vars(asked).update(given, reference=reference, floating=floating, calls=asked.calls + 1)
        box = Geometry.from_axes((8, 8, 8), spacing_mm=(20.0, 20.0, 20.0), origin_mm=LIVER_MM - 70)
        matrix = np.eye(4)
        matrix[:3, 3] = SHIFT_MM
        u = np.zeros((*box.shape, 3), np.float32)
        u[2:6, 2:6, 2:6, 0] = 1.0
        return RegistrationResult(
            transform=DisplacementField(u, box, matrix), affine=AffineTransform(matrix), status=asked.status,
            notes=(*notes, "a note of the engine"), folding_fraction=0.0, config=given["config"],
            stages=(Stage(name="affine", losses={"total": np.array([1.0, 0.5])}),),
            quality={"start": {"dsc liver": 0.7}, "affine": {"dsc liver": 0.9}, "final": {"dsc liver": 0.95}},
        )  # fmt: skip

    monkeypatch.setattr(registration, "register", register)
    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    return asked


def masks_of(patient, *more):
    return ("--ref-labels", patient / "ref_labels.nii.gz", "--flo-labels", patient / "flo_labels.nii.gz", *more)


NAMES = ("--label-names", "1=liver,2=lesion1,5=kidney")


def test_it_writes_a_whole_folder(run, patient, engine, tmp_path):
    out = tmp_path / "out"
    done = run("register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", out, *masks_of(patient), *NAMES)
    assert done.code == 0
    assert {path.name for path in out.iterdir()} == {
        "transform.h5", "warped.nii.gz", "warped_labels.nii.gz", "result.json", "report.html", ".sirtjax-files"
    }  # fmt: skip
    assert "preset cnn-lm: both sides have the liver and lesion1, kidney" in done.err
    assert "0.95" in done.out and "success" in done.out and "a note of the engine" in done.err
    # transform.h5 is the transform, inside the box and outside it
    points = np.array([[0.0, 0.0, 75.0], [300.0, 0.0, 0.0]])
    read = io.read_transform(out / "transform.h5", reference=REFERENCE)
    np.testing.assert_allclose(transform_points(read, points), points + SHIFT_MM + [[1, 0, 0], [0, 0, 0]], atol=1e-3)
    # warped.nii.gz is the floating image on the reference's grid
    warped = io.read_nifti(out / "warped.nii.gz").volume
    assert warped.unit == "HU" and warped.geometry.matches(REFERENCE)
    true = image(REFERENCE, 0.0).array
    middle = (slice(14, 26), slice(12, 22), slice(9, 17))
    assert np.abs(np.asarray(warped.array)[middle] - true[middle]).mean() < 6
    # and its labels: the lesion stays on top of the liver that includes it
    labels = formats.read_masks(out / "warped_labels.nii.gz")
    assert set(labels) == {"liver", "lesion1", "kidney"}
    lesion, found = drawn(REFERENCE, 0.0) == 2, labels["lesion1"].mask("lesion1")
    assert 2 * (lesion & found).sum() / (lesion.sum() + found.sum()) > 0.8


def test_the_record_says_where_the_result_comes_from(run, patient, engine, tmp_path):
    out = tmp_path / "out"
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", out, *masks_of(patient), *NAMES, "--json",
        "--set", "weights.image=0.25", "--seed", 7,
    )  # fmt: skip
    record = json.loads((out / "result.json").read_text())
    assert json.loads(done.out) == record
    assert record["status"] == "success" and record["quality"]["final"] == {"dsc liver": 0.95}
    assert record["config"]["weights"]["image"] == 0.25
    source = record["provenance"]
    assert source["preset"] == "cnn-lm" and source["seed"] == 7 == engine.seed
    assert source["inputs"]["reference"]["sha256"] == io.file_sha256(patient / "ref.nii.gz")
    assert source["inputs"]["floating labels 1"] == {
        "file": "flo_labels.nii.gz", "sha256": io.file_sha256(patient / "flo_labels.nii.gz")
    }  # fmt: skip
    assert set(source["seconds"]) == {"reading", "registration", "images"}
    assert str(patient) not in (out / "result.json").read_text() + (out / "report.html").read_text()


def test_a_label_drawn_in_the_liver_is_no_hole_in_it(run, patient, engine, tmp_path):
    common = ("register", patient / "ref.nii.gz", patient / "flo.nii.gz", *masks_of(patient), *NAMES, "--no-report")
    done = run(*common, "-o", tmp_path / "a")
    assert "the liver includes lesion1, contoured inside it in the same label map" in done.err
    whole = drawn(REFERENCE, 0.0)
    np.testing.assert_array_equal(engine.reference_masks["liver"].mask("liver"), (whole == 1) | (whole == 2))
    np.testing.assert_array_equal(engine.reference_masks["kidney"].mask("kidney"), whole == 5)
    assert not (tmp_path / "a" / "report.html").exists()
    run(*common, "-o", tmp_path / "b", "--keep-holes")
    np.testing.assert_array_equal(engine.reference_masks["liver"].mask("liver"), whole == 1)


@pytest.mark.parametrize(
    ("chosen", "preset", "why"),
    [
        (("--masks", "liver"), "cnn", "both sides have the liver"),
        (("--masks", "lesion1,Kidney"), "image", "no liver mask on both sides"),
        (("--preset", "descriptor"), "descriptor", "given"),
    ],
)
def test_the_preset_follows_what_is_there(run, patient, engine, tmp_path, chosen, preset, why):
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out", *masks_of(patient), *NAMES,
        *chosen, "--no-report",
    )  # fmt: skip
    assert done.code == 0 and f"preset {preset}: {why}" in done.err
    assert engine.config.name == preset


def test_masks_may_come_in_files_of_their_own_and_be_named(run, patient, engine, tmp_path):
    write_labels(tmp_path / "a.nii.gz", (drawn(REFERENCE, 0.0) == 2).astype(np.uint8), REFERENCE)
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out", "--no-report",
        "--ref-labels", patient / "ref_liver.nii.gz", "--ref-labels", f"{tmp_path / 'a.nii.gz'}#tumour",
        "--flo-labels", f"{patient / 'flo_labels.nii.gz'}#1=LIVER,2=Tumour,5=kidney",
    )  # fmt: skip
    assert done.code == 0
    assert set(engine.reference_masks) == {"liver", "tumour"}
    assert set(engine.floating_masks) == {"liver", "tumour", "kidney"}
    assert engine.floating_masks["tumour"].mask("tumour").any()
    assert done.err.count("only the floating image has the masks kidney: they did not guide") == 1


def test_a_mask_on_another_grid_is_resampled_and_told(run, patient, engine, tmp_path):
    write_labels(tmp_path / "fine.nii.gz", (drawn(FINE, SHIFT_MM) > 0).astype(np.uint8), FINE, [(1, "liver")])
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out", "--no-report",
        "--ref-labels", patient / "ref_liver.nii.gz", "--flo-labels", tmp_path / "fine.nii.gz",
    )  # fmt: skip
    assert done.code == 0
    assert "floating: masks on another grid were resampled to the image's: liver" in done.err
    mask = engine.floating_masks["liver"]
    assert mask.geometry.matches(FLOATING)
    assert mask.volume_ml("liver") == pytest.approx(float((drawn(FLOATING, SHIFT_MM) > 0).sum()) * 0.1125, rel=0.03)


def test_points_and_a_start_reach_the_engine(run, patient, engine, tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = [5.0, 1.0, 2.0]
    io.write_transform(tmp_path / "start.tfm", AffineTransform(matrix))
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out", *masks_of(patient), *NAMES,
        "--initial-transform", tmp_path / "start.tfm",
        "--ref-points", patient / "points.csv", "--flo-points", patient / "moved.csv",
    )  # fmt: skip
    assert done.code == 0
    np.testing.assert_allclose(engine.start.floating_from_reference, matrix)
    np.testing.assert_allclose(engine.reference_points_mm, [[1.5, 2, 60], [-3, 4, 55]])
    np.testing.assert_allclose(engine.floating_points_mm, [[7.5, -2, 68], [3, 0, 63]])
    assert "at the provided start" in (tmp_path / "out" / "report.html").read_text()
    inputs = json.loads((tmp_path / "out" / "result.json").read_text())["provenance"]["inputs"]
    assert {"initial_transform", "reference points", "floating points"} <= set(inputs)


def test_a_field_as_a_start_reaches_the_engine(run, patient, engine, tmp_path):
    field = np.zeros((*REFERENCE.shape, 3), np.float32)
    field[3:-3, 3:-3, 3:-3] = (2.0, -1.0, 3.0)
    io.write_transform(tmp_path / "field.nii.gz", DisplacementField(field, REFERENCE))
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out",
        "--initial-transform", tmp_path / "field.nii.gz",
    )  # fmt: skip
    assert done.code == 0, done.err
    np.testing.assert_allclose(engine.start.array, field, atol=1e-5)


def test_the_field_is_written_when_asked_for(run, patient, engine, tmp_path):
    out = tmp_path / "out"
    options = ("--save-displacement", "--field-grid", "reference", "--no-report")
    run("register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", out, *options)
    field = io.read_transform(out / "displacement.nii.gz", reference=REFERENCE)
    assert field.geometry.matches(REFERENCE)
    centre = np.asarray(field.array)[20, 16, 12]  # at (0, -2, 72) mm, well inside the box
    np.testing.assert_allclose(centre, SHIFT_MM + np.array([1, 0, 0]), atol=4e-3)
    np.testing.assert_allclose(np.asarray(field.array)[0, 0, 0], SHIFT_MM, atol=4e-3)
    assert not (out / "warped_labels.nii.gz").exists()


def test_the_field_on_the_lattice_is_exact_everywhere_in_the_reference(run, patient, engine, tmp_path):
    """SimpleITK takes points between the nodes where the transform itself takes them, to the image's corners."""
    out = tmp_path / "out"
    done = run(
        "register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", out, "--save-displacement", "--no-report"
    )
    assert done.code == 0
    image = sitk.ReadImage(str(out / "displacement.nii.gz"))
    field = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    transform = io.read_transform(out / "transform.h5", reference=None)
    index = np.random.default_rng(3).uniform(-0.5, np.array(REFERENCE.shape) - 0.5, (400, 3))
    points = REFERENCE.to_world(index)
    found = np.array([field.TransformPoint(point.tolist()) for point in points])
    inside = transform.geometry.to_voxel(points)
    # In the outer half voxel of its own grid a field holds its last value, which no written grid can.
    held = ((inside > -1) & (inside < 0)) | (
        (inside > np.array(transform.geometry.shape) - 1) & (inside < transform.geometry.shape)
    )
    expected = np.asarray(transform_points(transform, points))
    np.testing.assert_allclose(found[~held.any(axis=1)], expected[~held.any(axis=1)], atol=0.01)
    assert (~held.any(axis=1)).sum() > 200


def test_a_grid_without_a_field_is_refused(run, patient, engine, tmp_path):
    images = (patient / "ref.nii.gz", patient / "flo.nii.gz")
    done = run("register", *images, "-o", tmp_path / "out", "--field-grid", "lattice")
    assert done.code == 2 and "add --save-displacement" in done.err
    assert not (tmp_path / "out").exists()


def test_an_unusable_result_is_written_but_never_exits_0(run, patient, engine, tmp_path):
    engine.status = Status.FOLDED
    out = tmp_path / "out"
    done = run("register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", out, "--no-report")
    assert done.code == 1
    last = done.err.strip().splitlines()[-1]
    assert "folded: the deformation folds tissue over itself; raise weights.regularisation or" in last
    assert "for inspection, not for use" in last
    assert json.loads((out / "result.json").read_text())["status"] == "folded"
    assert (out / "transform.h5").exists()


def test_an_interrupted_run_leaves_nothing(run, patient, engine, monkeypatch, tmp_path):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(registration, "register", stop)
    done = run("register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out")
    assert done.code == 130
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_with_force(run, patient, engine, tmp_path):
    common = ("register", patient / "ref.nii.gz", patient / "flo.nii.gz", "-o", tmp_path / "out", "--no-report")
    assert run(*common).code == 0
    again = run(*common)
    assert again.code == 2 and "give --force" in again.err and engine.calls == 1
    assert run(*common, "--force").code == 0


def test_a_nifti_that_looks_like_a_ct_is_taken_for_one(run, patient, engine, tmp_path):
    ct = image(REFERENCE, 0.0, unit="1")
    ct.array[:3] = -1000
    io.write_nifti(tmp_path / "ct.nii.gz", ct)
    common = ("register", tmp_path / "ct.nii.gz", patient / "flo.nii.gz", "--no-report")
    done = run(*common, "-o", tmp_path / "a")
    assert engine.reference.unit == "HU" and "treated as CT in HU; use --ref-modality" in done.err
    run(*common, "-o", tmp_path / "b", "--ref-modality", "MR")
    assert engine.reference.unit == "1"


def test_dicom_is_read_and_its_patient_is_not_told(run, patient, engine, tmp_path):
    from datetime import datetime

    begun = datetime(2026, 3, 2, 10, 30)
    study = dicom.StudyIdentity(seed="a", patient_id="JANSSENS-42", begun=begun)
    dicom.write_dicom_series(
        image(REFERENCE, 0.0), tmp_path / "ct", modality="CT", study=study, series_description="liver", acquired=begun
    )
    out = tmp_path / "out"
    done = run("register", tmp_path / "ct", patient / "flo.nii.gz", "-o", out, "--ref-series", "liver")
    assert done.code == 0
    assert engine.reference.unit == "HU"
    entry = json.loads((out / "result.json").read_text())["provenance"]["inputs"]["reference"]
    assert entry["series_uid"] and entry["frame_of_reference_uid"] == study.frame_of_reference_uid("scanner")
    for name in ("result.json", "report.html"):
        assert "JANSSENS" not in (out / name).read_text()
    assert "JANSSENS" not in done.out + done.err


@pytest.fixture(scope="module")
def bad(patient, tmp_path_factory):
    """Files that can't be used, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    volume = image(REFERENCE, 0.0)
    flat = Geometry.from_axes((40, 34, 1), spacing_mm=(5.0, 5.5, 6.0))
    io.write_nifti(folder / "flat.nii.gz", Volume(np.asarray(volume.array)[:, :, 12:13], flat, unit="HU"))
    nan = np.array(volume.array)
    nan[3, 3, 3] = np.nan
    io.write_nifti(folder / "nan.nii.gz", volume.replace(nan))
    io.write_nifti(folder / "constant.nii.gz", volume.replace(np.full(REFERENCE.shape, 7.0, np.float32)))
    far = Geometry.from_axes((20, 20, 20), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(900.0, 0.0, 0.0))
    write_labels(folder / "far.nii.gz", np.ones((20, 20, 20), np.uint8), far, [(1, "liver")])
    write_labels(folder / "empty.nii.gz", np.zeros(REFERENCE.shape, np.uint8), REFERENCE)
    small = np.zeros(REFERENCE.shape, np.uint8)
    small[20:24, 16:20, 12:15] = 1
    write_labels(folder / "small.nii.gz", small, REFERENCE, [(1, "liver")])
    specks = np.where(drawn(REFERENCE, 0.0) > 0, 1, 0).astype(np.uint8)
    specks[20, 16, 12] = 2
    write_labels(folder / "speck.nii.gz", specks, REFERENCE, [(1, "liver"), (2, "clip")])
    write_labels(folder / "spleen.nii.gz", small, REFERENCE, [(1, "spleen")])
    matrix = np.eye(4)
    matrix[0, 3] = 5000.0
    io.write_transform(folder / "away.tfm", AffineTransform(matrix))
    io.write_transform(
        folder / "field.nii.gz", DisplacementField(np.zeros((*REFERENCE.shape, 3), np.float32), REFERENCE)
    )
    io.write_transform(
        folder / "away.nii.gz", DisplacementField(np.full((*REFERENCE.shape, 3), 5e3, np.float32), REFERENCE)
    )
    (folder / "broken.toml").write_text("a = = 1")
    return {"bad": folder, "good": patient}


REF, FLO, LABELS = "{good}/ref.nii.gz", "{good}/flo.nii.gz", "--flo-labels {good}/flo_liver.nii.gz --ref-labels "
BAD = [
    (f"{REF} {{bad}}/missing.nii.gz", "missing.nii.gz: no such file"),
    (f"{{bad}}/flat.nii.gz {FLO}", "40x34x1 voxels, a 2D image; registration needs a volume"),
    (f"{REF} {{bad}}/nan.nii.gz", "nan.nii.gz: .*NaN"),
    (f"{REF} {{bad}}/constant.nii.gz", "constant.nii.gz: every voxel is 7; choose another image"),
    (f"{REF} {FLO} {LABELS}{{bad}}/far.nii.gz", "0 of 1e.03 mL of the mask 'liver' is inside the reference image"),
    (f"{REF} {FLO} {LABELS}{{bad}}/empty.nii.gz", "empty.nii.gz: the mask is empty"),
    (
        f"{REF} {FLO} {LABELS}{{bad}}/small.nii.gz",
        'mask "liver" of the reference image has 7.9 mL, expected at least 20 mL',
    ),
    (
        f"{REF} {FLO} --label-names 1=liver,2=clip,5=kidney --ref-labels {{bad}}/speck.nii.gz "
        "--flo-labels {good}/flo_labels.nii.gz",
        'mask "clip" of the reference image has 1 voxel.s., expected at least 3',
    ),
    (
        f"{REF} {FLO} {LABELS}{{bad}}/spleen.nii.gz",
        "no name in common: the reference has spleen, the floating .* liver",
    ),
    (
        f"{REF} {FLO} {LABELS}{{good}}/ref_liver.nii.gz --masks spleen",
        "no mask is named 'spleen'; expected one of liver",
    ),
    (
        f"{REF} {FLO} {LABELS}{{good}}/ref_liver.nii.gz --ref-labels {{good}}/ref_liver.nii.gz",
        "the mask 'Liver' is also in .*ref_liver.nii.gz",
    ),
    (f"{REF} {FLO} {LABELS}{{good}}/ref_labels.nii.gz#liver", "contains the masks .*; name them as in FILE#1=liver"),
    (f"{REF} {FLO} --label-names liver", "--label-names: 'liver' is not VALUE=NAME; expected as in 1=liver"),
    (f"{REF} {FLO} --label-names 1=a,1=b", "'1=b' repeats a value or a name"),
    (f"{REF} {FLO} --preset cnn", "cnn is guided by the liver, and the reference and the floating image have no mask"),
    (f"{REF} {FLO} --preset image --config x.toml", "--preset and --config exclude each other"),
    (f"{REF} {FLO} --config {{bad}}/none.toml", "none.toml: no such file; expected a configuration"),
    (f"{REF} {FLO} --config {{bad}}/broken.toml", "broken.toml: not readable as TOML"),
    (f"{REF} {FLO} --initial-transform {{bad}}/away.tfm", "the images do not overlap with this start"),
    (f"{REF} {FLO} --initial-transform {{bad}}/away.nii.gz", "the images do not overlap with this start"),
    (
        f"{REF} {FLO} --initial-transform {{bad}}/field.nii.gz --set deformable.model=velocity",
        "cannot start from a displacement field",
    ),
    (f"{REF} {FLO} --ref-points {{good}}/points.csv", "--ref-points and --flo-points must be used together"),
    (
        f"{REF} {FLO} --ref-points {{good}}/points.csv --flo-points {{good}}/moved.csv",
        "the points do not guide the preset image: points are used only with liver masks; add --ref-labels and",
    ),
]


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=[told[:40] for _, told in BAD])
def test_bad_input_gets_one_line_and_no_folder(run, bad, engine, tmp_path, arguments, told):
    out = tmp_path / "out"
    done = run("register", *arguments.format(**bad).split(), "-o", out)
    assert done.code == 2
    line = done.err.strip().splitlines()[-1]
    assert line.startswith("sirtjax: ")
    assert re.search(told, line), line
    assert not out.exists() and engine.calls == 0


@pytest.mark.slow
def test_a_digital_patient_from_files_to_files(run, monkeypatch, tmp_path):
    """The real registration on real files: the liver of a low-dose CT found in the diagnostic CT."""
    from sirtjax.cli import register as verb
    from sirtjax.phantom import load_preset, simulate_patient, write_patient

    monkeypatch.setattr(verb, "use_compilation_cache", lambda: None)
    patient = simulate_patient(1, load_preset("small"), sessions=("diagnostic_ct", "spect"))
    folder, out = tmp_path / "patient", tmp_path / "out"
    folder.mkdir()
    write_patient(patient, folder)
    labels = [
        part
        for flag, session in (("--ref-labels", "spect"), ("--flo-labels", "diagnostic_ct"))
        for name in ("liver", "lesions")
        for part in (flag, folder / "truth" / f"{session}_{name}.nii.gz")
    ]
    images = [folder / "images" / f"{name}.nii.gz" for name in ("spect_ct", "diagnostic_ct")]
    done = run("register", *images, "-o", out, *labels)
    assert done.code == 0, done.err
    record = json.loads((out / "result.json").read_text())
    assert record["status"] == "success" and record["provenance"]["preset"] == "cnn-lm"
    assert record["quality"]["final"]["dsc liver"] > max(0.93, record["quality"]["start"]["dsc liver"])
    # Beside the program's own figures: the transform as written, against the true displacement in the liver.
    liver = patient.labels["spect"]["liver"]
    points = voxel_centres_mm(liver.geometry)[liver.mask("liver")]
    read = io.read_transform(out / "transform.h5", reference=liver.geometry)
    true = transform_points(patient.displacements["spect"], points)
    error_mm = np.linalg.norm(transform_points(read, points) - true, axis=-1)
    assert error_mm.mean() < 4.0 < np.linalg.norm(points - true, axis=-1).mean()
    assert (out / "report.html").read_text().count("<image ") == 18
