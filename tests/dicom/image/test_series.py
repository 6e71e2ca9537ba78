from datetime import datetime

import numpy as np
import pytest

from sirtjax.dicom import list_series
from sirtjax.errors import ImageFormatError
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
