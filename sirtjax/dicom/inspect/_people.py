"""Which files of a folder belong to one patient."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sirtjax.dicom.inspect._headers import FileHeader
from sirtjax.io import PatientFingerprint

# Parts of a mark: ID, name and date of birth.
_PARTS = 3


class _Files(NamedTuple):
    """The files with one mark, series, study and frame of reference."""

    mark: PatientFingerprint
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str

    def contradicts(self, other: _Files) -> bool:
        """Returns whether the files of both cannot be of one patient."""
        series, others = ((files.series_uid, files.frame_of_reference_uid) for files in (self, other))
        if all(series) and series == others:
            return self.mark.contradicts_in_series(other.mark)
        return self.mark.contradicts(other.mark)

    def linked(self, other: _Files) -> bool:
        """Returns whether both state the same study or the same frame of reference."""
        pairs = ((self.study_uid, other.study_uid), (self.frame_of_reference_uid, other.frame_of_reference_uid))
        return any(one and one == two for one, two in pairs)

    @property
    def missing(self) -> int:
        """Number of identifiers that are not stated."""
        return sum(part is None for part in (self.mark.number, self.mark.name, self.mark.born))


_Person = list[_Files]


def number_patients(headers: Iterable[FileHeader]) -> dict[Path, int]:
    """Returns the number of the patient of each file, in the order of the files.

    Files join the patient that their identifiers confirm, otherwise the only one with the same study or frame of
    reference, otherwise the only one that they do not contradict. If several are possible, they are a patient of
    their own.
    """
    of_path = {
        one.path: _Files(one.patient, one.series_uid, one.study_uid, one.frame_of_reference_uid) for one in headers
    }
    people: list[_Person] = []
    undecided: list[_Files] = []
    # Files without identifiers fit every patient, so they must not be the first to which the others are compared.
    for files in sorted(dict.fromkeys(of_path.values()), key=lambda files: files.missing):
        found = _candidates(files, people)
        if len(found) > 1:
            undecided.append(files)
        elif found:
            found[0].append(files)
        else:
            people.append([files])
    _decide(undecided, people)
    index = {files: n for n, person in enumerate(people) for files in person}
    order = list(dict.fromkeys(index[files] for files in of_path.values()))
    return {path: order.index(index[files]) + 1 for path, files in of_path.items()}


def _candidates(files: _Files, people: list[_Person]) -> list[_Person]:
    """The people to whom the files may belong; one if that is decided."""
    sure = [one for one in people if any(files.mark.confirms(other.mark) for other in one)]
    possible = sure or [one for one in people if not any(map(files.contradicts, one))]
    linked = [one for one in possible if any(map(files.linked, one))]
    return linked if len(linked) == 1 else sure[:1] or linked or possible


def _decide(undecided: list[_Files], people: list[_Person]) -> None:
    """Adds the files that may belong to several people: to the one with the same study or frame, or to a new one."""
    while undecided:
        # A file that was decided can link others.
        before = len(undecided)
        for files in list(undecided):
            found = _candidates(files, people)
            if len(found) == 1:
                found[0].append(files)
                undecided.remove(files)
        if len(undecided) == before:
            first = undecided[0]
            person = [one for one in undecided if one is first or (first.missing < _PARTS and one.mark == first.mark)]
            people.append(person)
            undecided[:] = [one for one in undecided if one not in person]
