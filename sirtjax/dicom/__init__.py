"""All DICOM: one folder per kind of object, with its reader and its writer.

`dataset` and `reference` hold what the objects share; `image`, `rtstruct`, `seg`, `rtdose`, `registration` and `report`
are the objects; `inspect` and `deidentify` work on folders of them. Public names of all folders are re-exported here.
"""

from sirtjax.dicom.dataset import ObjectKind as ObjectKind
from sirtjax.dicom.dataset import is_dicom as is_dicom
from sirtjax.dicom.dataset import object_kind as object_kind
from sirtjax.dicom.deidentify import Anonymised as Anonymised
from sirtjax.dicom.deidentify import AnonymiseOptions as AnonymiseOptions
from sirtjax.dicom.deidentify import anonymise_folder as anonymise_folder
from sirtjax.dicom.image import PlanarViews as PlanarViews
from sirtjax.dicom.image import RadiopharmaceuticalInfo as RadiopharmaceuticalInfo
from sirtjax.dicom.image import SeriesHeaders as SeriesHeaders
from sirtjax.dicom.image import SeriesInfo as SeriesInfo
from sirtjax.dicom.image import StudyIdentity as StudyIdentity
from sirtjax.dicom.image import list_series as list_series
from sirtjax.dicom.image import radionuclides_of as radionuclides_of
from sirtjax.dicom.image import read_dicom_series as read_dicom_series
from sirtjax.dicom.image import read_headers as read_headers
from sirtjax.dicom.image import read_planar as read_planar
from sirtjax.dicom.image import write_dicom_planar as write_dicom_planar
from sirtjax.dicom.image import write_dicom_series as write_dicom_series
from sirtjax.dicom.inspect import Inspection as Inspection
from sirtjax.dicom.inspect import ObjectFacts as ObjectFacts
from sirtjax.dicom.inspect import SeriesFacts as SeriesFacts
from sirtjax.dicom.inspect import StudyFacts as StudyFacts
from sirtjax.dicom.inspect import inspect_folder as inspect_folder
from sirtjax.dicom.inspect import referenced_series as referenced_series
from sirtjax.dicom.reference import Algorithm as Algorithm
from sirtjax.dicom.reference import Approval as Approval
from sirtjax.dicom.reference import DrawnBy as DrawnBy
from sirtjax.dicom.reference import Reference as Reference
from sirtjax.dicom.reference import read_reference as read_reference
from sirtjax.dicom.reference import segment_kinds as segment_kinds
from sirtjax.dicom.registration import Registration as Registration
from sirtjax.dicom.registration import read_registration as read_registration
from sirtjax.dicom.registration import write_registration as write_registration
from sirtjax.dicom.report import Evaluation as Evaluation
from sirtjax.dicom.report import Measurement as Measurement
from sirtjax.dicom.report import MeasurementGroup as MeasurementGroup
from sirtjax.dicom.report import measurement_names as measurement_names
from sirtjax.dicom.report import write_encapsulated_pdf as write_encapsulated_pdf
from sirtjax.dicom.report import write_measurements as write_measurements
from sirtjax.dicom.rtdose import read_rtdose as read_rtdose
from sirtjax.dicom.rtdose import write_rtdose as write_rtdose
from sirtjax.dicom.rtstruct import read_rtstruct as read_rtstruct
from sirtjax.dicom.rtstruct import write_rtstruct as write_rtstruct
from sirtjax.dicom.seg import read_seg as read_seg
from sirtjax.dicom.seg import write_seg as write_seg

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
    "ObjectKind",
    "PlanarViews",
    "RadiopharmaceuticalInfo",
    "Reference",
    "Registration",
    "SeriesFacts",
    "SeriesHeaders",
    "SeriesInfo",
    "StudyFacts",
    "StudyIdentity",
    "anonymise_folder",
    "inspect_folder",
    "is_dicom",
    "list_series",
    "measurement_names",
    "object_kind",
    "radionuclides_of",
    "read_dicom_series",
    "read_headers",
    "read_planar",
    "read_reference",
    "read_registration",
    "read_rtdose",
    "read_rtstruct",
    "read_seg",
    "referenced_series",
    "segment_kinds",
    "write_dicom_planar",
    "write_dicom_series",
    "write_encapsulated_pdf",
    "write_measurements",
    "write_registration",
    "write_rtdose",
    "write_rtstruct",
    "write_seg",
]
