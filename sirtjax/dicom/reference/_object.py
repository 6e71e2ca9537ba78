"""The attributes that every DICOM object takes from its series: patient, study, frame of reference; and the maker."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset

import sirtjax
from sirtjax.dicom.dataset._time import date_time
from sirtjax.dicom.reference._series import Reference
from sirtjax.errors import InputError
from sirtjax.io import atomic_path

MANUFACTURER = "sirtjax"
_PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex"),
    *("OtherPatientIDs", "EthnicGroup", "PatientIdentityRemoved", "DeidentificationMethod"),
    "DeidentificationMethodCodeSequence",
)
_STUDY = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
    *("ReferringPhysicianName", "PatientAge", "PatientSize", "PatientWeight"),
)
_FRAME = ("FrameOfReferenceUID", "PositionReferenceIndicator")
# Of type 2: required, empty if the source does not state them.
_ALWAYS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def new_object(
    reference: Reference,
    *,
    sop_class_uid: str,
    modality: str,
    content: str,
    series_number: int,
    description: str,
    created: datetime | None = None,
) -> Dataset:
    """Returns a data set in the patient and study of the reference, with a series of its own.

    Patient and study are taken over unchanged. The UIDs of the object and its series follow from `content` and the
    reference, so that the same result is the same object.

    Args:
      reference: series that the object refers to.
      sop_class_uid: SOPClassUID of the new object.
      modality: "RTSTRUCT", "RTDOSE", "SEG", "SR", "REG", ...
      content: hash of everything that makes the object unique.
      series_number: number of the new series in the study.
      description: description of the new series, at most 64 characters.
      created: time of the result. Default: now.

    Returns:
      A pydicom data set with file meta information, SOP common, patient, study, series, frame of reference and
      equipment filled in, and InstanceCreationDate and InstanceCreationTime.

    Raises:
      InputError: a description that DICOM cannot store.
    """
    from pydicom.uid import ExplicitVRLittleEndian

    header = reference.headers[0]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*_PATIENT, *_STUDY):
        if keyword in header:
            dataset[keyword] = _copied(header[keyword])
    for keyword in _ALWAYS:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = content_uid(modality, "instance", reference.series_uid, content)
    dataset.Modality = modality
    dataset.SeriesInstanceUID = content_uid(modality, "series", reference.series_uid, content)
    dataset.SeriesNumber = series_number
    dataset.SeriesDescription = short_text(description, what="series description")
    dataset.OperatorsName = None
    dataset.InstanceNumber = 1
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date_time(created or datetime.now())
    dataset.SeriesDate, dataset.SeriesTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.FrameOfReferenceUID = reference.frame_of_reference_uid
    dataset.PositionReferenceIndicator = header.get("PositionReferenceIndicator")
    dataset.Manufacturer = dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions = sirtjax.__version__
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def save_object(dataset: Dataset, path: str | Path, *, force: bool = False) -> Path:
    """Writes a data set as a DICOM file, atomically.

    Args:
      dataset: data set with its file meta information.
      path: file to write.
      force: replace an existing file.

    Raises:
      OutputError: the file exists already, or its place refuses writing.
    """
    with atomic_path(path, force=force) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return Path(path)


def content_uid(*words: str) -> str:
    """Returns the UID derived from these words and the version of the package."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=["sirtjax", sirtjax.__version__, *words]))


def short_text(text: str, *, what: str, longest: int = 64) -> str:
    r"""Returns a text that fits DICOM's LO (64 characters) or SH (16).

    Args:
      text: text from the user.
      what: meaning of the text, for the message.
      longest: largest number of characters.

    Raises:
      InputError: empty, too long, or with a backslash or a control character.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > longest or "\\" in stripped or not stripped.isprintable():
        raise InputError(
            f"the {what} {stripped[:longest]!r} has {len(stripped)} characters; expected 1 to {longest} printable "
            "ones without '\\', as DICOM can hold it"
        )
    return stripped


def referenced(sop_class_uid: str, sop_instance_uid: str, *, frame: int | None = None) -> Dataset:
    """Returns the sequence item that refers to an object, or to one frame of it."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def _copied(element: DataElement) -> DataElement:
    """An element as the source has it: a name in another character set becomes Unicode, a damaged value stays."""
    from pydicom import config

    value = str(element.value) if element.VR == "PN" and element.value else element.value
    return DataElement(element.tag, element.VR, value, validation_mode=config.IGNORE)
