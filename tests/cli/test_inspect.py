"""`sirtjax inspect`: what is in a folder of studies, and what is wrong with it, said without saying whose it is."""

import json
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from sirtjax.dicom import (
    RadiopharmaceuticalInfo,
    StudyIdentity,
    inspect_folder,
    read_reference,
    read_rtstruct,
    write_dicom_series,
    write_rtstruct,
)
from sirtjax.volume import Geometry, LabelMap, Volume

BEGUN = datetime(2026, 3, 2, 9)
GRID = Geometry.from_axes((6, 5, 8), spacing_mm=(2.0, 2.0, 3.0), origin_mm=(-10.0, -8.0, 90.0))


def write(folder, name, *, modality="CT", patient="SECRET-ID", seed="a", day=0, frame="scanner"):
    unit = {"CT": "HU", "MR": "1", "PT": "Bq/mL", "NM": "counts"}[modality]
    begun = BEGUN + timedelta(days=day)
    write_dicom_series(
        Volume(np.arange(240, dtype=np.float32).reshape(GRID.shape) + 300, GRID, unit=unit),
        folder / name,
        modality=modality,
        study=StudyIdentity(seed=seed, patient_id=patient, begun=begun),
        series_description=name,
        acquired=begun + timedelta(hours=1 if modality == "PT" else 0),
        frame=frame,
        duration_s=600.0 if modality in ("PT", "NM") else None,
        injection=RadiopharmaceuticalInfo(nuclide="Y-90", agent="spheres", activity_bq=1e9, at=BEGUN, half_life_s=2.3e5)
        if modality in ("PT", "NM")
        else None,
    )


def change(folder, edit, pattern="*.dcm"):
    for path in sorted(folder.glob(pattern)):
        data = pydicom.dcmread(path)
        edit(data)
        data.save_as(path)


@pytest.fixture
def studies(tmp_path):
    folder = tmp_path / "studies"
    write(folder, "abdomen")
    write(folder, "petct", seed="b", day=9, frame="pet")
    write(folder, "pet", modality="PT", seed="b", day=9, frame="pet")
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def inspected(run, studies):
    """What inspect says of the studies, as JSON; never the patient's identifiers."""

    def inspect():
        done = run("inspect", studies, "--json")
        shown = run("inspect", studies)
        assert done.code == shown.code == 0, done.err + shown.err
        assert "SECRET" not in done.out + done.err + shown.out + shown.err
        return json.loads(done.out), shown.out

    return inspect


def problems(found, number):
    return [*found["series"], *found["objects"]][number - 1]["problems"]


def test_what_is_there(inspected):
    found, shown = inspected()
    assert (found["patients"], len(found["studies"]), found["problems"]) == (1, 2, [])
    assert [study["day"] for study in found["studies"]] == ["2026-03-02", "2026-03-11"]
    assert [(one["modality"], one["description"], one["study"]) for one in found["series"]] == [
        ("CT", "abdomen", 1), ("CT", "petct", 2), ("PT", "pet", 2),
    ]  # fmt: skip
    frames = [one["frame_of_reference_uid"] for one in found["series"]]
    assert frames[1] == frames[2] != frames[0]
    assert found["series"][2]["nuclide"] == "Y-90"
    # The table breaks its title where the folder's name is long.
    assert "1 patient, 2 studies, 3 image series" in " ".join(shown.split())
    assert "Nothing is wrong that the headers tell." in shown


def test_missing_slices_and_where(inspected, studies):
    for number in (3, 6, 7):
        (studies / "abdomen" / f"CT_{number:04d}.dcm").unlink()
    found, shown = inspected()
    (problem,) = problems(found, 1)
    assert "3 missing: 1 between CT_0002.dcm and CT_0004.dcm, 2 between CT_0005.dcm and CT_0008.dcm" in problem
    assert "3 missing" in shown


def test_no_rescale_unknown_units_no_frame_of_reference(inspected, studies):
    def without_rescale(data):
        del data.RescaleSlope, data.RescaleIntercept

    change(studies / "abdomen", without_rescale)
    change(studies / "pet", lambda data: setattr(data, "Units", "CM2"))

    def without_frame(data):
        del data.FrameOfReferenceUID

    change(studies / "petct", without_frame)
    found, _ = inspected()
    assert "no RescaleSlope" in problems(found, 1)[0]
    assert "no frame of reference" in problems(found, 2)[0]
    assert "in units CM2" in problems(found, 3)[0]


