"""`sirtjax plan --dicom`: a folder of studies in, a report and DICOM objects out."""

import contextlib
import io
import json
import shutil
import subprocess

import analytic_case as case
import dicom_case
import nibabel
import numpy as np
import pydicom
import pytest

from sirtjax import dicom, workflows
from sirtjax.cli import plan
from sirtjax.cli.main import main
from sirtjax.dicom import read_rtstruct, read_seg
from sirtjax.formats import read_image
from sirtjax.io import write_nifti
from sirtjax.reports._dicom_results import _algorithms
from sirtjax.review import open_review
from sirtjax.volume import Geometry, LabelMap

OBJECTS = {
    "rtstruct-activity.dcm", "rtstruct-diagnostic.dcm", "seg-activity.dcm", "seg-diagnostic.dcm", "rtdose.dcm",
    "registration.dcm", "measurements.dcm", "report.dcm",
}  # fmt: skip
# The two studies lie alike though they don't share a frame of reference.
SAID = (*dicom_case.SAID, "--registration", "identity")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return dicom_case.write_studies(tmp_path_factory.mktemp("dicom") / "studies")


@pytest.fixture(scope="module")
def once(studies, tmp_path_factory):
    """The plan made once: what it printed on stdout and stderr, and its folder."""
    out, printed, told = tmp_path_factory.mktemp("once") / "plan", io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(told),
    ):
        patch.setattr(plan, "use_compilation_cache", lambda: None)
        with pytest.raises(SystemExit) as stopped:
            main(["plan", "--dicom", str(studies), "-o", str(out), "--json", *SAID, *dicom_case.CHOSEN])
    assert not stopped.value.code, told.getvalue()
    return printed.getvalue(), told.getvalue(), out


@pytest.mark.slow
def test_roles_are_printed_with_their_reasons(once):
    _, told, _ = once
    said = " ".join(told.split())
    assert "activity: series 3: NM 'MAA SPECT' 26x24x22 (a SPECT; of Tc-99m; it states '99mTc-MAA'; a CT shares" in said
    assert "ct: series 2: CT 'low dose CT' 26x24x22 (shares the frame of reference of series 3; same study)" in said
    assert "diagnostic: series 1: CT 'CT portal venous' 32x30x26 (masks are contoured on it (object 4)" in said
    assert "liver: object 4, RTSTRUCT, Liver (contoured on series 1, the diagnostic image; it has 'Liver')" in said
    assert "lesions: object 4, RTSTRUCT, GTV alpha, GTV beta" in said


@pytest.mark.slow
def test_the_objects_are_there_and_the_patient_is_in_them_alone(once, studies):
    printed, told, out = once
    assert {path.name for path in (out / "dicom").iterdir()} == OBJECTS
    spect = pydicom.dcmread(next((studies / "spect").glob("*.dcm")), stop_before_pixels=True)
    for name in OBJECTS:
        data = pydicom.dcmread(out / "dicom" / name)
        assert data.PatientID == dicom_case.PATIENT
        assert (data.StudyInstanceUID == spect.StudyInstanceUID) == ("diagnostic" not in name)
    for path in out.rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            assert dicom_case.PATIENT.encode() not in path.read_bytes()
    assert dicom_case.PATIENT not in printed + told
    table = json.loads(printed)
    assert table["provenance"]["inputs"]["activity"]["series_uid"] == spect.SeriesInstanceUID


