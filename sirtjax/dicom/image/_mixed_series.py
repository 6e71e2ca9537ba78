from __future__ import annotations

from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._stacks import Stack
from sirtjax.errors import ImageFormatError


def check_one_patient(stack: Stack) -> None:
    """Refuses slices with one series UID from two patients or two frames of reference.

    In one series and frame of reference only ID and date of birth distinguish patients, not the name.

    Raises:
      ImageFormatError: the slices have several patients or frames of reference.
    """
    first, earlier = stack.files[0], {stack.files[0].patient: stack.files[0]}
    frame = text_of(first.header, "FrameOfReferenceUID")
    for file in stack.files[1:]:
        other = text_of(file.header, "FrameOfReferenceUID")
        # A slice without identifiers contradicts none, so each is compared to all before.
        stranger = next((one for one in earlier.values() if of_two_patients(file, one)), None)
        earlier.setdefault(file.patient, file)
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
    if _series(one) is not None and _series(one) == _series(other):
        return one.patient.contradicts_in_series(other.patient)
    return one.patient.contradicts(other.patient)


def _series(file: DicomFile) -> tuple[str, str] | None:
    uids = text_of(file.header, "SeriesInstanceUID"), text_of(file.header, "FrameOfReferenceUID")
    return uids if all(uids) else None
