"""Invented patients with identifiers in every text attribute, and a search that knows nothing of the profile."""

import sys
from pathlib import Path

import pydicom
import pytest

from sirtjax.dicom import AnonymiseOptions, anonymise_folder

sys.path.append(str(Path(__file__).parent))
import identified_patients as invented

EVERYTHING = AnonymiseOptions(characteristics=True, shift_dates=True, descriptors=True)


@pytest.fixture(autouse=True)
def any_value(monkeypatch):
    """Lets pydicom write values that no representation allows, as scanners do, and not warn of each."""
    monkeypatch.setattr(pydicom.config.settings, "_writing_validation_mode", pydicom.config.IGNORE)
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)


def leaks(folder, patient, options, index):
    invented.save(invented.study(patient), folder / "in" / "1.dcm", implicit=index % 2 == 1)
    before = invented.hunt(folder / "in", invented.secrets_of(patient))
    assert {kind for kind, _, _ in before} == {"names", "numbers", "dates", "uids"}, "the search finds nothing at all"
    done = anonymise_folder(folder / "in", folder / "out", options=options)
    assert done.files == 1
    return invented.hunt(folder / "out", invented.secrets_of(patient))


@pytest.mark.parametrize("options", [AnonymiseOptions(), EVERYTHING], ids=["basic", "everything-kept"])
def test_no_identifier_of_a_few_patients_is_left(tmp_path, options):
    people = list(invented.patients(2 * len(invented.PEOPLE)))[1 if options is EVERYTHING else 6 :: 14]
    assert [leaks(tmp_path / str(n), one, options, n) for n, one in enumerate(people)] == [set()] * len(people)


@pytest.mark.slow
def test_no_identifier_of_200_patients_is_left(tmp_path):
    found = set()
    for index, patient in enumerate(invented.patients(200)):
        found |= leaks(tmp_path / str(index), patient, EVERYTHING if index % 2 else AnonymiseOptions(), index)
    assert found == set()