@pytest.mark.slow
@pytest.mark.parametrize(("frame", "folder"), [("activity", "spect-ct"), ("diagnostic", "diagnostic")])
def test_structures_lie_where_the_organs_are(once, studies, frame, folder):
    _, _, out = once
    image = read_image(studies / folder, modality="CT")
    about = image.source
    drawn = read_rtstruct(
        out / "dicom" / f"rtstruct-{frame}.dcm",
        image.volume.geometry,
        frame_of_reference_uid=about.frame_of_reference_uid,
    )
    segments = read_seg(out / "dicom" / f"seg-{frame}.dcm")
    names = {"liver", "GTV alpha", "GTV beta"}
    assert set(drawn) == set(segments) == names
    truth = {"liver": (np.zeros(3), case.ball_ml(case.LIVER_MM))}
    truth |= {f"GTV {one.name}": (np.asarray(one.offset_mm), one.volume_ml()) for one in case.LESIONS}
    for masks in (drawn, segments):
        for name, (offset_mm, volume_ml) in truth.items():
            labels = masks[name]
            index = np.argwhere(np.asarray(labels.array) > 0)
            centre = labels.geometry.to_world(index.mean(axis=0))
            # Drawn in voxels of 4.6 x 4.8 x 5.5 mm, and carried to some of 6 x 6.5 x 7 mm.
            assert np.linalg.norm(centre - case.CENTRE_MM - offset_mm) < 1.5, name
            assert labels.volume_ml(name) == pytest.approx(volume_ml, rel=0.05 if name == "liver" else 0.2), name
    data = pydicom.dcmread(out / "dicom" / f"rtstruct-{frame}.dcm")
    assert dicom.referenced_series(out / "dicom" / f"rtstruct-{frame}.dcm") == (about.series_uid,)
    instances = {
        item.ReferencedSOPInstanceUID
        for roi in data.ROIContourSequence
        for contour in roi.ContourSequence
        for item in contour.ContourImageSequence
    }
    assert instances <= set(about.sop_instance_uids)


@pytest.mark.slow
def test_drawn_structures_are_not_told_as_a_programs(once):
    segments = pydicom.dcmread(once[2] / "dicom" / "seg-activity.dcm").SegmentSequence
    assert {segment.SegmentAlgorithmType for segment in segments} == {"MANUAL"}
    observed = pydicom.dcmread(once[2] / "dicom" / "rtstruct-activity.dcm").RTROIObservationsSequence
    rois = pydicom.dcmread(once[2] / "dicom" / "rtstruct-activity.dcm").StructureSetROISequence
    assert {roi.ROIGenerationAlgorithm for roi in rois} == {"MANUAL"} and len(observed) == len(rois)


@pytest.mark.slow
def test_segments_have_the_volumes_of_the_report(once):
    printed, _, out = once
    stated_ml = {row["name"]: row["volume_ml"] for row in json.loads(printed)["vois"]}
    segments = read_seg(out / "dicom" / "seg-activity.dcm")
    for name, labels in segments.items():
        assert labels.volume_ml(name) == pytest.approx(stated_ml[name], abs=labels.geometry.voxel_volume_ml)


def test_each_structure_says_what_drew_it():
    grid = Geometry.from_axes((4, 4, 4), spacing_mm=(2.0, 2.0, 2.0))
    mask = np.ones(grid.shape, bool)

    def voi(name, automatic):
        return workflows.Voi(name, LabelMap.from_mask(mask, grid, name=name), "activity", "x", automatic)

    products = workflows.StepResults(
        liver=voi("liver", "the model 'liver'"),
        lesions=(voi("GTV", None),),
        lungs=voi("lungs", workflows.BY_CT_NUMBERS),
    )
    names = {"liver": "liver", "GTV": "GTV-1", "lungs": "lungs", "left": "left"}
    found = {name: (one.name, one.family) for name, one in _algorithms(products, names).items()}
    assert found == {
        "liver": ("the model 'liver'", "AI"),
        "GTV-1": ("drawn by hand", "manual"),
        "lungs": ("CT numbers", "threshold"),
        "left": ("drawn by hand", "manual"),
    }


@pytest.mark.slow
def test_dose_numbers_and_document_are_those_of_the_report(once):
    printed, _, out = once
    table = json.loads(printed)
    dose = dicom.read_rtdose(out / "dicom" / "rtdose.dcm")
    nifti = nibabel.load(out / "dose.nii.gz")
    values = nifti.get_fdata()
    index = np.argwhere(values > 0.2 * values.max())
    ras = index @ nifti.affine[:3, :3].T + nifti.affine[:3, 3]
    at = np.rint(dose.geometry.to_voxel(ras * (-1, -1, 1))).astype(int)
    assert np.abs(np.asarray(dose.array)[tuple(at.T)] - values[tuple(index.T)]).max() < 1e-4 * values.max()
    report = pydicom.dcmread(out / "dicom" / "measurements.dcm")
    numbers = {round(float(element.value), 3) for element in report.iterall() if element.keyword == "NumericValue"}
    for voi in table["vois"]:
        assert any(abs(number - voi["mean_gy"]) < 1e-2 for number in numbers), voi["name"]
    document = pydicom.dcmread(out / "dicom" / "report.dcm")
    assert document.EncapsulatedDocument.startswith(b"%PDF-")
    registration = dicom.read_registration(out / "dicom" / "registration.dcm")
    assert registration.fixed_frame_uid != registration.moving_frame_uid


