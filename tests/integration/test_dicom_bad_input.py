"""What is wrong with DICOM in practice, through the command line: one line, exit code 2, nothing written."""

import resource
import shutil
import struct
import zlib

import analytic_case as case
import dicom_case
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from sirtjax import dicom
from sirtjax.cli import plan
from sirtjax.cli.main import main
from sirtjax.volume import Volume

ACTIVITY = {"path": "spect", "resolution_fwhm_mm": 5.0}
ON_DIAGNOSTIC = {
    "images": {
        "activity": ACTIVITY,
        "ct": {"path": "spect-ct"},
        "diagnostic": {"path": "diagnostic", "modality": "CT"},
    },
    "masks": {
        "liver": {"path": "rs.dcm", "image": "diagnostic", "names": ["Liver"]},
        "lesions": {"path": "rs.dcm", "image": "diagnostic", "names": ["GTV alpha", "GTV beta"]},
    },
    "territories": None,
    "registration": {"method": "identity"},
}
# More than what a read of these small series takes, less than what their headers claim.
MAX_MEGABYTES = 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return dicom_case.write_studies(tmp_path_factory.mktemp("dicom") / "studies")


@pytest.fixture
def studies(whole, tmp_path):
    """A copy of the patient's studies, to spoil."""
    shutil.copytree(whole, tmp_path / "studies")
    return tmp_path / "studies"


@pytest.fixture
def refused(studies, capsys, monkeypatch):
    """A function that runs a verb on the studies and looks for one line of refusal."""
    monkeypatch.setattr(plan, "use_compilation_cache", lambda: None)

    def check(message, *arguments, **changes):
        path = case.write_case(studies, **(ON_DIAGNOSTIC | changes))
        before = sorted(studies.parent.rglob("*"))
        given = arguments or ("plan", path, "-o", studies.parent / "out")
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(["--quiet", *map(str, given)])
        caught = capsys.readouterr()
        assert (stopped.value.code, caught.out, caught.err.count("\n")) == (2, "", 1), caught.err
        assert caught.err.startswith("sirtjax: ") and message in caught.err, caught.err
        assert dicom_case.PATIENT not in caught.err and "OTHER-0815" not in caught.err
        assert sorted(studies.parent.rglob("*")) == before
        return caught.err

    return check


def change(path, edit):
    for file in sorted(path.glob("*.dcm")) if path.is_dir() else [path]:
        data = pydicom.dcmread(file)
        edit(data)
        data.save_as(file)


def slices(folder):
    return sorted(folder.glob("*.dcm"))


def planned_by_folder(studies):
    said = (*dicom_case.SAID, *dicom_case.CHOSEN, "--registration", "identity")
    return ("plan", "--dicom", studies, "-o", studies.parent / "out", *said)


def test_unreadable_slices(refused, studies):
    file = slices(studies / "diagnostic")[3]
    file.write_bytes(file.read_bytes()[:400])
    refused(f"{file.name}: damaged DICOM file among the slices of the series (1 in all); copy it again")


def test_pixels_cut_off(refused, studies):
    file = slices(studies / "diagnostic")[3]
    file.write_bytes(file.read_bytes()[:-600])
    refused(f"{file.name}: ")


def test_a_series_of_two_patients(refused, studies):
    change(slices(studies / "diagnostic")[5], lambda data: setattr(data, "PatientID", "OTHER-0815"))
    refused("CT_0006.dcm: mixed series, this slice and CT_0001.dcm are of two patients; export the series again")


def named(name):
    """An edit after which only the name distinguishes the patient."""

    def edit(data):
        data.PatientName, data.PatientID, data.PatientBirthDate = name, "", ""

    return edit


