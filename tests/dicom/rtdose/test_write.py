import re
from datetime import datetime

import cases
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom._standard_utils import check_required_attributes

from sirtjax.dicom import read_rtdose, write_rtdose
from sirtjax.errors import GeometryError, ImageFormatError, InputError, OutputError
from sirtjax.volume import Geometry, Volume

WHEN = datetime(2026, 1, 3, 10, 30)


def dose_on(geometry):
    """A dose in Gy that is another along every axis: a bell around a place off the middle, on a slope."""
    world = cases._world(geometry) - geometry.centre_mm
    bell = np.exp(-((world - np.array([-9.0, 6.0, 11.0])) ** 2 / np.array([30.0, 24.0, 38.0]) ** 2).sum(axis=-1))
    return Volume((150 * bell + 0.02 * (world[..., 0] + 80)).clip(0).astype(np.float32), geometry, unit="Gy")


def write(folder, dose, reference, **options):
    return write_rtdose(folder / "dose.dcm", dose, reference, **({"created": WHEN} | options))


def dose_at(dose, place_mm):
    """The value of the voxel that holds a place."""
    i, j, k = np.rint(dose.geometry.to_voxel(place_mm)).astype(int)
    return float(np.asarray(dose.array)[i, j, k])


@pytest.fixture(scope="module")
def dose(ct):
    return dose_on(ct.geometry)


@pytest.fixture(scope="module")
def written(dose, ct, tmp_path_factory):
    return write(tmp_path_factory.mktemp("dose"), dose, ct, comment="Y-90, local deposition")


def test_doses_come_back_to_half_a_step(written, dose):
    found = read_rtdose(written)
    assert found.unit == "Gy" and found.geometry.matches(dose.geometry, tolerance_mm=1e-6)
    half_step = float(dose.array.max()) / 65535 / 2
    np.testing.assert_allclose(found.array, dose.array, rtol=1e-6, atol=half_step * 1.001)


def test_another_program_reads_the_same_grid_and_doses(written, dose):
    """ITK's DICOM reader: grid and stored values; it does not apply DoseGridScaling, which is done here."""
    image = sitk.ReadImage(str(written))
    stored = sitk.GetArrayFromImage(image).astype(float).transpose(2, 1, 0)
    scaling = float(pydicom.dcmread(written).DoseGridScaling)
    np.testing.assert_allclose(image.GetOrigin(), dose.geometry.origin_mm)
    np.testing.assert_allclose(image.GetSpacing(), dose.geometry.spacing_mm)
    high = dose.array > 0.01 * dose.array.max()
    np.testing.assert_allclose(stored[high] * scaling, dose.array[high], rtol=1e-3)


def test_nothing_that_is_required_is_missing(written):
    dataset = pydicom.dcmread(written)
    for module in ("patient", "general-study", "rt-series", "frame-of-reference", "general-equipment"):
        check_required_attributes(dataset, module)
    for module in ("image-plane", "image-pixel", "multi-frame", "rt-dose", "sop-common"):
        check_required_attributes(dataset, module)


def test_what_the_object_says(written, ct):
    dataset = pydicom.dcmread(written)
    assert (dataset.DoseUnits, dataset.DoseType, dataset.Modality) == ("GY", "PHYSICAL", "RTDOSE")
    # Every other summation needs a plan or a treatment record, and a radionuclide therapy has none.
    assert dataset.DoseSummationType == "PLAN_OVERVIEW" and "ReferencedRTPlanSequence" not in dataset
    (overview,) = dataset.PlanOverviewSequence
    assert [i.ReferencedSOPInstanceUID for i in overview.ReferencedImageSequence] == [
        header.SOPInstanceUID for header in ct.headers
    ]
    assert (dataset.BitsAllocated, dataset.PixelRepresentation, dataset.DoseComment) == (
        16,
        0,
        "Y-90, local deposition",
    )
    assert dataset.GridFrameOffsetVector[0] == 0 and len(dataset.GridFrameOffsetVector) == dataset.NumberOfFrames == 20
    assert (dataset.FrameOfReferenceUID, dataset.StudyInstanceUID) == (ct.frame_of_reference_uid, ct.study_uid)
    assert (dataset.ContentDate, dataset.PatientID) == ("20260103", "PHANTOM-7")