@pytest.mark.slow
def test_what_was_written_belongs_to_the_studies(once, studies, tmp_path):
    """Filed beside the images, every object is found and fits the series it is about."""
    _, _, out = once
    both = tmp_path / "both"
    both.mkdir()
    (both / "studies").symlink_to(studies)
    for path in [*(p for p in studies.rglob("*.dcm")), *(out / "dicom").iterdir()]:
        (both / f"{path.parent.name}-{path.name}").symlink_to(path)
    found = dicom.inspect_folder(both)
    assert (found.patients, found.problems) == (1, ())
    assert {one.kind for one in found.objects} == {"RTSTRUCT", "SEG", "RTDOSE", "REG", "SR", "DOC"}
    assert [(one.kind, one.problems) for one in found.objects if one.problems] == []


@pytest.mark.slow
@pytest.mark.clinic
def test_validators_find_no_error(once):
    _, _, out = once
    for name in sorted(OBJECTS):
        done = subprocess.run(["dciodvfy", "-new", out / "dicom" / name], capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, 1), f"{name}: dciodvfy crashed"
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], name


@pytest.fixture
def refused(run, studies, tmp_path):
    """A function that plans from the studies and looks for one line of refusal, with nothing written."""

    def check(message, *arguments, folder=studies, verb="plan"):
        done = run(verb, "--dicom", folder, "-o", tmp_path / "out", *arguments)
        lines = [line for line in done.err.splitlines() if line.startswith("sirtjax: ")]
        assert (done.code, done.out, len(lines)) == (2, "", 1), done.err
        assert message in lines[0] and "Traceback" not in done.err
        assert not (tmp_path / "out").exists()
        return done.err

    return check


def test_what_the_folder_cannot_say_is_asked_for_in_one_line(refused):
    told = refused("the folder is not sufficient; add --protocol NAME")
    for option in ("--lung-shunt spect or a fraction", "--registration deformable, network, affine, rigid"):
        assert option in told
    assert "--lesions" not in told
    both = "--strategy upper, lower or fixed; --residual-fraction NUMBER (fraction that stays in vial and catheter"
    assert both in refused("the folder is not sufficient", *SAID) and both in told
    assert "--strategy" not in refused("add --residual-fraction NUMBER", *SAID, "--set", "prescription.strategy=lower")
    told = refused("--injection TERRITORY=MBQ@TIME", "--role", "activity=3", verb="verify")
    assert "verify" not in told and "--strategy" not in told and "--residual-fraction" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--role", "spleen=1"), "--role spleen=1: expected NAME=SERIES with one of activity, ct, diagnostic"),
        (("--role", "activity"), "--role activity: expected NAME=SERIES"),
        (("--role", "activity=9"), "--role activity=9: not found (available: 1: CT 'CT portal venous'"),
        (("--role", "ct=ct"), "--role ct=ct: matches 3 (1: CT 'CT portal venous' 32x30x26; 2: CT 'low dose CT'"),
        (("--role", "liver=1"), "--role liver=1: not found (available: 4: RTSTRUCT 'planning' (Liver, GTV alpha"),
        (("--role", "liver=4:Spleen"), "object 4 has no 'Spleen'; it has Liver, GTV alpha, GTV beta"),
        (
            ("--role", "territories=4"),
            "it has Liver, GTV alpha, GTV beta; specify one, as in --role territories=4:Liver",
        ),
        (("--role", "diagnostic=none", "--role", "liver=4"), "was contoured on another series than those of the case"),
        (("--role", "lesions=none"), "--lesions FILE or --role lesions=OBJECT"),
        (("--role", "activity=1", *SAID, *dicom_case.CHOSEN), "expected NM or PT, found CT"),
        (("--activity", "spect.nii"), "--dicom and --activity exclude each other; use --role activity=NUMBER"),
        (("--diagnostic-modality", "MR"), "use --role diagnostic=NUMBER"),
    ],
)
def test_roles_that_do_not_fit(refused, arguments, message):
    refused(message, *arguments)


