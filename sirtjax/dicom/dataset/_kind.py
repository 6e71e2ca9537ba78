"""The kind of object in a DICOM file, read from its header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydicom

from sirtjax.dicom.dataset._claims import check_decompressed_size
from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._values import text_of
from sirtjax.errors import ImageFormatError


@dataclass(frozen=True)
class ObjectKind:
    """The kind of DICOM object in a file.

    Attributes:
      modality: modality such as "CT", "RTSTRUCT" or "SEG"; None if the file has none.
      frame_of_reference_uid: frame of reference of the object as a whole; None if the file has none.
    """

    modality: str | None
    frame_of_reference_uid: str | None


def is_dicom(path: Path) -> bool:
    """Returns whether a file starts as DICOM files do (PS3.10): 128 bytes, then "DICM".

    Examples:
      >>> import tempfile
      >>> from pathlib import Path
      >>> from sirtjax import dicom
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "image"
      ...     _ = path.write_bytes(bytes(128) + b"DICM")
      ...     print(dicom.is_dicom(path))
      True
    """
    return bool(pydicom.misc.is_dicom(path))


def object_kind(path: Path, *, expected: str = "object") -> ObjectKind:
    """Returns the kind of the object in a DICOM file.

    Args:
      path: the file.
      expected: expected kind of the file, for the error message.

    Raises:
      ImageFormatError: there is no such file, or it is not DICOM.
    """
    if not path.is_file():
        raise ImageFormatError(f"{path}: no such file; expected a DICOM {expected}")
    with parsing(path, expected):
        check_decompressed_size(path)
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality", "FrameOfReferenceUID"])
        return ObjectKind(text_of(header, "Modality") or None, text_of(header, "FrameOfReferenceUID") or None)
