"""DICOM objects about other images: structure sets, segmentations, doses, registrations, measurements."""

from sirtjax.dicom._algorithm import Algorithm as Algorithm
from sirtjax.dicom._algorithm import DrawnBy as DrawnBy
from sirtjax.dicom._anonymise import AnonymiseOptions as AnonymiseOptions
from sirtjax.dicom._anonymise_folder import Anonymised as Anonymised
from sirtjax.dicom._anonymise_folder import anonymise_folder as anonymise_folder
from sirtjax.dicom._approval import Approval as Approval
from sirtjax.dicom._codes import segment_kinds as segment_kinds
from sirtjax.dicom._encapsulated_pdf import write_encapsulated_pdf as write_encapsulated_pdf
from sirtjax.dicom._inspect import inspect_folder as inspect_folder
from sirtjax.dicom._measurement import Evaluation as Evaluation
from sirtjax.dicom._measurement import Measurement as Measurement
from sirtjax.dicom._measurement import MeasurementGroup as MeasurementGroup
from sirtjax.dicom._measurement import measurement_names as measurement_names
from sirtjax.dicom._measurements_write import write_measurements as write_measurements
from sirtjax.dicom._reference import Reference as Reference
from sirtjax.dicom._reference import read_reference as read_reference
from sirtjax.dicom._referenced import referenced_series as referenced_series
from sirtjax.dicom._registration_read import Registration as Registration
from sirtjax.dicom._registration_read import read_registration as read_registration
from sirtjax.dicom._registration_write import write_registration as write_registration
from sirtjax.dicom._rtdose_read import read_rtdose as read_rtdose
from sirtjax.dicom._rtdose_write import write_rtdose as write_rtdose
from sirtjax.dicom._rtstruct_write import write_rtstruct as write_rtstruct
from sirtjax.dicom._seg_write import write_seg as write_seg
from sirtjax.dicom._studies import Inspection as Inspection
from sirtjax.dicom._studies import ObjectFacts as ObjectFacts
from sirtjax.dicom._studies import SeriesFacts as SeriesFacts
from sirtjax.dicom._studies import StudyFacts as StudyFacts

__all__ = [
    "Algorithm",
    "AnonymiseOptions",
    "Anonymised",
    "Approval",
    "DrawnBy",
    "Evaluation",
    "Inspection",
    "Measurement",
    "MeasurementGroup",
    "ObjectFacts",
    "Reference",
    "Registration",
    "SeriesFacts",
    "StudyFacts",
    "anonymise_folder",
    "inspect_folder",
    "measurement_names",
    "read_reference",
    "read_registration",
    "read_rtdose",
    "referenced_series",
    "segment_kinds",
    "write_encapsulated_pdf",
    "write_measurements",
    "write_registration",
    "write_rtdose",
    "write_rtstruct",
    "write_seg",
]
