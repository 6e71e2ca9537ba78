from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from sirtjax.dicom.image._series_headers import read_headers
from sirtjax.errors import ImageFormatError
from sirtjax.volume import Geometry


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The image series that a DICOM object refers to.

    Attributes:
      headers: pydicom data sets without pixels, including those that name the patient: one per slice in the order of k,
        or the only one of a multi-frame image (enhanced CT, MR or PET; NM).
      geometry: grid of the slices, as `read_dicom_series` returns it.
      frame_of_reference_uid: FrameOfReferenceUID of the series.
      study_uid: StudyInstanceUID of the series.
      series_uid: SeriesInstanceUID.
      modality: "CT", "MR", "PT" or "NM".
      frame_numbers: frame number of each slice in a multi-frame image, counted from 1; None if each slice is a separate
        object.
    """

    headers: tuple[Dataset, ...] = field(repr=False)
    geometry: Geometry
    frame_of_reference_uid: str
    study_uid: str
    series_uid: str
    modality: str
    frame_numbers: tuple[int, ...] | None = None

    def instance(self, k: int) -> tuple[str, str, int | None]:
        """Returns SOP class, SOP instance and frame number (None without frames) of slice k."""
        header = self.headers[0 if self.frame_numbers is not None else k]
        frame = None if self.frame_numbers is None else self.frame_numbers[k]
        return str(header.SOPClassUID), str(header.SOPInstanceUID), frame


def read_reference(
    path: str | Path, *, series: str | int | None = None, modality: str | tuple[str, ...] | None = None
) -> Reference:
    """Returns the series that an object will refer to, without its pixels.

    The series is chosen as by `read_dicom_series`.

    Args:
      path: a DICOM file or a folder.
      series: series of the folder: UID, number or part of the description.
      modality: required modality.

    Raises:
      ImageFormatError: no DICOM series that fits, UIDs missing, or slices of several patients, studies or frames.
      GeometryError: slices missing, duplicate or unevenly spaced.
    """
    found = read_headers(path, series=series, modality=modality)
    for header in found.headers:
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            if not str(header.get(keyword) or ""):
                raise ImageFormatError(
                    f"{path}: a slice has no {keyword}, so no object can refer to it; export it again"
                )
    # By their values, which no message may name.
    for keyword, what in (("PatientID", "patients"), ("PatientName", "patients")):
        _one_value(path, found.headers, keyword, what)
    return Reference(
        headers=found.headers,
        geometry=found.geometry,
        frame_of_reference_uid=_uid(path, found.headers, "FrameOfReferenceUID", "frames of reference"),
        study_uid=_uid(path, found.headers, "StudyInstanceUID", "studies"),
        series_uid=_uid(path, found.headers, "SeriesInstanceUID", "series"),
        modality=found.modality,
        frame_numbers=found.frame_numbers,
    )


def _uid(path: str | Path, headers: tuple[Dataset, ...], keyword: str, what: str) -> str:
    value = _one_value(path, headers, keyword, what)
    if not value:
        raise ImageFormatError(
            f"{path}: the series has no {keyword}, which objects that refer to it need; export it from the PACS again"
        )
    return value


def _one_value(path: str | Path, headers: tuple[Dataset, ...], keyword: str, what: str) -> str:
    values = {str(header.get(keyword) or "") for header in headers}
    if len(values) != 1:
        raise ImageFormatError(
            f"{path}: the slices belong to {len(values)} {what} (by {keyword}); expected one, export the series again"
        )
    return values.pop()
