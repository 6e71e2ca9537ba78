"""Reading and writing images, masks, transforms and lines: the only place where frames flip."""

from sirtjax.io._dicom_seg import read_seg as read_seg
from sirtjax.io._lines import read_lines as read_lines
from sirtjax.io._rtstruct import read_rtstruct as read_rtstruct

__all__ = ["read_lines", "read_rtstruct", "read_seg"]
