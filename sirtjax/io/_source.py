"""Where an image comes from: what provenance and the calibration of activity need, and no patient identifier."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sirtjax.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Source:
    """The origin of an image. Names, birth dates and identifiers of patients are never read into it.

    Attributes:
      path: the file or folder it was read from.
      format: "nifti" or "dicom".
      modality: DICOM's CT, MR, PT, NM; None where the file doesn't say.
      series_uid, study_uid, frame_of_reference_uid, sop_instance_uids: DICOM identifiers, slices in the order of k.
      description: of the series.
      patient_position: HFS, FFS, HFP, ...
      acquired: start of the acquisition, local time.
      reference_time: the time to which the activity is decay-corrected, local time.
      decay_correction: START, ADMIN or NONE.
      injected_activity_bq, injection_time: of the tracer.
      radionuclide, half_life_s: of the tracer.
      patient_weight_kg: for SUV.
      sha256: of the file, or of the files of the series in the order of k.
      notes: what was mended or passed over when reading.
    """

    path: Path
    format: Literal["nifti", "dicom"]
    modality: str | None = None
    series_uid: str | None = None
    study_uid: str | None = None
    frame_of_reference_uid: str | None = None
    sop_instance_uids: tuple[str, ...] = ()
    description: str | None = None
    patient_position: str | None = None
    acquired: datetime | None = None
    reference_time: datetime | None = None
    decay_correction: str | None = None
    injected_activity_bq: float | None = None
    injection_time: datetime | None = None
    radionuclide: str | None = None
    half_life_s: float | None = None
    patient_weight_kg: float | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """An image as read: its voxels on their grid, and where they come from."""

    volume: Volume
    source: Source
