from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._time import date_time
from sirtjax.dicom.reference._algorithm import Algorithm
from sirtjax.dicom.reference._approval import Approval
from sirtjax.dicom.reference._object import referenced
from sirtjax.dicom.reference._series import Reference
from sirtjax.dicom.rtstruct._slice_contours import SliceContour

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
_CONTOUR_DATA = 0x30060050
_GENERATED = {"automatic": "AUTOMATIC", "semi-automatic": "SEMIAUTOMATIC", "manual": "MANUAL"}


def add_referenced_series(dataset: Dataset, reference: Reference) -> None:
    """Adds the frame of reference, study, series and slices on which the contours are drawn."""
    series = Dataset()
    series.SeriesInstanceUID = reference.series_uid
    series.ContourImageSequence = [
        referenced(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in reference.headers
    ]
    study = referenced(_STUDY_CLASS, reference.study_uid)
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = reference.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]


def add_approval(dataset: Dataset, approved: Approval | None) -> None:
    """Adds the approval status, the reviewer and the time."""
    if approved is None:
        dataset.ApprovalStatus = "UNAPPROVED"
        return
    dataset.ApprovalStatus = "APPROVED" if approved.verified else "REJECTED"
    dataset.ReviewDate, dataset.ReviewTime = date_time(approved.at)
    dataset.ReviewerName = approved.reviewer.strip()


def add_roi(
    dataset: Dataset,
    number: int,
    name: str,
    contours: Sequence[SliceContour],
    *,
    reference: Reference,
    algorithm: Algorithm | None,
    colour: tuple[int, int, int],
) -> None:
    """Adds one ROI: its identity, its contours and its observation.

    Args:
      dataset: structure set, with its three sequences of ROIs.
      number: number of the ROI, counted from 1.
      name: name of the ROI.
      contours: contours on the slices of the reference.
      reference: series on which the ROI was drawn.
      algorithm: algorithm or person that contoured the ROI.
      colour: display colour, red, green and blue from 0 to 255.
    """
    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, name
    roi.ReferencedFrameOfReferenceUID = reference.frame_of_reference_uid
    roi.ROIGenerationAlgorithm = None if algorithm is None else _GENERATED[algorithm.how]
    if algorithm is not None:
        roi.ROIGenerationDescription = f"{algorithm.name} {algorithm.version}"[:64].rstrip()
    dataset.StructureSetROISequence.append(roi)
    drawn = Dataset()
    drawn.ReferencedROINumber = number
    drawn.ROIDisplayColor = list(colour)
    drawn.ContourSequence = [_contour(contour, at, reference) for at, contour in enumerate(contours, start=1)]
    dataset.ROIContourSequence.append(drawn)
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = observation.ROIInterpreter = None
    dataset.RTROIObservationsSequence.append(observation)


def _contour(contour: SliceContour, number: int, reference: Reference) -> Dataset:
    item = Dataset()
    item.ContourNumber = number
    sop_class_uid, sop_instance_uid, frame = reference.instance(contour.k)
    item.ContourImageSequence = [referenced(sop_class_uid, sop_instance_uid, frame=frame)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(contour.points_mm)
    item[_CONTOUR_DATA] = _decimals(contour.points_mm)
    return item


def _decimals(points_mm: NDArray[np.float64]) -> RawDataElement:
    """The element of the points, written to a millionth of a millimetre: in 16 characters up to 99 m."""
    from pydicom.tag import Tag

    # Written as bytes, because one object per number would take most of the time.
    text = "\\".join(f"{x:.6f}" for x in (points_mm + 0.0).ravel())
    value = (text + " " * (len(text) % 2)).encode("ascii")
    return RawDataElement(Tag(_CONTOUR_DATA), "DS", len(value), value, 0, True, True)
