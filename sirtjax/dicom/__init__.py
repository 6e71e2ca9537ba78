"""DICOM objects about other images: structure sets, segmentations, doses, registrations, measurements."""

from sirtjax.dicom._algorithm import Algorithm as Algorithm

__all__ = [
    "Algorithm",
]
