"""DICOM objects about other images: structure sets, segmentations, doses, registrations, measurements."""

from sirtjax.dicom._algorithm import Algorithm as Algorithm
from sirtjax.dicom._approval import Approval as Approval
from sirtjax.dicom._codes import segment_kinds as segment_kinds
from sirtjax.dicom._reference import Reference as Reference
from sirtjax.dicom._reference import read_reference as read_reference
from sirtjax.dicom._registration_read import Registration as Registration
from sirtjax.dicom._registration_read import read_registration as read_registration
from sirtjax.dicom._registration_write import write_registration as write_registration

__all__ = [
    "Algorithm",
    "Approval",
    "Reference",
    "Registration",
    "read_reference",
    "read_registration",
    "segment_kinds",
    "write_registration",
]
