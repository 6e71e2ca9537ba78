"""Structured reports of measurements (SR, TID 1500), and reports as encapsulated PDF."""

from sirtjax.dicom.report._encapsulated_pdf import write_encapsulated_pdf as write_encapsulated_pdf
from sirtjax.dicom.report._measurement import Evaluation as Evaluation
from sirtjax.dicom.report._measurement import Measurement as Measurement
from sirtjax.dicom.report._measurement import MeasurementGroup as MeasurementGroup
from sirtjax.dicom.report._measurement import measurement_names as measurement_names
from sirtjax.dicom.report._write_measurements import write_measurements as write_measurements

__all__ = [
    "Evaluation",
    "Measurement",
    "MeasurementGroup",
    "measurement_names",
    "write_encapsulated_pdf",
    "write_measurements",
]
