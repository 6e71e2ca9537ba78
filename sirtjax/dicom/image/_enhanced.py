from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import leading_text, optional
from sirtjax.dicom.image._frames import Frame, make_frame
from sirtjax.errors import ImageFormatError

# Attributes in a frame's functional groups that may distinguish frames at one position, the likeliest first.
_MARKS = (
    ("FrameContentSequence", "StackID"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("MRImageFrameTypeSequence", "FrameType"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("CTImageFrameTypeSequence", "FrameType"),
    ("PETFrameTypeSequence", "FrameType"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("FrameContentSequence", "FrameReferenceDateTime"),
)


def is_enhanced(file: DicomFile) -> bool:
    """Returns whether the file stores frame positions in functional groups (enhanced, legacy converted)."""
    return "PerFrameFunctionalGroupsSequence" in file.header


def enhanced_frames(file: DicomFile) -> list[Frame]:
    """Returns the frames of an enhanced multi-frame CT, MR or PET.

    Raises:
      ImageFormatError: a frame without position, orientation or pixel spacing, or groups for other than
        NumberOfFrames frames.
    """
    header = file.header
    with parsing(file.path, "multi-frame image"):
        groups = header.PerFrameFunctionalGroupsSequence
        stated = int(header.get("NumberOfFrames") or 1)
        if len(groups) != stated:
            raise ImageFormatError(
                f"{file.path}: {stated} frames but functional groups for {len(groups)}; export it again"
            )
        shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
        return [_frame(file, index, own, shared[0]) for index, own in enumerate(groups)]


def _frame(file: DicomFile, index: int, own: Any, shared: Dataset) -> Frame:
    def group(name: str) -> Dataset:
        for holder in (own, shared):
            items = holder.get(name)
            if items:
                return items[0]
        return Dataset()

    measures = group("PixelMeasuresSequence")
    transformation = group("PixelValueTransformationSequence")
    marks = ((key, group(name).get(key)) for name, key in _MARKS)
    return make_frame(
        file,
        position=group("PlanePositionSequence").get("ImagePositionPatient"),
        orientation=group("PlaneOrientationSequence").get("ImageOrientationPatient"),
        pixel_spacing=measures.get("PixelSpacing"),
        thickness=optional(measures.get("SpacingBetweenSlices"), measures.get("SliceThickness")),
        rescale=transformation if "RescaleSlope" in transformation else file.header,
        index=index,
        marks=tuple((key, leading_text(value)) for key, value in marks if value is not None),
    )
