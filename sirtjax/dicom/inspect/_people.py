"""Which files of a folder belong to one patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sirtjax.dicom.inspect._headers import FileHeader
from sirtjax.io import PatientFingerprint

# Parts of a mark: ID, name and date of birth.
_PARTS = 3
# A name has not more spellings in one series.
MANY_NAMES = 5


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

    def is_another_name(self, other: _Files) -> bool:
        """Returns whether both state a name, and cannot be of one patient."""
        return self.mark.name is not None and other.mark.name is not None and self.contradicts(other)

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
    listed = list(headers)
    nameless = _series_of_many_names(listed)
    of_path = {}
    for one in listed:
        series = (one.series_uid, one.frame_of_reference_uid)
        mark = replace(one.patient, name=None) if series in nameless else one.patient
        of_path[one.path] = _Files(mark, one.series_uid, one.study_uid, one.frame_of_reference_uid)
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


def _series_of_many_names(headers: Iterable[FileHeader]) -> set[tuple[str, str]]:
    """Returns series UID and frame of reference of series whose files have names of their own, and one ID at most.

    An anonymiser numbered them. Such names identify no one, and comparing them all would take very long.
    """
    names, numbers = defaultdict(set), defaultdict(set)
    for one in headers:
        if one.series_uid and one.frame_of_reference_uid:
            names[one.series_uid, one.frame_of_reference_uid].add(one.patient.name)
            numbers[one.series_uid, one.frame_of_reference_uid].add(one.patient.number)
    return {series for series, found in names.items() if len(found) > MANY_NAMES and len(numbers[series] - {None}) <= 1}


def _candidates(files: _Files, people: list[_Person]) -> list[_Person]:
    """The people to whom the files may belong; one if that is decided."""
    sure = [
        one
        for one in people
        if any(files.mark.confirms(other.mark) for other in one) and not any(map(files.is_another_name, one))
    ]
    possible = sure or [one for one in people if not any(map(files.contradicts, one))]
    linked = [one for one in possible if any(map(files.linked, one))]
    return linked if len(linked) == 1 else sure[:1] or linked or possible


def _decide(undecided: list[_Files], people: list[_Person]) -> None:
    """Adds the files that may belong to several people: to the one with the same study or frame, or to a new one."""
    queue = list(undecided)
    while undecided:
        decided = []
        for files in queue:
            found = _candidates(files, people)
            if len(found) == 1:
                found[0].append(files)
                decided.append(files)
        if not decided:
            first = undecided[0]
            decided = [one for one in undecided if one is first or (first.missing < _PARTS and one.mark == first.mark)]
            people.append(decided)
        placed = set(decided)
        undecided[:] = [one for one in undecided if one not in placed]
        # A file that was decided can link others; the rest has no fewer candidates than before.
        queue = [one for one in undecided if any(one.linked(new) or one.mark.confirms(new.mark) for new in decided)]