def test_a_series_of_two_names(refused, studies):
    change(studies / "diagnostic", named("OTHER-0815^Anna"))
    change(slices(studies / "diagnostic")[0], named(""))
    change(slices(studies / "diagnostic")[5], named("OTHER-0815^Karl"))
    # In one series and frame of reference, spellings of a name differ. Dates of birth do not.
    for number, born in ((1, "19400101"), (5, "19500101")):
        change(slices(studies / "diagnostic")[number], lambda data, born=born: setattr(data, "PatientBirthDate", born))
    refused("CT_0006.dcm: mixed series, this slice and CT_0002.dcm are of two patients; export the series again")


def test_a_series_in_two_frames_of_reference(refused, studies):
    change(slices(studies / "spect-ct")[2], lambda data: setattr(data, "FrameOfReferenceUID", generate_uid()))
    refused("CT_0003.dcm: mixed series, this slice and CT_0001.dcm are in two frames of reference")


def test_a_folder_with_two_series(refused, studies):
    for file in slices(studies / "diagnostic"):
        shutil.copy(file, studies / "spect-ct" / f"other-{file.name}")
    refused("spect-ct: 2 series match, 1: CT 'CT portal venous' 32x30x26; 2: CT 'low dose CT' 26x24x22; choose one by")


def test_missing_slices_and_which(refused, studies):
    for number in (4, 10, 11):
        (studies / "diagnostic" / f"CT_{number:04d}.dcm").unlink()
    told = refused("3 missing: 1 between CT_0003.dcm and CT_0005.dcm, 2 between CT_0009.dcm and CT_0012.dcm; find")
    assert "slices are not evenly spaced: 16.5 mm from CT_0009.dcm" in told


def test_a_repeated_slice(refused, studies):
    file = studies / "diagnostic" / "CT_0004.dcm"
    shutil.copy(file, file.with_name("again.dcm"))
    change(file.with_name("again.dcm"), lambda data: setattr(data, "SOPInstanceUID", generate_uid()))
    refused("1 slices are at the position of another, the first at")


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_no_rescale(refused, studies, keyword):
    change(studies / "spect-ct", lambda data: delattr(data, keyword))
    refused("no RescaleSlope and RescaleIntercept, so its values are not in HU; export the series again")


@pytest.mark.parametrize("units", ["CM2", "", None])
def test_unknown_units(refused, studies, units):
    dicom_case.write_series(
        studies / "pet", case.concentration(dicom_case.SPECT, 7.0), dicom_case.SPECT, "PT", "PET", day=10
    )

    def spoil(data):
        if units is None:
            del data.Units
        else:
            data.Units = units

    change(studies / "pet", spoil)
    images = ON_DIAGNOSTIC["images"] | {"activity": {"path": "pet"}}
    refused(f"a PT image in units {units or 'that are not stated'}; expected BQML", images=images)


def test_a_ct_in_another_frame_of_reference(refused, studies):
    images = ON_DIAGNOSTIC["images"] | {"ct": {"path": "diagnostic"}}
    refused("diagnostic: the CT is in frame of reference", images=images)


def test_masks_in_another_frame_of_reference(refused, studies):
    masks = {name: table | {"image": "activity"} for name, table in ON_DIAGNOSTIC["masks"].items()}
    refused("ROI 'Liver' is contoured in frame of reference", masks=masks, accept=["MASK_SERIES"])


def test_a_structure_set_of_another_series(refused, studies):
    # A second phase of the same examination: same frame of reference, another breath.
    late = studies / "late"
    shutil.copytree(studies / "diagnostic", late)
    series = generate_uid()

    def another(data):
        data.SeriesInstanceUID, data.SOPInstanceUID = series, generate_uid()

    change(late, another)
    images = ON_DIAGNOSTIC["images"] | {"diagnostic": {"path": "late", "modality": "CT"}}
    told = refused("rs.dcm: masks.liver was contoured on another series", images=images)
    assert 'accept = ["MASK_SERIES"]' in told


@pytest.mark.parametrize("role", ["spect", "diagnostic"])
def test_two_patients_in_one_case(refused, studies, role):
    change(studies / role, lambda data: setattr(data, "PatientID", "OTHER-0815"))
    told = refused("is of another patient (ID, name, date of birth) than the activity image")
    assert 'accept = ["PATIENT_IDS"]' in told
    refused("contains studies of 2 patients (by ID, name and date of birth)", *planned_by_folder(studies))


