"""Summarises a folder of studies from its headers: series, the objects that refer to them, and problems."""

from sirtjax.dicom.inspect._folder import inspect_folder as inspect_folder
from sirtjax.dicom.inspect._referenced import referenced_series as referenced_series
from sirtjax.dicom.inspect._studies import Inspection as Inspection
from sirtjax.dicom.inspect._studies import ObjectFacts as ObjectFacts
from sirtjax.dicom.inspect._studies import SeriesFacts as SeriesFacts
from sirtjax.dicom.inspect._studies import StudyFacts as StudyFacts

__all__ = [
    "Inspection",
    "ObjectFacts",
    "SeriesFacts",
    "StudyFacts",
    "inspect_folder",
    "referenced_series",
]
