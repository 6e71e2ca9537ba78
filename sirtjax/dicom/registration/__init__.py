"""Spatial and deformable registration objects: reads and writes transforms between two frames of reference."""

from sirtjax.dicom.registration._read import Registration as Registration
from sirtjax.dicom.registration._read import read_registration as read_registration
from sirtjax.dicom.registration._write import write_registration as write_registration

__all__ = [
    "Registration",
    "read_registration",
    "write_registration",
]
