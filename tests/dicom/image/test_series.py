from datetime import datetime

import numpy as np
import pytest
from pydicom.uid import RLELossless

from sirtjax.dicom import list_series
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.formats import read_image


@pytest.fixture
def several(dicom, tmp_path, ct_array):
    """A CT with a scout, a later PET, and an MR without a series UID, all in one folder."""
    ct = dicom.slices(
        ct_array, SeriesInstanceUID="1.2.1", SeriesDescription="Abdomen portal", SeriesDate="20240101",
        SeriesTime="101500", SeriesNumber=2,
    )  # fmt: skip
    scout = dicom.slices(
        ct_array[:, :, :1], axes=((1, 0, 0), (0, 0, -1)), SeriesInstanceUID="1.2.1", SeriesDate="20240101",
        SeriesTime="101500", SeriesDescription="Abdomen portal", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )  # fmt: skip
    pet = dicom.slices(
        ct_array, modality="PT", SeriesInstanceUID="1.2.2", SeriesDescription="Y90 PET", SeriesDate="20240102",
        SeriesTime="080000.5",
    )  # fmt: skip
    mr = dicom.slices(ct_array, modality="MR", SeriesDescription="T1 portal")
    for data in mr:
        del data.SeriesInstanceUID
    for name, made in {"ct": ct, "scout": scout, "pet": pet, "mr": mr}.items():
        dicom.save(made, tmp_path, prefix=name)
    return tmp_path


def test_the_list(several):
    scout, ct, pet, mr = list_series(several)
    assert (ct.number, ct.uid, ct.modality, ct.description) == (2, "1.2.1", "CT", "Abdomen portal [axial, 7x5]")
    assert (ct.slices, ct.size, ct.spacing_mm) == (6, (7, 5), (2.0, 1.5, 3.0))
    assert ct.time == datetime(2024, 1, 1, 10, 15) and ct.problem is None and not ct.localizer
    assert scout.localizer and scout.description == "Abdomen portal [localizer]"
    assert pet.time == datetime(2024, 1, 2, 8, 0, 0, 500000) and pet.modality == "PT"
    assert mr.uid is None and mr.time is None
    assert str(ct) == "2: CT 'Abdomen portal [axial, 7x5]' 7x5x6"


@pytest.mark.parametrize(
    ("options", "modality"),
    [
        ({"modality": "CT"}, "CT"),  # the scout is not meant
        ({"modality": ("NM", "PT")}, "PT"),
        ({"series": "1.2.2"}, "PT"),
        ({"series": "y90"}, "PT"),
        ({"series": 3}, "PT"),
        ({"series": "4"}, "MR"),
        ({"series": "portal", "modality": "MR"}, "MR"),
        ({"series": 1}, "CT"),
    ],
)
def test_choosing(several, options, modality):
    image = read_image(several, **options)
    assert image.source.modality == modality
    assert image.volume.geometry.shape[2] == (1 if options.get("series") == 1 else 6)


def test_several_that_fit_are_listed(several):
    with pytest.raises(
        ImageFormatError, match=r"3 series match, 2: CT 'Abdomen portal \[axial, 7x5\]' 7x5x6; 3: PT .*choose one"
    ):
        read_image(several)


def test_none_that_fits(several):
    with pytest.raises(ImageFormatError, match=r"no series matches 'arterial' \(available: 1: CT .*4: MR 'T1 portal'"):
        read_image(several, series="arterial")
    with pytest.raises(ImageFormatError, match="expected NM, found CT, MR, PT"):
        read_image(several, modality="NM")
    with pytest.raises(ImageFormatError, match="expected CT, found PT"):
        read_image(several, series="1.2.2", modality="CT")


def test_phases_in_one_series_are_told_apart(dicom, tmp_path, ct_array):
    early = dicom.slices(ct_array, AcquisitionNumber=1)
    late = dicom.slices(ct_array + np.int16(7), AcquisitionNumber=2)
    dicom.save(early, tmp_path, prefix="a")
    dicom.save(late, tmp_path, prefix="b")
    first, second = list_series(tmp_path)
    assert first.description == "a CT [AcquisitionNumber 1]" and second.slices == 6
    image = read_image(tmp_path, series="AcquisitionNumber 2")
    np.testing.assert_array_equal(image.volume.array, ct_array + 7 - 1024.0)
    with pytest.raises(ImageFormatError, match="2 series match"):
        read_image(tmp_path)


def test_a_dicomdir_stands_for_its_folder(dicom, tmp_path, ct_array):
    dicom.save(dicom.slices(ct_array), tmp_path)
    index = dicom.base("CT", np.zeros((2, 2), np.int16), SOPClassUID="1.2.840.10008.1.3.10")
    del index.PixelData, index.Rows, index.Columns, index.Modality
    index.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert len(list_series(tmp_path / "DICOMDIR")) == 1
    np.testing.assert_array_equal(read_image(tmp_path / "DICOMDIR").volume.array, ct_array - 1024.0)