def test_a_case_file_and_a_folder_are_not_mixed(run, studies, tmp_path):
    done = run("plan", "case.toml", "--dicom", studies, "-o", tmp_path / "out")
    assert done.code == 2 and "case.toml: a case file and --dicom are given" in done.err
    done = run("plan", "case.toml", "--role", "ct=1", "-o", tmp_path / "out")
    assert done.code == 2 and "--role requires --dicom" in done.err


def test_series_that_fit_alike_are_asked_about(refused, tmp_path):
    folder = dicom_case.write_studies(tmp_path / "studies")
    counts = 900.0 * case.concentration(dicom_case.SPECT, 7.0)
    dicom_case.write_series(folder / "again", counts, dicom_case.SPECT, "NM", "MAA SPECT again", day=10)
    message = "2 series match the role activity equally (3: NM 'MAA SPECT"
    refused(message, *SAID, folder=folder)


def test_a_folder_without_an_activity_image(refused, tmp_path):
    folder = tmp_path / "studies"
    dicom_case.write_series(
        folder / "ct", dicom_case.anatomy_hu(dicom_case.DIAGNOSTIC), dicom_case.DIAGNOSTIC, "CT", "abdomen"
    )
    refused("no SPECT or PET with the expected nuclide found (1: CT 'abdomen'", *SAID, folder=folder)


@pytest.mark.slow
def test_answers_at_a_terminal(studies, monkeypatch):
    """A person at a terminal may change the roles, sees what is wrong with an answer, and may stop."""
    answers = iter(["ct=77", "diagnostic=none", "liver=none", "lesions=none", ""])
    monkeypatch.setattr(plan, "_can_ask", lambda: True)
    monkeypatch.setattr(plan.typer, "prompt", lambda *_, **__: next(answers))
    options = workflows.CaseOptions(
        protocol="resin-icc-bilobar", lung_shunt="0.05", strategy="upper", residual_fraction=0.01
    )

    def made(*roles, override=()):
        arguments = plan.PlanArguments(output=studies, studies=studies, role=list(roles), override=list(override))
        return plan._case("plan", arguments, options)

    case = made(override=["masks.no_lesions=true"])
    assert next(answers, "none left") == "none left"
    assert case.images.diagnostic is None and case.masks.liver is None and case.images.ct is not None
    monkeypatch.setattr(plan.typer, "prompt", lambda *_, **__: "q")
    with pytest.raises(plan.typer.Exit):
        made()
    # Nothing is asked if every role is given.
    roles = ("activity=3", "ct=2", "diagnostic=none", "liver=none", "lesions=none")
    case = made(*roles, override=["masks.no_lesions=true"])
    assert case.images.activity.series == pydicom.dcmread(next((studies / "spect").glob("*.dcm"))).SeriesInstanceUID


@pytest.mark.slow
def test_verify_from_a_pet_ct(run, tmp_path):
    folder = dicom_case.write_studies(tmp_path / "studies", activity="PT")
    done = run("verify", "--dicom", folder, "-o", tmp_path / "out", "--json", *SAID, "--injection", "whole liver=500")
    assert done.code == 0, done.err
    table = json.loads(done.out)
    assert (table["kind"], table["injections"][0]["activity_mbq"]) == ("verification", 500)
    assert "activity: series 3: PT '90Y PET'" in done.err
    assert {path.name for path in (tmp_path / "out" / "dicom").iterdir()} == OBJECTS
    assert "delivered dose" in pydicom.dcmread(tmp_path / "out" / "dicom" / "rtdose.dcm").DoseComment


