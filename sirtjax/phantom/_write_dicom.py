from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from sirtjax import dicom
from sirtjax.phantom._patient import Patient

# Sessions follow each other as in a clinic; a patient that is not real was born on no date.
_BEGUN = datetime(2024, 3, 4, 9, 0)
_DAYS = {"diagnostic_ct": 0, "mr": 1, "fdg_pet": 3, "spect": 10, "y90_pet": 18}
_TC99M_HALF_LIFE_H = 6.015  # ICRP Publication 107
_SPECT_DELAY_H = 1.0
_DESCRIPTIONS = {
    "diagnostic_ct": "CT portal venous",
    "mr": "T1 MR",
    "spect": "99mTc-MAA SPECT",
    "spect_ct": "Low-dose CT of SPECT/CT",
    "y90_pet": "90Y PET",
    "y90_ct": "Low-dose CT of PET/CT",
    "fdg_pet": "FDG PET",
}
_MODALITIES = {"mr": "MR", "spect": "NM", "y90_pet": "PT", "fdg_pet": "PT"}


def write_patient_dicom(patient: Patient, folder: Path) -> None:
    """Writes every image of a patient as a DICOM series in its own folder.

    Each session is a study; the images of one session share a frame of reference. The UIDs follow from seed and
    preset. PET values refer to the start of the scan.
    """
    for number, (name, volume) in enumerate(patient.images.items(), start=1):
        if name.startswith("planar_"):
            continue
        session = patient.frames[name]
        modality = _MODALITIES.get(name, "CT")
        if modality == "MR":
            # MR is stored in whole numbers without a rescale.
            volume = volume.replace(np.round(np.asarray(volume.array)))
        injection = _injection(patient, session) if modality in ("NM", "PT") else None
        dicom.write_dicom_series(
            volume,
            folder / name,
            modality=modality,
            study=_study(patient, session),
            series_description=_DESCRIPTIONS[name],
            acquired=_begun(session),
            series_number=number,
            frame=session,
            duration_s=1200.0 if injection is not None else None,
            injection=injection,
        )
    if "planar_anterior" in patient.images:
        _write_planar(patient, folder / "planar" / "planar.dcm")


def _write_planar(patient: Patient, path: Path) -> None:
    anterior, posterior = (patient.images[f"planar_{side}"] for side in ("anterior", "posterior"))
    spacing = anterior.geometry.spacing_mm
    path.parent.mkdir(parents=True)
    dicom.write_dicom_planar(
        np.asarray(anterior.array)[:, 0, :],
        np.asarray(posterior.array)[:, 0, :],
        path,
        spacing_mm=(spacing[0], spacing[2]),
        study=_study(patient, "spect"),
        series_description="99mTc-MAA planar",
        acquired=_begun("spect"),
        duration_s=600.0,
        injection=_injection(patient, "spect"),
        series_number=50,
    )


def _begun(session: str) -> datetime:
    return _BEGUN + timedelta(days=_DAYS[session])


def _study(patient: Patient, session: str) -> dicom.StudyIdentity:
    return dicom.StudyIdentity(
        seed=f"phantom {patient.config.name} {patient.seed} {session}",
        patient_id=f"phantom-{patient.config.name}-{patient.seed}",
        begun=_begun(session),
        patient_weight_kg=patient.numbers["weight_kg"],
    )


def _injection(patient: Patient, session: str) -> dicom.RadiopharmaceuticalInfo:
    config = patient.config
    nuclide, agent, activity_mbq, delay_h, half_life_h = {
        "spect": ("Tc-99m", "99mTc-MAA", config.maa.activity_mbq, _SPECT_DELAY_H, _TC99M_HALF_LIFE_H),
        "y90_pet": (
            "Y-90",
            "90Y microspheres",
            config.y90_pet.activity_mbq,
            config.y90_pet.delay_h,
            config.y90_pet.half_life_h,
        ),
        "fdg_pet": (
            "F-18",
            "Fluorodeoxyglucose",
            config.fdg_pet.activity_mbq,
            config.fdg_pet.delay_h,
            config.fdg_pet.half_life_h,
        ),
    }[session]
    return dicom.RadiopharmaceuticalInfo(
        nuclide=nuclide,
        agent=agent,
        activity_bq=activity_mbq * 1e6,
        at=_begun(session) - timedelta(hours=delay_h),
        half_life_s=half_life_h * 3600.0,
    )
