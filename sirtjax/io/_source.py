from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from sirtjax.io._patient_fingerprint import PatientFingerprint
from sirtjax.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Source:
    """The origin of an image and the data for its calibration, without the patient's identity.

    Times are local to the scanner, without a zone, as DICOM has them.

    Attributes:
      path: file or folder that was read.
      format: "nifti", "nrrd" or "dicom".
      modality: "CT", "MR", "PT" or "NM" as the file states; None if it does not (NIfTI).
      series_uid: SeriesInstanceUID.
      study_uid: StudyInstanceUID.
      frame_of_reference_uid: FrameOfReferenceUID; images with the same value share a coordinate system.
      sop_instance_uids: SOPInstanceUIDs of the files read, in slice order.
      sop_class_uid: SOPClassUID of the files read.
      description: SeriesDescription.
      patient_position: HFS, FFS, HFP, ...; the geometry does not depend on it.
      acquired: start of the acquisition of the first slice or frame.
      series_time: SeriesDate and SeriesTime.
      reference_time: time to which the activity is decay-corrected; None if it is not corrected or not known.
      decay_correction: "START", "ADMIN" or "NONE", for PT and for NM that states it.
      radionuclides: names such as "F-18" or "Tc-99m"; empty if the file names none.
      half_life_s: half-life of the radionuclide, as stated by the file.
      positron_fraction: positrons per decay with which the scanner calibrated a PET, as stated by the file.
      frame_duration_s: duration of the acquisition of a slice or frame, as stated by the file.
      decay_factor: factor of the decay correction of the first slice, as stated by a PET file.
      last_acquired: start of the acquisition of the last slice or frame; later than `acquired` with several bed
        positions.
      injected_activity_bq: RadionuclideTotalDose.
      injection_time: start of the injection.
      patient_weight_kg: body weight.
      patient_height_m: body height.
      patient: keyed hashes that distinguish the patients of two images within this process.
      sha256: hash of the bytes read; for a series, over its files in slice order.
      notes: changes to the image while it was read, other than decoding, one sentence each.
    """

    path: Path
    format: Literal["nifti", "nrrd", "dicom"]
    modality: str | None = None
    series_uid: str | None = None
    study_uid: str | None = None
    frame_of_reference_uid: str | None = None
    sop_instance_uids: tuple[str, ...] = ()
    sop_class_uid: str | None = None
    description: str | None = None
    patient_position: str | None = None
    acquired: datetime | None = None
    series_time: datetime | None = None
    reference_time: datetime | None = None
    decay_correction: str | None = None
    radionuclides: tuple[str, ...] = ()
    half_life_s: float | None = None
    positron_fraction: float | None = None
    frame_duration_s: float | None = None
    decay_factor: float | None = None
    last_acquired: datetime | None = None
    injected_activity_bq: float | None = None
    injection_time: datetime | None = None
    patient_weight_kg: float | None = None
    patient_height_m: float | None = None
    patient: PatientFingerprint = field(default_factory=PatientFingerprint)
    sha256: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def radionuclide(self) -> str | None:
        """Returns the radionuclide of the image; None if the file names none or several."""
        return self.radionuclides[0] if len(self.radionuclides) == 1 else None


@dataclass(frozen=True)
class Image:
    """A volume as read from a file, and its origin.

    Attributes:
      volume: the voxels, float32, on their grid.
      source: the file, its UIDs and its calibration.
    """

    volume: Volume
    source: Source
