"""Reading and writing images, masks, transforms and lines: the only place where frames flip."""

from sirtjax.io._atomic import atomic_folder as atomic_folder
from sirtjax.io._atomic import atomic_path as atomic_path
from sirtjax.io._dicom_seg import read_seg as read_seg
from sirtjax.io._image import read_image as read_image
from sirtjax.io._lines import read_lines as read_lines
from sirtjax.io._nifti import read_nifti as read_nifti
from sirtjax.io._nifti import write_nifti as write_nifti
from sirtjax.io._rtstruct import read_rtstruct as read_rtstruct
from sirtjax.io._source import Image as Image
from sirtjax.io._source import Source as Source

__all__ = [
    "Image",
    "Source",
    "atomic_folder",
    "atomic_path",
    "read_image",
    "read_lines",
    "read_nifti",
    "read_rtstruct",
    "read_seg",
    "write_nifti",
]
