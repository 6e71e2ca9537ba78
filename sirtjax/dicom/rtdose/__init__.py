"""Dose maps (RTDOSE): reads and writes absorbed dose in Gy on a grid."""

from sirtjax.dicom.rtdose._read import read_rtdose as read_rtdose
from sirtjax.dicom.rtdose._write import write_rtdose as write_rtdose

__all__ = [
    "read_rtdose",
    "write_rtdose",
]
