"""One DICOM file: parses it within limits, decodes its pixels, reads its values."""

from sirtjax.dicom.dataset._kind import ObjectKind as ObjectKind
from sirtjax.dicom.dataset._kind import is_dicom as is_dicom
from sirtjax.dicom.dataset._kind import object_kind as object_kind

__all__ = ["ObjectKind", "is_dicom", "object_kind"]
