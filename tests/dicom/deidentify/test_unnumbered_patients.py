"""People without an ID and a date of birth, whose names are all that distinguishes them."""

from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from sirtjax.dicom import AnonymiseOptions, StudyIdentity, anonymise_folder, inspect_folder, write_dicom_series
from sirtjax.dicom.inspect._people import number_patients
from sirtjax.errors import InputError
from sirtjax.io import PatientFingerprint, patient_fingerprint
from sirtjax.volume import Geometry, Volume

GRID = Geometry.from_axes((6, 5, 4), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))


def write(folder, name):
    begun = datetime(2026, 3, 2, 9)
    write_dicom_series(
        Volume(np.arange(120, dtype=np.float32).reshape(GRID.shape), GRID, unit="HU"),
        folder,
        modality="CT",
        study=StudyIdentity(seed=folder.name, patient_id="x", begun=begun),
        series_description="abdomen",
        acquired=begun,
        frame="scanner",
    )
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID, data.PatientBirthDate = name, "", ""
        data.save_as(path)


def test_two_names_get_two_pseudonyms(tmp_path):
    for folder, name in (("0", ""), ("1", "Meyer^Anna"), ("2", "Huber^Karl"), ("3", "MEYER^ANNA^^")):
        write(tmp_path / "in" / folder, name)
    assert inspect_folder(tmp_path / "in").patients == 3
    done = anonymise_folder(tmp_path / "in", tmp_path / "out", options=AnonymiseOptions(shift_dates=True))
    assert len(set(done.patients)) == 3 and done.series == 4
    folders = sorted(len(list(folder.iterdir())) for folder in (tmp_path / "out").glob("ANON-*"))
    assert folders == [1, 1, 2]  # the file without a name may be of either person
    with pytest.raises(InputError, match="3 patients but one pseudonym"):
        anonymise_folder(tmp_path / "in", tmp_path / "one", pseudonym="CASE-1")


def test_a_series_without_identifiers_is_with_the_patient_of_its_study(tmp_path, dicom):
    """Two people, and a series without identifiers in the study and frame of reference of the second."""
    people = [("1", "AAA", "19500203", 1), ("2", "BBB", "19600203", 2), ("", "", "", 2)]
    for n, (number, name, born, study) in enumerate(people):
        uids = {"StudyInstanceUID": f"1.2.3.9{study}", "FrameOfReferenceUID": f"1.2.3.8{study}"}
        made = dicom.slices(np.ones((7, 5, 4), np.int16), SeriesInstanceUID=f"1.2.3.{n}", **uids)
        for data in made:
            data.PatientID, data.PatientName, data.PatientBirthDate = number, name, born
        dicom.save(made, tmp_path / "in" / str(n))
    found = inspect_folder(tmp_path / "in")
    assert (found.patients, [one.patient for one in found.series]) == (2, [1, 2, 2])
    anonymise_folder(tmp_path / "in", tmp_path / "out")
    of_study = {}
    for path in (tmp_path / "out").rglob("*.dcm"):
        data = pydicom.dcmread(path)
        of_study.setdefault(data.StudyInstanceUID, set()).add(str(data.PatientID))
    assert sorted(map(len, of_study.values())) == [1, 1] and len(set.union(*of_study.values())) == 2


def test_a_series_with_numbered_names_is_of_one_patient(tmp_path, dicom):
    made = dicom.slices(np.ones((7, 5, 4), np.int16))
    for n, data in enumerate(made):
        data.PatientID, data.PatientName, data.PatientBirthDate = "", f"NUMBERED_{n:04d}", ""
    assert inspect_folder(dicom.save(made, tmp_path)).patients == 1


def numbers(*marks):
    """The numbers of patients; each mark has ID, name, date of birth and perhaps study and frame of reference."""
    headers = [
        SimpleNamespace(
            path=n,
            patient=PatientFingerprint(number=number, name=name, born=born),
            series_uid=f"series {n}",
            study_uid=(*uids, "", "")[0],
            frame_of_reference_uid=(*uids, "", "")[1],
        )
        for n, (number, name, born, *uids) in enumerate(marks)
    ]
    return list(number_patients(headers).values())


NOTHING = (None, None, None)
ANNA, KARL = ("1", "a", "x", "study 1", "frame 1"), ("2", "k", "y", "study 2", "frame 2")


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([(None, "a", None), (None, "b", None), (None, "a", None)], [1, 2, 1]),
        # A mark that fits everyone joins two people to none, and belongs to neither.
        ([NOTHING, (None, "a", None), (None, "b", None)], [1, 2, 3]),
        ([NOTHING, (None, "a", None)], [1, 1]),
        # The study or the frame of reference shows whose it is, also over other files.
        ([(*NOTHING, "study 2"), ANNA, KARL], [1, 2, 1]),
        ([ANNA, KARL, (*NOTHING, "", "frame 2")], [1, 2, 2]),
        ([ANNA, KARL, (*NOTHING, "other", ""), (*NOTHING, "other", "frame 2")], [1, 2, 2, 2]),
        ([ANNA, KARL, (*NOTHING, "other"), (*NOTHING, "other"), NOTHING], [1, 2, 3, 3, 4]),
        ([ANNA, KARL, (*NOTHING, "study 1", "frame 2")], [1, 2, 3]),
        # What contradicts a person is not of that person, whatever its study.
        ([ANNA, KARL, (None, "b", None, "study 1")], [1, 2, 3]),
        ([ANNA, ("2", "a", "y", "study 2"), (None, "a", None, "study 2")], [1, 2, 2]),
        ([ANNA, ("2", "a", "y", "study 2"), (None, "a", None, "3"), (None, "a", None, "4")], [1, 2, 3, 3]),
        ([("1", None, None), (None, "a", None), ("1", "b", None)], [1, 2, 1]),
        ([(None, "a", "x"), ("1", "a", None), ("2", "a", None)], [1, 1, 2]),
        # One person under two IDs, and a file with only the second.
        ([("2", None, None), ("1", "a", "x"), ("2", "a", "x")], [1, 1, 1]),
    ],
)
def test_the_numbers_of_patients(marks, expected):
    assert numbers(*marks) == expected


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 1, 0)])
def test_two_people_whose_names_contradict_are_never_one(order):
    """Jane M and Jane K are two; Jane without an initial may be either, under the same date of birth."""
    names = ["Doe^Jane M", "Doe^Jane K", "Doe^Jane"]
    marks = [
        patient_fingerprint({"PatientID": f"{n}", "PatientName": name, "PatientBirthDate": "19500203"})
        for n, name in enumerate(names)
    ]
    found = numbers(*((marks[n].number, marks[n].name, marks[n].born) for n in order))
    assert found[order.index(0)] != found[order.index(1)]


def test_names_that_an_anonymiser_numbered_are_not_compared_in_pairs(monkeypatch):
    compared = []
    contradicts = PatientFingerprint.contradicts
    monkeypatch.setattr(PatientFingerprint, "contradicts", lambda *both: compared.append(1) or contradicts(*both))
    headers = [
        SimpleNamespace(
            path=n, patient=patient_fingerprint({"PatientName": f"ANON^{n}"}), series_uid="1", study_uid="2",
            frame_of_reference_uid="3",
        )
        for n in range(300)
    ]  # fmt: skip
    assert set(number_patients(headers).values()) == {1}
    assert len(compared) < 300
