"""Removes identifiers from DICOM files (PS3.15 basic profile), then searches the written files for them."""

from sirtjax.dicom.deidentify._dataset import AnonymiseOptions as AnonymiseOptions
from sirtjax.dicom.deidentify._folder import Anonymised as Anonymised
from sirtjax.dicom.deidentify._folder import anonymise_folder as anonymise_folder

__all__ = [
    "AnonymiseOptions",
    "Anonymised",
    "anonymise_folder",
]
