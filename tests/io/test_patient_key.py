"""Marks of patients that outlive a process: comparable with the key, without meaning otherwise."""

import subprocess
import sys

import pydicom
import pytest

from sirtjax import io
from sirtjax.errors import ConfigError
from sirtjax.io import _patient_fingerprint

NAME, NUMBER, BORN = "Meyer^Anna", "4711", "19510304"


def header(**changes):
    dataset = pydicom.Dataset()
    for keyword, value in ({"PatientName": NAME, "PatientID": NUMBER, "PatientBirthDate": BORN} | changes).items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setattr(_patient_fingerprint, "_key", _patient_fingerprint._key)
    monkeypatch.setattr(_patient_fingerprint, "_fingerprint", None)
    return io.use_patient_key


def test_a_key_is_made_once_for_the_user_alone(tmp_path):
    path = tmp_path / "data" / "patient.key"
    key = io.read_patient_key(path)
    assert (len(key), io.read_patient_key(path)) == (32, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["patient.key"]


def test_another_file_is_no_key(tmp_path):
    (tmp_path / "short").write_bytes(b"secret")
    with pytest.raises(ConfigError, match=r"short: not a key of patient marks \(32 bytes\); name another file by SIRT"):
        io.read_patient_key(tmp_path / "short")


def test_marks_of_one_key_agree_and_of_two_do_not(keyed):
    keyed(b"1" * 32)
    first, again, other = (
        io.patient_fingerprint(header()),
        io.patient_fingerprint(header()),
        io.patient_fingerprint(header(PatientID="12")),
    )
    assert first == again and first.confirms(again)
    assert other.number != first.number and other.confirms(first)
    keyed(b"2" * 32)
    elsewhere = io.patient_fingerprint(header())
    assert elsewhere.key != first.key
    assert {elsewhere.number, elsewhere.name, elsewhere.born}.isdisjoint({first.number, first.name, first.born})


def test_what_confirms_and_what_does_not(keyed):
    keyed(b"1" * 32)
    stated = io.patient_fingerprint(header())
    assert not stated.confirms(io.patient_fingerprint(header(PatientBirthDate="19510305")))
    assert not stated.confirms(io.patient_fingerprint(header(PatientID="", PatientName="")))
    assert stated.confirms(io.patient_fingerprint(header(PatientID="")))
    assert not io.patient_fingerprint(pydicom.Dataset()).confirms(io.patient_fingerprint(pydicom.Dataset()))


def test_without_a_lasting_key_a_mark_has_no_key(keyed):
    assert io.patient_fingerprint(header()).key is None


@pytest.mark.slow
def test_two_processes_with_one_key_make_one_mark(tmp_path):
    code = (
        "import sys, pydicom; from pathlib import Path; from sirtjax import io;"
        "io.use_patient_key(io.read_patient_key(Path(sys.argv[1])));"
        "d = pydicom.Dataset(); d.PatientID = 'KROLL'; print(io.patient_fingerprint(d))"
    )
    ask = [sys.executable, "-c", code, str(tmp_path / "patient.key")]
    first, second = (subprocess.run(ask, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second != ""
    assert "KROLL" not in first  # letters that no hexadecimal digest has


def test_the_folder_of_the_key(monkeypatch, tmp_path):
    monkeypatch.setenv("SIRTJAX_PATIENT_KEY", str(tmp_path / "own"))
    assert io.patient_key_file() == tmp_path / "own"
    monkeypatch.delenv("SIRTJAX_PATIENT_KEY")
    assert io.patient_key_file() == io.user_data_folder() / "sirtjax" / "patient.key"