@pytest.mark.parametrize("name", cases.orientations())
def test_doses_stay_in_place_in_every_orientation(name, ct, tmp_path):
    """By our reader, and by ITK's, which knows nothing of it: each voxel's place and the mean place of the dose."""
    dose = dose_on(cases.orientations()[name])
    found = read_rtdose(write(tmp_path, dose, ct))
    picture = sitk.ReadImage(str(tmp_path / "dose.dcm"))
    for voxel in ((0, 0, 0), (29, 0, 0), (0, 25, 0), (0, 0, 19), (11, 7, 5)):
        place = picture.TransformIndexToPhysicalPoint(voxel)
        np.testing.assert_allclose(found.geometry.to_world(voxel), place, atol=1e-6)
    stored = sitk.GetArrayFromImage(picture).T * float(pydicom.dcmread(tmp_path / "dose.dcm").DoseGridScaling)
    np.testing.assert_allclose(found.array, stored, rtol=1e-6)
    for voxel in ((3, 20, 9), (15, 13, 10), (22, 6, 2)):
        assert dose_at(found, dose.geometry.to_world(voxel)) == pytest.approx(dose.array[voxel], abs=0.005)
    weights = np.asarray(found.array, float)
    peak = (cases._world(found.geometry) * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
    true = np.asarray(dose.array, float)
    expected = (cases._world(dose.geometry) * true[..., None]).sum(axis=(0, 1, 2)) / true.sum()
    np.testing.assert_allclose(peak, expected, atol=0.01)


def test_a_dose_on_its_own_grid(ct, tmp_path):
    geometry = cases.axial((17, 19, 13), spacing_mm=(4.42, 4.42, 4.42), centre_mm=ct.geometry.centre_mm + 3.7)
    found = read_rtdose(write(tmp_path, dose_on(geometry), ct))
    assert found.geometry.matches(geometry, tolerance_mm=1e-6)


def test_no_dose_anywhere(ct, tmp_path):
    found = read_rtdose(write(tmp_path, Volume(np.zeros(ct.geometry.shape), ct.geometry, unit="Gy"), ct))
    assert not found.array.any()


def test_the_same_dose_is_the_same_object(written, dose, ct, tmp_path):
    again = write(tmp_path, dose, ct, comment="Y-90, local deposition")
    assert again.read_bytes() == written.read_bytes()
    other = write(tmp_path, dose.replace(dose.array * np.float32(1.01)), ct, force=True)
    assert pydicom.dcmread(other).SOPInstanceUID != pydicom.dcmread(written).SOPInstanceUID
    with pytest.raises(OutputError, match="exists already"):
        write(tmp_path, dose, ct)


def test_doses_that_cannot_be_written(dose, ct, tmp_path):
    with pytest.raises(InputError, match="must be in Gy, the volume is in Bq/mL; compute the dose"):
        write(tmp_path, Volume(dose.array, dose.geometry, unit="Bq/mL"), ct)
    with pytest.raises(InputError, match="the dose has invalid values: down to -1 Gy"):
        write(tmp_path, dose.replace(np.where(dose.array > 100, -1, dose.array)), ct)
    with pytest.raises(InputError, match="the dose has invalid values: NaN or infinite"):
        write(tmp_path, dose.replace(np.where(dose.array > 100, np.nan, dose.array)), ct)
    sheared = dose.geometry.affine
    sheared[1, 2] = 1.5
    with pytest.raises(GeometryError, match=r"not at right angles .*; resample"):
        write(tmp_path, Volume(dose.array, Geometry.from_affine(dose.geometry.shape, sheared), unit="Gy"), ct)
    away = cases.axial((5, 5, 5), centre_mm=ct.geometry.centre_mm + 800)
    with pytest.raises(GeometryError, match=r"does not overlap the CT series .* provide the series"):
        write(tmp_path, dose_on(away), ct)
    with pytest.raises(InputError, match=r"dose comment .* has 65 characters; expected 1 to 64"):
        write(tmp_path, dose, ct, comment="x" * 65)
    assert not list(tmp_path.iterdir())


def edited(written, tmp_path, edit):
    dataset = pydicom.dcmread(written)
    edit(dataset)
    dataset.save_as(tmp_path / "edited.dcm")
    return tmp_path / "edited.dcm"


def test_32_bit_doses_of_other_programs(written, dose, tmp_path):
    def edit(dataset):
        scaling = float(dose.array.max()) / (2**32 - 1)
        stored = np.rint(np.asarray(dose.array, float) / scaling).astype("<u4").transpose(2, 1, 0)
        dataset.BitsAllocated = dataset.BitsStored = 32
        dataset.HighBit = 31
        dataset.PixelData, dataset.DoseGridScaling = stored.tobytes(), scaling

    np.testing.assert_allclose(read_rtdose(edited(written, tmp_path, edit)).array, dose.array, rtol=1e-6, atol=1e-6)


def test_frames_that_run_against_the_normal(written, dose, tmp_path):
    """Some programs count frames from the other end: negative offsets, and the frames themselves the other way."""

    def edit(dataset):
        stored = dataset.pixel_array[::-1]
        dataset.ImagePositionPatient[2] = float(dataset.ImagePositionPatient[2]) + 6.0 * 19
        dataset.GridFrameOffsetVector = [-6.0 * k for k in range(20)]
        dataset.PixelData = stored.tobytes()

    found = read_rtdose(edited(written, tmp_path, edit))
    voxel = (11, 14, 13)
    assert dose_at(found, dose.geometry.to_world(voxel)) == pytest.approx(dose.array[voxel], abs=0.005)


def test_offsets_that_are_positions(written, dose, tmp_path):
    def edit(dataset):
        start = float(dataset.ImagePositionPatient[2])
        dataset.GridFrameOffsetVector = [start + 6.0 * k for k in range(20)]

    assert read_rtdose(edited(written, tmp_path, edit)).geometry.matches(dose.geometry)


def test_a_single_frame(written, tmp_path):
    def edit(dataset):
        dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 20]
        del dataset.GridFrameOffsetVector, dataset.NumberOfFrames, dataset.FrameIncrementPointer

    assert read_rtdose(edited(written, tmp_path, edit)).geometry.spacing_mm[2] == 6


