"""The registration object of a plan whose images name two patients: it is left out, and the plan is written."""

from types import SimpleNamespace

import numpy as np
import pytest

from sirtjax.dicom import read_reference
from sirtjax.reports._dicom_results import _write_registration
from sirtjax.spatial import AffineTransform

STUDY = {
    "StudyDate": "20240101", "StudyTime": "100000", "AccessionNumber": "", "StudyID": "1",
    "ReferringPhysicianName": "", "PatientSex": "",
}  # fmt: skip


PATIENTS = [
    ("SMITH^ANN", "1", True),
    ("JONES^BOB", "1", True),
    ("JONES^BOB", "", False),
    ("SMITH^ANN", "2", False),
]


@pytest.mark.parametrize(("name", "number", "written"), PATIENTS)
def test_images_of_two_patients_have_no_registration_object(dicom, tmp_path, name, number, written):
    values = np.random.default_rng(5).integers(0, 3000, (7, 5, 6)).astype(np.int16)

    def series(uid, who, which):
        slices = dicom.slices(values, SeriesInstanceUID=f"1.2.3.{uid}", FrameOfReferenceUID=f"1.2.9.{uid}", **STUDY)
        for one in slices:
            one.PatientID, one.PatientName, one.PatientBirthDate = which, who, ""
        return read_reference(dicom.save(slices, tmp_path / str(uid)))

    first = series(1, "SMITH^ANN", "1" if number else "")
    files, left_out = {}, []
    maps = SimpleNamespace(transform=AffineTransform(np.eye(4)))
    _write_registration(tmp_path, maps, first, series(2, name, number), files, left_out)
    assert (tmp_path / "registration.dcm").exists() == written == ("registration" in files)
    told = ["the two images have different patient IDs or names: no registration object is written"]
    assert left_out == ([] if written else told)
