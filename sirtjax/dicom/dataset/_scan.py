from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._claims import check_decompressed_size
from sirtjax.dicom.dataset._values import text_of
from sirtjax.errors import ImageFormatError
from sirtjax.io import PATIENT_KEYWORDS, PatientFingerprint, patient_fingerprint

_LOG = logging.getLogger(__name__)
# What reading an image needs.
_NEEDED = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ImageType"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "Units"),
    *("RealWorldValueMappingSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("DetectorInformationSequence", "DetectorVector", "SliceVector"),
    *("EnergyWindowVector", "TimeSlotVector", "RRIntervalVector"),
)
# Optional elements: one that cannot be read counts as not stated.
_WELCOME = (
    *("StudyInstanceUID", "FrameOfReferenceUID", "SeriesDescription", "SeriesNumber", "PatientPosition"),
    *("StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime"),
    *("AcquisitionDateTime", "ActualFrameDuration", "FrameReferenceTime", "TimezoneOffsetFromUTC", "SUVType"),
    *("TemporalPositionIdentifier", "AcquisitionNumber", "EchoTime", "DiffusionBValue", "TriggerTime"),
    *("NumberOfSlices", "PixelPaddingValue", "PixelPaddingRangeLimit", "PatientWeight", "PatientSize"),
    *("RadiopharmaceuticalInformationSequence", "DecayCorrection", "DecayCorrected", "DecayCorrectionDateTime"),
)
# Philips: private creator, and the factor from counts to Bq/mL.
_PRIVATE = (0x70530010, 0x70531009)
# CT, MR, PET and NM image storage, classic and enhanced.
_IMAGES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.4", "20", "128", "128.1", "130")
)
_TAGS: list[Any] = [*_NEEDED, *_WELCOME, *_PRIVATE, *PATIENT_KEYWORDS]


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file and the part of its header that reading an image needs.

    Attributes:
      path: the file.
      header: a pydicom data set without pixels and without patient identifiers.
      patient: keyed hashes that distinguish the patients of two files.
    """

    path: Path
    header: Dataset
    patient: PatientFingerprint = field(default_factory=PatientFingerprint)


def scan(path: Path) -> tuple[list[DicomFile], list[Path]]:
    """Returns the DICOM files at a path, and those that have DICOM's signature but cannot be parsed.

    A folder is searched to its depths; files that are not DICOM are passed over. A DICOMDIR stands for the
    folder it is in.

    Raises:
      ImageFormatError: a single file that is not DICOM, or an unreadable file.
    """
    if path.is_file() and path.name.upper().startswith("DICOMDIR"):
        path = path.parent
    if path.is_file():
        try:
            found = _read(path)
        except Exception as error:  # pydicom meets damaged bytes with almost any exception type
            raise ImageFormatError(
                f"{path}: not readable as DICOM ({type(error).__name__}); it is damaged, export it again"
            ) from error
        if found is None:
            raise ImageFormatError(f"{path}: not a DICOM file; expected DICOM, or NIfTI named .nii or .nii.gz")
        return [found], []
    files, damaged = [], []
    for candidate in sorted(p for p in path.rglob("*") if p.is_file()):
        try:
            found = _read(candidate)
        except Exception:  # as above; logged below, and refused if it may be a slice
            damaged.append(candidate)
            continue
        if found is not None:
            files.append(found)
    if damaged:
        _LOG.warning("%s: %d damaged DICOM files skipped, the first %s", path, len(damaged), damaged[0].name)
    return files, damaged


def _read(path: Path) -> DicomFile | None:
    """Returns the header of a file; None if it is not DICOM, or DICOM without an image or another known object."""
    with path.open("rb") as stream:
        start = stream.read(132)
        named = start[128:] == b"DICM"
        if not named and not _looks_bare(start):
            return None
        stream.seek(0)
        check_decompressed_size(path)
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=not named, specific_tags=_TAGS)
    if not named and "SOPClassUID" not in header and "Rows" not in header:
        return None
    _convert(header)
    patient = patient_fingerprint(header)
    for keyword in PATIENT_KEYWORDS:
        header.pop(keyword, None)  # from here on nothing names the patient
    _check_whole(header)
    return DicomFile(path, header, patient)


def _convert(header: Dataset) -> None:
    """Have every value parsed now, for pydicom parses when values are read: damage is then met only here."""
    for tag in list(header.keys()):
        try:
            _convert_value(header[tag].value)
        except Exception:  # pydicom raises many kinds for damaged values; those that are needed are raised on
            if pydicom.datadict.keyword_for_tag(tag) in _NEEDED:
                raise
            del header[tag]  # damaged, and nothing needs it


def _convert_value(value: Any) -> None:
    if isinstance(value, pydicom.Sequence):
        for item in value:
            for tag in list(item.keys()):
                _convert_value(item[tag].value)


def _check_whole(header: Dataset) -> None:
    """Refuses a truncated file, whose end pydicom takes for the end of the data set."""
    meta = getattr(header, "file_meta", {})
    kind = str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    if not kind and not text_of(header, "Modality"):
        raise EOFError("a DICOM header with neither SOP class nor modality")
    if kind in _IMAGES and not ("Rows" in header and "Columns" in header):
        raise EOFError("an image without Rows and Columns")
    for keyword in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"):
        value = header.get(keyword)
        if value not in (None, "") and int(value) < 1:
            raise ValueError(f"{keyword} is {value}")


def _looks_bare(start: bytes) -> bool:
    # Without preamble a data set opens with an element of group 0002 or 0008, in either byte order.
    groups = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
    return len(start) == 132 and start[:2] in groups and start[2:4] != start[:2]
