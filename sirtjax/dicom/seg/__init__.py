"""Segmentations (SEG): reads and writes masks as voxels."""

from sirtjax.dicom.seg._read import read_seg as read_seg
from sirtjax.dicom.seg._write import write_seg as write_seg

__all__ = [
    "read_seg",
    "write_seg",
]
