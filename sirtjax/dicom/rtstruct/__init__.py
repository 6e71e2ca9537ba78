"""Structure sets (RTSTRUCT): contours to masks and masks to contours."""

from sirtjax.dicom.rtstruct._read import read_rtstruct as read_rtstruct
from sirtjax.dicom.rtstruct._write import write_rtstruct as write_rtstruct

__all__ = [
    "read_rtstruct",
    "write_rtstruct",
]