def test_two_names_without_an_id_and_a_date_of_birth(refused, studies):
    change(studies / "spect", named(""))
    change(studies / "spect-ct", named("OTHER-0815^Anna"))
    change(studies / "diagnostic", named("OTHER-0815^Karl"))
    refused("the diagnostic image is of another patient (ID, name, date of birth) than the CT image")
    change(studies / "spect", named("OTHER-0815^Karl"))
    refused("the CT image is of another patient (ID, name, date of birth) than the activity image")


def test_two_patients_of_one_id_born_on_two_days(refused, studies):
    change(studies / "spect", lambda data: setattr(data, "PatientBirthDate", "19330405"))
    change(studies / "diagnostic", lambda data: setattr(data, "PatientBirthDate", "19440405"))
    refused("the diagnostic image is of another patient")


def test_a_dose_on_another_grid(studies, capsys):
    grid = case.grid((8, 8, 8), (6, 6, 6), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    reference = dicom.read_reference(studies / "diagnostic")
    dose = Volume(np.ones(grid.shape, np.float32), grid, unit="Gy")
    dicom.write_rtdose(studies / "dose.dcm", dose, reference)
    change(studies / "dose.dcm", lambda data: setattr(data, "ImagePositionPatient", [900.0, 900.0, 900.0]))
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", str(studies)])
    told = capsys.readouterr().out
    assert not stopped.value.code
    assert "object 4: does not overlap series 1, although it uses the same frame of reference" in told


def test_a_dose_given_as_a_mask(refused, studies):
    grid = case.grid((8, 8, 8), (6, 6, 6), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    dose = Volume(np.ones(grid.shape, np.float32), grid, unit="Gy")
    dicom.write_rtdose(studies / "dose.dcm", dose, dicom.read_reference(studies / "diagnostic"))
    masks = ON_DIAGNOSTIC["masks"] | {"liver": {"path": "dose.dcm", "image": "diagnostic"}}
    refused("dose.dcm: DICOM of modality RTDOSE; expected RTSTRUCT or SEG, or a NIfTI or NRRD mask", masks=masks)


def test_empty_structures(refused, studies):
    def without_contours(data):
        for roi in data.ROIContourSequence[:1]:
            del roi.ContourSequence

    change(studies / "rs.dcm", without_contours)
    refused("rs.dcm: ROI 'Liver' has no closed contour; check that it was contoured on this image")
    change(studies / "rs.dcm", lambda data: setattr(data, "StructureSetROISequence", []))
    refused("rs.dcm: ")


@pytest.mark.slow
def test_names_with_path_characters(studies, capsys, monkeypatch):
    """Structures and series called like paths are planned, and every file is where it belongs."""
    monkeypatch.setattr(plan, "use_compilation_cache", lambda: None)
    evil = ["../../evil liver", "/etc/../lesion", "..\\..\\GTV"]

    def rename(data):
        for item, name in zip(data.StructureSetROISequence, evil, strict=True):
            item.ROIName = name.replace("\\", "/")

    change(studies / "rs.dcm", rename)
    change(studies / "diagnostic", lambda data: setattr(data, "SeriesDescription", "../../../venous"))
    before = {path for path in studies.parent.rglob("*")}
    out = studies.parent / "out"
    roles = ("--role", "liver=4:../../evil liver", "--role", "lesions=4:/etc/../lesion,../../GTV")
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in (*planned_by_folder(studies), *roles)])
    assert not stopped.value.code, capsys.readouterr().err
    new = {path for path in studies.parent.rglob("*")} - before
    assert new and all(out == path or out.resolve() in path.resolve().parents for path in new)
    names = {path.name for path in (out / "masks").iterdir()}
    assert len(names) >= 4 and not [name for name in names if "/" in name]
    segments = pydicom.dcmread(out / "dicom" / "seg-activity.dcm").SegmentSequence
    assert {segment.SegmentLabel for segment in segments} == {"liver", "-etc-..-lesion", "-..-GTV"}


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def claim_rows(data):
    data.Rows = data.Columns = 65535