def put(keyword, value):
    return lambda dataset: setattr(dataset, keyword, value)


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (put("SOPClassUID", "1.2.3"), ImageFormatError, "expected an RT Dose, found RTDOSE"),
        (put("DoseUnits", "RELATIVE"), ImageFormatError, "the dose is in RELATIVE; expected GY"),
        (put("DoseType", "ERROR"), ImageFormatError, "a difference of doses"),
        (put("DoseType", "EFFECTIVE"), ImageFormatError, "a biologically weighted dose (DoseType EFFECTIVE)"),
        (put("DoseGridScaling", "0"), ImageFormatError, "DoseGridScaling is 0"),
        (put("DoseGridScaling", None), ImageFormatError, "DoseGridScaling is None"),
        (put("PixelSpacing", [4]), GeometryError, "1 numbers as PixelSpacing; expected 2"),
        (put("ImagePositionPatient", None), GeometryError, "no ImagePositionPatient; expected 3"),
        (put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), GeometryError, "not two perpendicular"),
        (put("GridFrameOffsetVector", [0, *range(2, 21)]), GeometryError, "20 frames are not evenly spaced"),
        (put("GridFrameOffsetVector", [5 + 6 * k for k in range(20)]), GeometryError, "starts at 5 mm; expected 0"),
        (put("GridFrameOffsetVector", [0, 6]), GeometryError, "2 numbers as GridFrameOffsetVector; expected 20"),
        (put("NumberOfFrames", 40000), GeometryError, "GridFrameOffsetVector; expected 40000"),
        (put("Rows", 65000), ImageFormatError, "pixel data is truncated"),
        (lambda dataset: delattr(dataset, "PixelData"), ImageFormatError, "without a dose grid"),
    ],
)
def test_doses_that_cannot_be_used(written, tmp_path, edit, error, message):
    path = edited(written, tmp_path, edit)
    with pytest.raises(error, match=re.escape(message)) as caught:
        read_rtdose(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.slow
def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file; expected a DICOM RT Dose"):
        read_rtdose(tmp_path / "none.dcm")
