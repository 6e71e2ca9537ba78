from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sirtjax import io
from sirtjax.phantom._case_file import case_text, uncertainty_text, verification_text
from sirtjax.phantom._patient import Patient
from sirtjax.phantom._write_dicom import write_patient_dicom


def write_patient(
    patient: Patient,
    folder: Path,
    *,
    dicom: bool = False,
    report: Callable[[str], None] | None = None,
) -> None:
    """Writes a patient to an empty folder: NIfTI images, ground truth, `truth.json` and the case files.

    Args:
      patient: result of `simulate_patient`.
      folder: existing empty folder; `io.atomic_folder` returns one that appears only when it is complete.
      dicom: also write every image as a DICOM series into `dicom/`.
      report: called with the name of each step when it starts.
    """
    tell = report or (lambda step: None)
    tell("NIfTI")
    (folder / "images").mkdir()
    (folder / "truth").mkdir()
    for name, volume in patient.images.items():
        stored = volume.replace(np.round(np.asarray(volume.array)).astype(np.int16)) if volume.unit == "HU" else volume
        io.write_nifti(folder / "images" / f"{name}.nii.gz", stored)
    for session, maps in patient.labels.items():
        for name, labels in maps.items():
            if labels.names:
                io.write_nifti(folder / "truth" / f"{session}_{name}.nii.gz", labels)
    for session, activity in patient.activity.items():
        io.write_nifti(folder / "truth" / f"{session}_activity.nii.gz", activity)
    for session, field in patient.displacements.items():
        io.write_transform(folder / "truth" / f"{session}_displacement.nii.gz", field)
    if dicom:
        tell("DICOM")
        write_patient_dicom(patient, folder / "dicom")
    text = json.dumps(patient.numbers, indent=2, allow_nan=False)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")
    if {"spect", "diagnostic_ct"} <= set(patient.labels):
        (folder / "case.toml").write_text(case_text(patient), encoding="utf-8")
        (folder / "case-uncertainty.toml").write_text(uncertainty_text(patient), encoding="utf-8")
        if "y90_pet" in patient.images:
            (folder / "case-pet.toml").write_text(verification_text(patient), encoding="utf-8")
