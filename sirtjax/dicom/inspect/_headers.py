from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._claims import check_decompressed_size
from sirtjax.dicom.image._radionuclide import radionuclides_of
from sirtjax.errors import ImageFormatError
from sirtjax.io import PatientFingerprint, patient_fingerprint

IMAGE_MODALITIES = ("CT", "MR", "PT", "NM")
_TAGS: list[Any] = [
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("SeriesDescription", "StudyDate", "SeriesDate", "SeriesTime", "ImageType", "BodyPartExamined", "Rows"),
    *("ContrastBolusAgent", "RadiopharmaceuticalInformationSequence", "PatientID", "PatientName", "PatientBirthDate"),
]
_MAX_TEXT = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class FileHeader:
    """The header of one DICOM file.

    Attributes:
      path: path of the file.
      patient: keyed hashes that distinguish the patient from others.
      modality: modality as stated, in capitals.
      series_uid, study_uid, frame_of_reference_uid, instance_uid: UIDs of the file; "" if not stated.
      description: SeriesDescription.
      day: StudyDate.
      time: SeriesDate and SeriesTime.
      image_type: values of ImageType, in capitals.
      nuclide, agent: nuclide and name of the radiopharmaceutical.
      contrast, body_part: contrast agent and body part, as stated.
      image: whether the file has pixels.
    """

    path: Path
    patient: PatientFingerprint
    modality: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    instance_uid: str
    description: str
    day: date | None
    time: datetime | None
    image_type: tuple[str, ...]
    nuclide: str | None
    agent: str | None
    contrast: str | None
    body_part: str | None
    image: bool


def read_file_headers(path: Path) -> tuple[list[FileHeader], list[Path]]:
    """Returns the headers of all DICOM files at a path, and the DICOM files that cannot be read.

    Raises:
      ImageFormatError: there is nothing at the path.
    """
    if not path.exists():
        raise ImageFormatError(f"{path}: no such file or folder; expected a folder with DICOM files")
    found: list[FileHeader] = []
    damaged: list[Path] = []
    for file in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
        try:
            header = _read(file)
        except Exception:  # pydicom meets damaged bytes with almost any exception type; the file is reported
            damaged.append(file)
            continue
        if header is not None:
            found.append(header)
    return found, damaged


def short_text(holder: Dataset, keyword: str) -> str:
    """Returns a text value up to its first unprintable character, at most 64 characters; "" if missing."""
    text = str(holder.get(keyword) or "").strip()
    end = next((n for n, character in enumerate(text) if not character.isprintable()), len(text))
    return text[: min(end, _MAX_TEXT)].strip()


def moment_of(day: str, time: str) -> datetime | None:
    """Returns a DICOM date and time; None if the date is invalid.

    An invalid time counts as midnight.
    """
    digits = day.replace(".", "")
    clock = (time.partition(".")[0].replace(":", "") + "000000")[:6]
    for text in (digits + clock, digits + "000000"):
        try:
            return datetime.strptime(text, "%Y%m%d%H%M%S")
        except ValueError:
            continue
    return None


def _read(path: Path) -> FileHeader | None:
    import pydicom

    with path.open("rb") as stream:
        start = stream.read(132)
        named = start[128:] == b"DICM"
        # Without preamble a data set opens with an element of group 0008 (or 0002), in either byte order.
        bare = start[:2] in (b"\x08\0", b"\0\x08", b"\x02\0", b"\0\x02") and len(start) == 132
        if not named and not bare:
            return None
        stream.seek(0)
        check_decompressed_size(path)
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=not named, specific_tags=_TAGS)
    modality = short_text(header, "Modality").upper()
    if not modality and "SOPClassUID" not in header:
        if named and not str(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID") or ""):
            raise EOFError("a DICOM header with neither SOP class nor modality")
        return None  # a DICOMDIR, or no DICOM at all
    if modality in IMAGE_MODALITIES and "Rows" not in header:
        raise EOFError("an image without a size")
    study = moment_of(short_text(header, "StudyDate"), "")
    tracer = (header.get("RadiopharmaceuticalInformationSequence") or [{}])[0]
    kinds = header.get("ImageType") or []
    return FileHeader(
        path=path,
        patient=patient_fingerprint(header),
        modality=modality,
        series_uid=short_text(header, "SeriesInstanceUID"),
        study_uid=short_text(header, "StudyInstanceUID"),
        frame_of_reference_uid=short_text(header, "FrameOfReferenceUID"),
        instance_uid=short_text(header, "SOPInstanceUID"),
        description=short_text(header, "SeriesDescription"),
        day=None if study is None else study.date(),
        time=moment_of(short_text(header, "SeriesDate"), short_text(header, "SeriesTime")) or study,
        image_type=(kinds.upper(),) if isinstance(kinds, str) else tuple(str(kind).upper() for kind in kinds),
        nuclide=" + ".join(radionuclides_of(header)) or None,
        agent=short_text(tracer, "Radiopharmaceutical") or _coded(tracer),
        contrast=short_text(header, "ContrastBolusAgent") or None,
        body_part=short_text(header, "BodyPartExamined") or None,
        image="Rows" in header,
    )


def _coded(tracer: Dataset) -> str | None:
    codes = tracer.get("RadiopharmaceuticalCodeSequence") or []
    return (short_text(codes[0], "CodeMeaning") if codes else "") or None