def test_a_series_with_a_problem_is_listed_with_it(dicom, tmp_path, ct_array):
    dicom.save(dicom.slices(ct_array, ImagePositionPatient=None), tmp_path)
    (info,) = list_series(tmp_path)
    assert info.slices == 6 and info.spacing_mm is None and "no ImagePositionPatient" in info.problem


def test_no_folder(tmp_path):
    with pytest.raises(ImageFormatError, match="no such file or folder"):
        list_series(tmp_path / "missing")


def same_uids(made, others):
    for data, other in zip(made, others, strict=False):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID


def test_a_localizer_with_the_uid_of_a_slice_does_not_hide_the_slices(dicom, tmp_path, ct_array):
    made = dicom.slices(ct_array)
    scout = dicom.slices(ct_array[:, :, :1], origin=(0, 0, 0), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    same_uids(scout, made[2:])
    dicom.save(scout, dicom.save(made, tmp_path), prefix="x")
    np.testing.assert_array_equal(read_image(tmp_path).volume.array, ct_array - 1024.0)
    assert [info.localizer for info in list_series(tmp_path) if info.problem is None] == [False, True]


def test_one_stack_with_shared_uids_does_not_hide_another(dicom, tmp_path, ct_array):
    bad = dicom.slices(ct_array, axes=((1, 0, 0), (0, 0, -1)), SOPInstanceUID="1.2.3.4")
    dicom.save(bad, dicom.save(dicom.slices(ct_array), tmp_path), prefix="x")
    np.testing.assert_array_equal(read_image(tmp_path).volume.array, ct_array - 1024.0)
    problems = {info.description: info.problem for info in list_series(tmp_path)}
    assert problems["a CT [axial, 7x5]"] is None
    assert "several slices share one SOPInstanceUID" in problems["a CT [coronal, 7x5]"]


def test_phases_with_the_same_uids_are_no_copies(dicom, tmp_path, ct_array):
    early, late = (dicom.slices(ct_array + np.int16(n), AcquisitionTime=f"1{n}0000") for n in (1, 2))
    same_uids(late, early)
    dicom.save(late, dicom.save(early, tmp_path, prefix="a"), prefix="b")
    for n in (1, 2):
        image = read_image(tmp_path, series=f"AcquisitionTime 1{n}0000")
        np.testing.assert_array_equal(image.volume.array, ct_array + n - 1024.0)
        assert image.source.notes == ()
    with pytest.raises(ImageFormatError, match="2 series match"):
        read_image(tmp_path)


@pytest.mark.parametrize("changed", ["pixels", "slope"])
def test_files_with_the_same_uid_and_other_values_are_refused(dicom, tmp_path, ct_array, changed):
    early = dicom.slices(ct_array)
    late = dicom.slices(ct_array + np.int16(changed == "pixels"), RescaleSlope=1 + (changed == "slope"))
    same_uids(late, early)
    dicom.save(late, dicom.save(early, tmp_path, prefix="a"), prefix="b")
    with pytest.raises(GeometryError, match="6 slices are at the position of another"):
        read_image(tmp_path)


def test_a_copy_in_another_encoding_is_a_copy(dicom, tmp_path, ct_array):
    made, again = dicom.slices(ct_array), dicom.slices(ct_array)
    same_uids(again, made)
    for data in again:
        data.compress(RLELossless, generate_instance_uid=False)
    image = read_image(dicom.save(again, dicom.save(made, tmp_path, prefix="a"), prefix="b"))
    np.testing.assert_array_equal(image.volume.array, ct_array - 1024.0)
    assert image.source.notes == ("6 files contain the same instance as another file and were skipped",)


@pytest.mark.parametrize("name", ["NUMBERED_{}", "SMITH^ANN^^{}"])
def test_a_series_with_several_spellings_of_a_name(dicom, tmp_path, ct_array, name):
    made = dicom.slices(ct_array)
    for n, data in enumerate(made):
        data.PatientID, data.PatientName, data.PatientBirthDate = "", name.format(n), ""
    np.testing.assert_array_equal(read_image(dicom.save(made, tmp_path)).volume.array, ct_array - 1024.0)


@pytest.mark.parametrize(("number", "born", "frame"), [("2", "", "1.2.3.9"), ("", "19500102", "1.2.3.9"), ("", "", "")])
def test_a_series_of_two_patients(dicom, tmp_path, ct_array, number, born, frame):
    """Other IDs or dates of birth, or other names without a frame of reference that they share."""
    made = dicom.slices(ct_array, FrameOfReferenceUID=frame)
    for data in made:
        data.PatientID, data.PatientName, data.PatientBirthDate = "1" if number else "", "A", "19500101" if born else ""
    made[3].PatientID, made[3].PatientName, made[3].PatientBirthDate = number, "B", born
    with pytest.raises(ImageFormatError, match=r"mixed series, this slice and .* are of two patients"):
        read_image(dicom.save(made, tmp_path))
