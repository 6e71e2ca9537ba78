from __future__ import annotations

from dataclasses import replace

from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._stacks import Stack
from sirtjax.errors import ImageFormatError
from sirtjax.io import PatientFingerprint


def check_one_patient(stack: Stack) -> None:
    """Refuses slices with one series UID from two patients or two frames of reference.

    In one series and frame of reference only ID and date of birth distinguish patients, not the name.

    Raises:
      ImageFormatError: the slices have several patients or frames of reference.
    """
    first = stack.files[0]
    frame = text_of(first.header, "FrameOfReferenceUID")
    uids = {file: _series(file) for file in stack.files}
    numbers = {file.patient.number for file in stack.files} - {None}
    # Names decide only between different IDs. Without them, slices with names of their own have one mark.
    nameless = len(set(uids.values())) == 1 and uids[first] is not None and len(numbers) <= 1

    def mark(file: DicomFile) -> PatientFingerprint:
        return replace(file.patient, name=None) if nameless else file.patient

    earlier = {mark(first): first}
    for file in stack.files[1:]:
        other = text_of(file.header, "FrameOfReferenceUID")
        # A slice without identifiers contradicts none, so each is compared to all before.
        own = mark(file)
        stranger = next((one for seen, one in earlier.items() if _contradict(own, uids[file], seen, uids[one])), None)
        earlier.setdefault(own, file)
        if stranger is not None:
            found = "of two patients"
        elif frame and other and frame != other:
            found = "in two frames of reference"
        else:
            continue
        other_name = (stranger or first).path.name
        raise ImageFormatError(
            f"{file.path}: mixed series, this slice and {other_name} are {found}; export the series again"
        )


def of_two_patients(one: DicomFile, other: DicomFile) -> bool:
    """Returns whether two files cannot be of one patient.

    In one series and frame of reference only ID and date of birth count, not the name.
    """
    return _contradict(one.patient, _series(one), other.patient, _series(other))


def _contradict(
    one: PatientFingerprint, series: tuple[str, str] | None, other: PatientFingerprint, others: tuple[str, str] | None
) -> bool:
    return one.contradicts_in_series(other) if series is not None and series == others else one.contradicts(other)


def _series(file: DicomFile) -> tuple[str, str] | None:
    uids = text_of(file.header, "SeriesInstanceUID"), text_of(file.header, "FrameOfReferenceUID")
    return uids if all(uids) else None