def test_a_mixed_series_and_two_patients(inspected, studies):
    write(studies, "other", patient="SECRET-OTHER", seed="c", day=20)
    found, _ = inspected()
    assert found["patients"] == 2
    assert found["problems"] == ["2 patients; a case is for one patient"]
    change(studies / "abdomen", lambda data: setattr(data, "PatientID", "SECRET-OTHER"), "CT_0004.dcm")
    found, _ = inspected()
    assert "mixed series, this slice and CT_0001.dcm are of two patients" in problems(found, 1)[0]


def test_the_same_person_under_two_ids(inspected, studies):
    write(studies, "other", patient="SECRET-OTHER", seed="c", day=20)
    for folder in studies.iterdir():
        if folder.is_dir():

            def name(data):
                data.PatientName, data.PatientBirthDate = "SECRET^NAME", "19330405"

            change(folder, name)
    found, _ = inspected()
    assert (found["patients"], found["problems"]) == (1, [])


def test_damaged_files(inspected, studies, run, tmp_path):
    (studies / "abdomen" / "CT_0008.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 64)
    found, shown = inspected()
    assert found["problems"][0].startswith("1 DICOM files cannot be read, such as CT_0008.dcm")
    assert "CT_0008.dcm" in shown
    (tmp_path / "nothing").mkdir()
    for path in (tmp_path / "nothing", tmp_path / "nowhere"):
        done = run("inspect", path)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def structure_set(about, path, *, contours=True, frame=None):
    """A structure set with one ROI, drawn on the series in a folder."""
    image = pydicom.dcmread(sorted(about.glob("*.dcm"))[0], stop_before_pixels=True)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = image.StudyInstanceUID, generate_uid()
    data.PatientID, data.PatientName, data.Modality = image.PatientID, image.PatientName, "RTSTRUCT"
    data.StructureSetLabel = "organs"
    frame = frame or image.FrameOfReferenceUID
    series, study, reference, roi = Dataset(), Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = image.SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = frame, [study]
    data.ReferencedFrameOfReferenceSequence = [reference]
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "Liver", frame
    data.StructureSetROISequence = [roi]
    drawn = Dataset()
    drawn.ReferencedROINumber = 1
    contour = Dataset()
    contour.ContourGeometricType, contour.ContourData = "CLOSED_PLANAR", [0, 0, 96, 4, 0, 96, 4, 4, 96]
    drawn.ContourSequence = [contour] if contours else []
    data.ROIContourSequence = [drawn]
    data.save_as(path, enforce_file_format=True)


@pytest.mark.slow
def test_objects_and_what_they_refer_to(inspected, studies):
    structure_set(studies / "abdomen", studies / "rs.dcm")
    found, shown = inspected()
    (one,) = found["objects"]
    assert (one["number"], one["kind"], one["label"]) == (4, "RTSTRUCT", "organs")
    assert (one["refers_to"], one["names"], one["problems"]) == ([1], ["Liver"], [])
    assert "organs" in shown


def test_objects_that_fit_nothing(inspected, studies):
    structure_set(studies / "abdomen", studies / "empty.dcm", contours=False)
    structure_set(studies / "pet", studies / "wrong-frame.dcm", frame="1.2.3.4")
    write(studies, "gone", seed="d")
    structure_set(studies / "gone", studies / "lost.dcm")
    for file in (studies / "gone").iterdir():
        file.unlink()
    found, _ = inspected()
    said = {one["path"].rpartition("/")[2]: one["problems"] for one in found["objects"]}
    assert said["empty.dcm"] == ["1 of 1 structures are empty: Liver"]
    assert said["wrong-frame.dcm"] == ["is contoured in another frame of reference than series 3, which it refers to"]
    assert "refers to 1 series that is not in this folder" in said["lost.dcm"]


def test_structures_of_one_name_are_numbered_as_the_readers_number_them(studies):
    reference = read_reference(studies / "abdomen")
    inside = np.zeros(GRID.shape, bool)
    inside[2:4, 2:4, 2:5] = True
    masks = {name: LabelMap.from_mask(inside, GRID, name=name) for name in ("GTV a", "GTV b")}
    path = write_rtstruct(studies / "rs.dcm", masks, reference, label="plan")
    data = pydicom.dcmread(path)
    for roi in data.StructureSetROISequence:
        roi.ROIName = "GTV"
    data.save_as(path)
    (found,) = inspect_folder(studies).objects
    assert (found.names, found.problems) == (("GTV", "GTV (2)"), ())
    assert tuple(read_rtstruct(path, GRID)) == found.names
    data.StructureSetROISequence[1].ROINumber = 1
    data.save_as(path)
    (found,) = inspect_folder(studies).objects
    assert found.problems == ("several structures have one number, so it is unknown which contours belong to which",)
