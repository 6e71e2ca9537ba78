from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """One study of a folder.

    Attributes:
      number: from 1, by date.
      uid: StudyInstanceUID; None where the files have none.
      patient: which of the folder's patients, from 1; never who.
      day: StudyDate.
    """

    number: int
    uid: str | None
    patient: int
    day: date | None


@dataclass(frozen=True, kw_only=True)
class SeriesFacts:
    """What the headers of one image series (or one of its stacks of slices) say; no pixel is looked at.

    Attributes:
      number: as in `list_series`.
      uid: SeriesInstanceUID; None where the files have none.
      stacks: of slices that its series falls into; 1 where it is the whole series.
      modality: "CT", "MR", "PT" or "NM".
      description: SeriesDescription, and in brackets which stack of the series it is.
      study: number of its study.
      patient: number of its patient.
      frame_of_reference_uid: series that share it are in one world; None where not stated.
      time: of the acquisition.
      slices: number of them.
      size: number of columns and of rows.
      spacing_mm: along i, j, k; None where the slices make no volume.
      image_type: values of ImageType.
      nuclide: such as "Tc-99m"; None where not stated.
      agent: the radiopharmaceutical as stated.
      contrast: the contrast agent as stated; None where there is none.
      body_part: as stated.
      localizer: scout views.
      folder: the deepest folder that holds all of its files.
      files: number of them.
      problems: what is wrong with it, one sentence each.
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
      number: after those of the image series.
      kind: "RTSTRUCT", "SEG", "RTDOSE", "REG", "SR", ... as its Modality says.
      label: as its author called it.
      series_uid: of the object itself.
      study: number of its study.
      patient: number of its patient.
      path: its file.
      time: when it was made.
      refers_to: numbers of the image series it is about, as far as they are in the folder.
      missing: how many series it refers to that are not in the folder.
      frame_of_reference_uids: that it is drawn in.
      names: of its ROIs or segments.
      problems: what is wrong with it, one sentence each.
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
    """What a folder of DICOM files holds, and what is wrong with it.

    Attributes:
      path: the folder.
      patients: how many.
      studies: by date.
      series: image series and stacks, as `list_series` numbers them.
      objects: what is about them.
      damaged: DICOM files that can't be read.
      problems: of the folder as a whole, one sentence each.
    """

    path: Path
    patients: int
    studies: tuple[StudyFacts, ...]
    series: tuple[SeriesFacts, ...]
    objects: tuple[ObjectFacts, ...]
    damaged: tuple[Path, ...]
    problems: tuple[str, ...]