@pytest.mark.slow
def test_a_subtracted_background_leaves_an_rt_dose_without_negative_values(run, tmp_path):
    """The noise around the liver is below 0 Gy in half of the voxels; the verification is written all the same."""
    folder = dicom_case.write_studies(tmp_path / "studies", activity="PT")
    noise = 8.0e3 + 2.0e3 * np.random.default_rng(1).standard_normal(dicom_case.SPECT.shape)
    shutil.rmtree(folder / "spect")
    values = np.maximum(3.0e5 * case.concentration(dicom_case.SPECT, 7.0) + noise, 0.0)
    dicom_case.write_series(folder / "spect", values, dicom_case.SPECT, "PT", "90Y PET", day=10)
    empty = np.zeros(dicom_case.SPECT.shape, bool)
    empty[1:5, 1:6, 1:20] = True
    write_nifti(tmp_path / "empty.nii", LabelMap.from_mask(empty, dicom_case.SPECT, name="background"))
    background = f'masks.background={{path="{tmp_path / "empty.nii"}", image="activity"}}'
    said = (*SAID, "--calibration", "absolute", "--injection", "whole liver=500@2026-03-12T09:00", "--set", background)
    done = run("verify", "--dicom", folder, "-o", tmp_path / "out", "--no-pdf", *said)
    assert done.code == 0, done.err
    dose = np.asarray(nibabel.load(tmp_path / "out" / "dose.nii.gz").dataobj)
    assert dose.min() < 0
    assert f"{(dose < 0).sum()} of {dose.size} voxels have a dose below 0 Gy" in done.err
    written = pydicom.dcmread(tmp_path / "out" / "dicom" / "rtdose.dcm")
    stored = written.pixel_array * float(written.DoseGridScaling)
    assert stored.max() == pytest.approx(dose.max(), rel=1e-5)
    assert stored.sum() == pytest.approx(np.maximum(dose, 0).sum(), rel=1e-3)


@pytest.mark.slow
def test_a_plan_made_again_after_the_review_has_its_objects_approved(once, tmp_path):
    folder = shutil.copytree(once[2], tmp_path / "plan")
    with contextlib.redirect_stderr(io.StringIO()):
        session = open_review(folder)
    keys = [row["key"] for row in session.describe()["masks"]]
    session.sign(keys[0], "verified", reviewer="Anna Meyer", if_match=session.describe_mask(keys[0])["sha256"])
    session.replan_now(lambda step: None)
    before = pydicom.dcmread(folder / "dicom" / "rtstruct-activity.dcm")
    assert before.ApprovalStatus == "UNAPPROVED"
    for key in keys[1:]:
        session.sign(key, "verified", reviewer="Anna Meyer", if_match=session.describe_mask(key)["sha256"])
    session.replan_now(lambda step: None)
    assert {path.name for path in (folder / "dicom").iterdir()} == OBJECTS
    after = pydicom.dcmread(folder / "dicom" / "rtstruct-activity.dcm")
    assert (after.ApprovalStatus, after.ReviewerName) == ("APPROVED", "Anna Meyer")
    assert after.SOPInstanceUID != before.SOPInstanceUID


def numbers_in(value, place=()):
    """Place -> number or truth value, in nested tables and lists."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {at: one for key, inner in items for at, one in numbers_in(inner, (*place, key)).items()}
    return {place: value} if isinstance(value, int | float) else {}


@pytest.mark.slow
def test_anonymised_studies_have_the_same_plan(once, studies, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "use_compilation_cache", lambda: None)
    options = dicom.AnonymiseOptions(characteristics=True, shift_dates=True, descriptors=True)
    dicom.anonymise_folder(studies, tmp_path / "anonymous", options=options)
    command = ["plan", "--dicom", str(tmp_path / "anonymous"), "-o", str(tmp_path / "plan")]
    with pytest.raises(SystemExit) as stopped:
        main([*command, *SAID, *dicom_case.CHOSEN])
    assert not stopped.value.code
    tables = [json.loads((folder / "results.json").read_text()) for folder in (once[2], tmp_path / "plan")]
    before, after = ({key: one for key, one in table.items() if key != "provenance"} for table in tables)
    assert numbers_in(after) == numbers_in(before) and len(numbers_in(before)) > 500
    assert [one["code"] for one in after["checks"]] == [one["code"] for one in before["checks"]]
    # "alpha" and "beta" are not in the vocabulary.
    assert [one["name"] for one in after["vois"] if one["kind"] == "lesion"] == ["GTV", "GTV, ROI 3"]
