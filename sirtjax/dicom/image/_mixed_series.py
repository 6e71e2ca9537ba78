from __future__ import annotations

from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._stacks import Stack
from sirtjax.errors import ImageFormatError


def check_one_patient(stack: Stack) -> None:
    """Refuses slices with one series UID from two patients or two frames of reference.

    Raises:
      ImageFormatError: the slices have several patients or frames of reference.
    """
    first = stack.files[0]
    frame = text_of(first.header, "FrameOfReferenceUID")
    for file in stack.files[1:]:
        other = text_of(file.header, "FrameOfReferenceUID")
        if file.patient.contradicts(first.patient):
            found = "of two patients"
        elif frame and other and frame != other:
            found = "in two frames of reference"
        else:
            continue
        raise ImageFormatError(
            f"{file.path}: mixed series, this slice and {first.path.name} are {found}; export the series again"
        )
