from __future__ import annotations

from sirtjax.dicom.dataset._values import text_of
from sirtjax.dicom.image._stacks import Stack
from sirtjax.errors import ImageFormatError


def check_one_patient(stack: Stack) -> None:
    """Refuses slices with one series UID from two patients or two frames of reference.

    Raises:
      ImageFormatError: the slices have several patients or frames of reference.
    """
    first, earlier = stack.files[0], {stack.files[0].patient: stack.files[0]}
    frame = text_of(first.header, "FrameOfReferenceUID")
    for file in stack.files[1:]:
        other = text_of(file.header, "FrameOfReferenceUID")
        # A slice without identifiers contradicts none, so each is compared to all before.
        stranger = next((one for mark, one in earlier.items() if file.patient.contradicts(mark)), None)
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
