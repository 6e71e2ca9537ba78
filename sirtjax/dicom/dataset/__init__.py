"""One DICOM file: parses it within limits, decodes its pixels, reads and writes its values.

Start with `_scan.py` (which files of a folder are DICOM) and `_parse.py` (pydicom's errors as one error).
"""

from sirtjax.dicom.dataset._kind import ObjectKind as ObjectKind
from sirtjax.dicom.dataset._kind import is_dicom as is_dicom
from sirtjax.dicom.dataset._kind import object_kind as object_kind

__all__ = ["ObjectKind", "is_dicom", "object_kind"]
