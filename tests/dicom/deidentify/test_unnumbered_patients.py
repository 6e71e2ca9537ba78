"""People without an ID and a date of birth, whose names are all that distinguishes them."""

from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from sirtjax.dicom import AnonymiseOptions, StudyIdentity, anonymise_folder, inspect_folder, write_dicom_series
from sirtjax.dicom.inspect._folder import number_patients
from sirtjax.errors import InputError
from sirtjax.io import PatientFingerprint
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
    assert inspect_folder(tmp_path / "in").patients == 2
    done = anonymise_folder(tmp_path / "in", tmp_path / "out", options=AnonymiseOptions(shift_dates=True))
    assert len(set(done.patients)) == 2 and done.series == 4
    folders = sorted(len(list(folder.iterdir())) for folder in (tmp_path / "out").glob("ANON-*"))
    assert folders == [1, 3]  # the file without a name is with the first person
    with pytest.raises(InputError, match="2 patients but one pseudonym"):
        anonymise_folder(tmp_path / "in", tmp_path / "one", pseudonym="CASE-1")


def numbers(*marks):
    marks = [PatientFingerprint(number=number, name=name, born=born) for number, name, born in marks]
    of_mark = number_patients([SimpleNamespace(patient=mark) for mark in marks])
    return [of_mark[mark] for mark in marks]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([(None, "a", None), (None, "b", None), (None, "a", None)], [1, 2, 1]),
        # A mark that fits everyone joins two people to none.
        ([(None, None, None), (None, "a", None), (None, "b", None)], [1, 1, 2]),
        ([("1", None, None), (None, "a", None), ("1", "b", None)], [1, 2, 1]),
        ([(None, "a", "x"), ("1", "a", None), ("2", "a", None)], [1, 1, 2]),
        # One person under two IDs, and a file with only the second.
        ([("2", None, None), ("1", "a", "x"), ("2", "a", "x")], [1, 1, 1]),
    ],
)
def test_the_numbers_of_patients(marks, expected):
    assert numbers(*marks) == expected
