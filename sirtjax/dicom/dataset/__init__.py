"""One DICOM file: parses it within limits, decodes its pixels, reads its values."""

from sirtjax.dicom.dataset._parse import parsing as parsing
from sirtjax.dicom.dataset._parse import read_dataset as read_dataset

__all__ = [
    "parsing",
    "read_dataset",
]