def claim_frames(data):
    data.NumberOfFrames = 2**31 - 1


def claim_both(data):
    claim_rows(data)
    claim_frames(data)


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("diagnostic", claim_rows),
        ("spect", claim_rows),
        ("spect", claim_frames),
        ("spect", claim_both),
    ],
)
def test_gigabytes_claimed_by_a_small_image(refused, studies, name, claim):
    change(studies / name, claim)
    before = peak_megabytes()
    refused("")
    assert peak_megabytes() - before < MAX_MEGABYTES


def test_gigabytes_claimed_by_a_small_segmentation(refused, studies):
    reference = dicom.read_reference(studies / "diagnostic")
    masks = dicom_case.structures(dicom_case.DIAGNOSTIC)
    kinds = {name: "liver" if name == "Liver" else "lesion" for name in masks}
    algorithm = dicom.Algorithm(name="by hand", version="1", family="manual")
    dicom.write_seg(studies / "seg.dcm", masks, reference, description="x", algorithm=algorithm, kinds=kinds)
    change(studies / "seg.dcm", claim_both)
    before = peak_megabytes()
    given = {"liver": {"path": "seg.dcm", "image": "diagnostic", "names": ["Liver"]}}
    refused("seg.dcm: ", masks=ON_DIAGNOSTIC["masks"] | given)
    assert peak_megabytes() - before < MAX_MEGABYTES


@pytest.mark.parametrize("name", ["diagnostic", "rs.dcm"])
def test_an_element_longer_than_its_file(refused, studies, name):
    file = studies / name if name == "rs.dcm" else slices(studies / name)[4]
    content = file.read_bytes()[:900] + struct.pack("<HH2sHI", 0x0029, 0x1010, b"OB", 0, 0xFFFFFFF0) + bytes(100)
    file.write_bytes(content)
    before = peak_megabytes()
    refused(f"{file.name}: ")
    assert peak_megabytes() - before < MAX_MEGABYTES


def test_a_deflated_bomb(refused, studies):
    """A file of 200 kB that unpacks to 200 MB is refused before it is unpacked."""
    file = slices(studies / "diagnostic")[4]
    data = pydicom.dcmread(file)
    del data.PixelData
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(file)
    content = file.read_bytes()
    at = 144 + int.from_bytes(content[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 200_000_000)
    with file.open("wb") as stream:
        stream.write(content[:at] + deflater.compress(zlib.decompress(content[at:], -zlib.MAX_WBITS) + element))
        for _ in range(200):
            stream.write(deflater.compress(bytes(1_000_000)))
        stream.write(deflater.flush())
    before = peak_megabytes()
    refused(f"{file.name}: ")
    assert peak_megabytes() - before < MAX_MEGABYTES


def test_gigabytes_claimed_by_a_small_nifti(refused, studies):
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float32)
    header.set_sform(np.eye(4), code=1)
    (studies / "huge.nii").write_bytes(header.binaryblock + bytes(700))
    images = {"activity": {"path": "huge.nii", "unit": "counts"}, "ct": {"path": "spect-ct"}}
    masks = {name: {"path": "huge.nii", "image": "activity"} for name in ("liver", "lesions")}
    before = peak_megabytes()
    refused("huge.nii: the header states 30000x30000x30000 voxels", images=images, masks=masks, registration=None)
    images = ON_DIAGNOSTIC["images"]
    masks = ON_DIAGNOSTIC["masks"] | {"liver": {"path": "huge.nii", "image": "activity"}}
    refused("huge.nii: the header states 30000x30000x30000 voxels", images=images, masks=masks)
    assert peak_megabytes() - before < MAX_MEGABYTES
