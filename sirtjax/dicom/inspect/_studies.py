from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """One study of a folder.

    Attributes:
      number: number of the study in the folder, counted from 1 by date.
      uid: StudyInstanceUID; None if the files have none.
      patient: number of the patient in the folder, counted from 1, without the patient's identity.
      day: StudyDate.
    """

    number: int
    uid: str | None
    patient: int
    day: date | None


@dataclass(frozen=True, kw_only=True)
class SeriesFacts:
    """The headers of one image series (or of one of its stacks of slices); pixels are not read.

    Attributes:
      number: number of the series, same as in `list_series`.
      uid: SeriesInstanceUID; None if the files have none.
      stacks: number of stacks of slices in the series; 1 if it has only one.
      modality: "CT", "MR", "PT" or "NM".
      description: SeriesDescription, followed by the stack of the series in brackets.
      study: number of its study.
      patient: number of its patient.
      frame_of_reference_uid: FrameOfReferenceUID; series with the same value share a coordinate system. None if not
        stated.
      time: time of the acquisition.
      slices: number of slices.
      size: number of columns and of rows.
      spacing_mm: voxel spacing along i, j, k; None if the slices do not form a volume.
      image_type: values of ImageType.
      nuclide: nuclide such as "Tc-99m"; None if not stated.
      agent: radiopharmaceutical as stated.
      contrast: contrast agent as stated; None if there is none.
      body_part: body part as stated.
      localizer: whether these are scout views.
      folder: deepest folder that contains all files of the series.
      files: number of DICOM files.
      problems: problems of the series, one sentence each.
    """

    number: int
    uid: str | None
    stacks: int
    modality: str
    description: str
    study: int
    patient: int
    frame_of_reference_uid: str | None
    time: datetime | None
    slices: int
    size: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    image_type: tuple[str, ...]
    nuclide: str | None
    agent: str | None
    contrast: str | None
    body_part: str | None
    localizer: bool
    folder: Path
    files: int
    problems: tuple[str, ...]

    @property
    def extent_mm(self) -> tuple[float, float, float] | None:
        """Length of the volume along i, j, k."""
        if self.spacing_mm is None:
            return None
        counts = (*self.size, self.slices)
        return (
            counts[0] * self.spacing_mm[0],
            counts[1] * self.spacing_mm[1],
            counts[2] * self.spacing_mm[2],
        )

    def __str__(self) -> str:
        columns, rows = self.size
        return f"{self.number}: {self.modality} {self.description!r} {columns}x{rows}x{self.slices}"


@dataclass(frozen=True, kw_only=True)
class ObjectFacts:
    """A DICOM object about images: structure set, segmentation, dose, registration or report.

    Attributes:
      number: number of the object, counted after those of the image series.
      kind: modality of the object: "RTSTRUCT", "SEG", "RTDOSE", "REG", "SR", ...
      label: label that the author of the object chose.
      series_uid: SeriesInstanceUID of the object.
      study: number of its study.
      patient: number of its patient.
      path: path of the object's file.
      time: time of creation.
      refers_to: numbers of the referenced image series that are in the folder.
      missing: number of referenced series that are not in the folder.
      frame_of_reference_uids: frames of reference of the object's contents.
      names: names of the ROIs or segments.
      problems: problems of the object, one sentence each.
    """

    number: int
    kind: str
    label: str
    series_uid: str | None
    study: int
    patient: int
    path: Path
    time: datetime | None
    refers_to: tuple[int, ...]
    missing: int
    frame_of_reference_uids: tuple[str, ...]
    names: tuple[str, ...]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} {self.label!r}" + (f" ({', '.join(self.names[:6])})" if self.names else "")


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The contents of a folder of DICOM files, and their problems.

    Attributes:
      path: the folder.
      patients: number of patients.
      studies: studies by date.
      series: image series and stacks, as `list_series` numbers them.
      objects: objects that refer to the series.
      damaged: DICOM files that can't be read.
      problems: problems of the folder as a whole, one sentence each.
    """

    path: Path
    patients: int
    studies: tuple[StudyFacts, ...]
    series: tuple[SeriesFacts, ...]
    objects: tuple[ObjectFacts, ...]
    damaged: tuple[Path, ...]
    problems: tuple[str, ...]
