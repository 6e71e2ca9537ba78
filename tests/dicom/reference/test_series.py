import re
from datetime import datetime

import cases
import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage

from sirtjax.dicom import Approval, read_reference
from sirtjax.dicom.reference._object import new_object, save_object, short_text
from sirtjax.errors import GeometryError, ImageFormatError, InputError, OutputError
from sirtjax.formats import read_image

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def change(folder, tmp_path, edit):
    """A copy of a series with its data sets edited."""
    for n, path in enumerate(sorted(folder.glob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        edit(n, dataset)
        dataset.save_as(tmp_path / path.name)
    return tmp_path


def new(reference, **options):
    defaults = {"sop_class_uid": RTSTRUCT, "modality": "RTSTRUCT", "content": "a", "series_number": 9}
    return new_object(reference, **(defaults | {"description": "result", "created": datetime(2026, 1, 3)} | options))


def test_slices_are_in_the_order_of_the_grid(ct, ct_folder):
    image = read_image(ct_folder)
    assert ct.geometry == image.volume.geometry
    assert [str(h.SOPInstanceUID) for h in ct.headers] == list(image.source.sop_instance_uids)
    for k, header in enumerate(ct.headers):
        np.testing.assert_allclose([float(x) for x in header.ImagePositionPatient], ct.geometry.to_world((0, 0, k)))
        assert ct.instance(k) == (header.SOPClassUID, header.SOPInstanceUID, None)
    assert ct.frame_of_reference_uid == image.source.frame_of_reference_uid
    assert (ct.study_uid, ct.series_uid, ct.modality) == (image.source.study_uid, image.source.series_uid, "CT")
    assert all("PixelData" not in header for header in ct.headers)
    assert "PHANTOM" not in repr(ct)  # which tracebacks and logs show


def test_frames_of_one_file_have_numbers(tmp_path):
    geometry = cases.axial((8, 7, 5), spacing_mm=(4, 4, 5))
    cases.write_tomogram(tmp_path / "nm", geometry)
    found = read_reference(tmp_path / "nm")
    assert len(found.headers) == 1 and found.frame_numbers == (1, 2, 3, 4, 5) and found.geometry.matches(geometry)
    assert found.instance(3) == (found.headers[0].SOPClassUID, found.headers[0].SOPInstanceUID, 4)


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("PatientID", "belong to 2 patients (by PatientID)"),
        ("PatientName", "belong to 2 patients (by PatientName)"),
        ("StudyInstanceUID", "belong to 2 studies"),
        ("FrameOfReferenceUID", "belong to 2 frames of reference"),
    ],
)
def test_slices_that_do_not_belong_together(ct_folder, tmp_path, keyword, message):
    def edit(n, dataset):
        if n == 3:
            setattr(dataset, keyword, "1.2.3" if keyword.endswith("UID") else "SECRET")

    with pytest.raises(ImageFormatError, match=re.escape(message)) as caught:
        read_reference(change(ct_folder, tmp_path, edit))
    assert "SECRET" not in str(caught.value) and "PHANTOM-7" not in str(caught.value)


def test_a_series_in_several_multi_frame_files_is_refused(ct_folder, tmp_path):
    slices = [pydicom.dcmread(path) for path in sorted(ct_folder.glob("*.dcm"))]
    for n, half in enumerate((slices[:10], slices[10:])):
        LegacyConvertedEnhancedCTImage(half, "1.2.3.4", 7, f"1.2.3.4.{n}", n + 1).save_as(tmp_path / f"{n}.dcm")
    with pytest.raises(ImageFormatError, match="in 2 files of several frames each; expected one such file"):
        read_reference(tmp_path)


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "SOPInstanceUID"])
def test_uids_that_are_missing(ct_folder, tmp_path, keyword):
    with pytest.raises(ImageFormatError, match=f"no {keyword}.*export it"):
        read_reference(change(ct_folder, tmp_path, lambda n, dataset: delattr(dataset, keyword)))


def test_a_missing_slice_is_refused(ct_folder, tmp_path):
    change(ct_folder, tmp_path, lambda n, dataset: None)
    sorted(tmp_path.glob("*.dcm"))[7].unlink()
    with pytest.raises(GeometryError, match="not evenly spaced"):
        read_reference(tmp_path)


def test_objects_file_under_the_patient(ct_folder, tmp_path):
    def edit(n, dataset):
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.PatientName, dataset.PatientID = "Müller^Jürgen", "A 1"
        dataset.PatientBirthDate, dataset.AccessionNumber = "19410229", "ACC-7"  # no such day: stays as it is
        dataset.add_new(0x00091001, "LO", "private")

    reference = read_reference(change(ct_folder, tmp_path, edit))
    path = save_object(new(reference), tmp_path / "out" / "rs.dcm")
    written = pydicom.dcmread(path)
    assert written.PatientName == "Müller^Jürgen" and written.SpecificCharacterSet == "ISO_IR 192"
    assert (written.PatientID, written.PatientBirthDate, written.PatientSex) == ("A 1", "19410229", "F")
    assert (written.StudyInstanceUID, written.AccessionNumber) == (reference.study_uid, "ACC-7")
    assert written.FrameOfReferenceUID == reference.frame_of_reference_uid
    assert written.SeriesInstanceUID not in (reference.series_uid, written.SOPInstanceUID)
    assert not [element for element in written if element.tag.is_private]
    with pytest.raises(OutputError, match="exists already"):
        save_object(new(reference), path)


def test_what_the_source_lacks_is_there_and_empty(ct_folder, tmp_path):
    def edit(n, dataset):
        for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "ReferringPhysicianName", "StudyTime"):
            delattr(dataset, keyword)

    written = new(read_reference(change(ct_folder, tmp_path, edit)))
    for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "ReferringPhysicianName", "StudyTime"):
        assert keyword in written and not written[keyword].value


def test_the_same_content_is_the_same_object(ct):
    assert new(ct) == new(ct)
    assert new(ct).SOPInstanceUID != new(ct, content="b").SOPInstanceUID


def test_texts_that_dicom_cannot_hold():
    assert short_text(" a b ", what="label") == "a b"
    for text in ("", "x" * 65, "a\\b", "a\nb"):
        with pytest.raises(InputError, match=r"series description .* expected 1 to 64 printable"):
            short_text(text, what="series description")


def test_reviewers_that_dicom_cannot_hold():
    assert Approval(reviewer="Meyer^Anna", at=datetime(2026, 1, 3), verified=True).verified
    for name in ("", "x" * 65, "a=b", "a\\b", "a\nb"):
        with pytest.raises(InputError, match=r"reviewer's name has .* expected 1 to 64"):
            Approval(reviewer=name, at=datetime(2026, 1, 3), verified=True)
