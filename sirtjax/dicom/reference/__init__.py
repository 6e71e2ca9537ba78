"""The series that a written object refers to, and what the writers of such objects share.

`Reference` provides patient, study, frame of reference and grid; `_object.py` makes the modules that every object has.
"""

from sirtjax.dicom.reference._algorithm import Algorithm as Algorithm
from sirtjax.dicom.reference._algorithm import DrawnBy as DrawnBy
from sirtjax.dicom.reference._approval import Approval as Approval
from sirtjax.dicom.reference._codes import segment_kinds as segment_kinds
from sirtjax.dicom.reference._series import Reference as Reference
from sirtjax.dicom.reference._series import read_reference as read_reference

__all__ = [
    "Algorithm",
    "Approval",
    "DrawnBy",
    "Reference",
    "read_reference",
    "segment_kinds",
]
