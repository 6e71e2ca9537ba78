"""The analytic patient of tests/analytic_case.py as DICOM studies: a SPECT/CT, a diagnostic CT with a structure set."""

from datetime import datetime, timedelta

import analytic_case as case
import numpy as np

from sirtjax import dicom
from sirtjax.dicom import RadiopharmaceuticalInfo, StudyIdentity, write_dicom_series
from sirtjax.volume import LabelMap, Volume

BEGUN = datetime(2026, 3, 2, 9)
PATIENT = "SECRET-4711"
SPECT = case.grid((26, 24, 22), (6.0, 6.5, 7.0), rotation_rad=(0, 0, 0.1), flips=(1, 1, 1))
DIAGNOSTIC = case.grid((32, 30, 26), (4.6, 4.8, 5.5), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
INJECTED = {
    "NM": RadiopharmaceuticalInfo(
        nuclide="Tc-99m", agent="99mTc-MAA", activity_bq=1.5e8, at=BEGUN, half_life_s=21654.0
    ),
    "PT": RadiopharmaceuticalInfo(
        nuclide="Y-90", agent="90Y microspheres", activity_bq=2e9, at=BEGUN, half_life_s=230760.0
    ),
}
# What the folder can't say.
SAID = (
    "--protocol",
    "resin-icc-bilobar",
    "--lung-shunt",
    "0.05",
    "--set",
    "dose.method=local",
    "--set",
    "dose.spacing_mm=6",
    "--set",
    "images.activity.resolution_fwhm_mm=5",
)
# What only a plan needs.
CHOSEN = ("--strategy", "upper", "--residual-fraction", "0")  # fmt: skip


def write_series(folder, array, geometry, modality, description, *, day=0, patient=PATIENT, frame="scanner"):
    unit = {"CT": "HU", "MR": "1", "PT": "Bq/mL", "NM": "counts"}[modality]
    begun = BEGUN + timedelta(days=day)
    write_dicom_series(
        Volume(np.asarray(array, np.float32), geometry, unit=unit),
        folder,
        modality=modality,
        study=StudyIdentity(seed=f"day {day} {patient}", patient_id=patient, begun=begun),
        series_description=description,
        acquired=begun + timedelta(hours=1 if modality in INJECTED else 0),
        frame=f"{frame} {day}",
        duration_s=1200.0 if modality in INJECTED else None,
        injection=INJECTED.get(modality),
    )


def anatomy_hu(geometry):
    return np.where(case.masks(geometry)[0], 60.0, 0.0)


def structures(geometry):
    liver, lesions, _ = case.masks(geometry)
    named = {"Liver": liver} | {f"GTV {one.name}": lesions == n for n, one in enumerate(case.LESIONS, start=1)}
    return {name: LabelMap.from_mask(mask, geometry, name=name) for name, mask in named.items()}


def write_studies(folder, *, activity="NM", structure_set=True):
    """The folder: a diagnostic study on day 0, a SPECT/CT (or PET/CT) on day 10, and a text that is no image."""
    counts = 1000.0 * case.concentration(SPECT, 7.0)
    write_series(folder / "diagnostic", anatomy_hu(DIAGNOSTIC), DIAGNOSTIC, "CT", "CT portal venous")
    write_series(folder / "spect", counts, SPECT, activity, "MAA SPECT" if activity == "NM" else "90Y PET", day=10)
    write_series(folder / "spect-ct", anatomy_hu(SPECT), SPECT, "CT", "low dose CT", day=10)
    (folder / "readme.txt").write_text("of another program")
    if structure_set:
        reference = dicom.read_reference(folder / "diagnostic")
        dicom.write_rtstruct(folder / "rs.dcm", structures(DIAGNOSTIC), reference, label="planning")
    return folder
