"""Make the files of docs/example-real-ct.md: a planning case on a real CT with simulated activity.

    python docs/make_real_example.py CT_FOLDER OUTPUT [--dicom]

CT_FOLDER holds a contrast CT (`dicom/`), the liver (`mask_liver.nii.gz`) and tumours (`mask_livertumor*.nii.gz`),
as in 3D-IRCADb-01 case 1. The activity is simulated: 1 in normal liver, 4 in the tumours, blurred to 16 mm FWHM on
a SPECT grid of 4.8 mm; no scatter, no noise and no shunt, so it shows that the plan runs, not how well it does.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from sirtjax import formats, io, spatial
from sirtjax.dicom import RadiopharmaceuticalInfo, StudyIdentity, write_dicom_series
from sirtjax.volume import Geometry, LabelMap, Volume

TN_RATIO = 4.0
RESOLUTION_FWHM_MM = 16.0
SPECT_VOXEL_MM = 4.8
COUNTS = 5e6
BEGUN = datetime(2026, 3, 2, 9, 0)
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))

CASE = """\
schema = 2
patient = {{ id = "real-ct-example" }}
protocol = {{ name = "resin-mcrc-bilobar" }}

[images.activity]
path = "{spect}"
nuclide = "Tc-99m"
resolution_fwhm_mm = 16.0

[images.ct]
path = "{ct}"

[masks.liver]
path = "liver.nii.gz"
image = "activity"

[masks.lesions]
path = "lesions.nii.gz"
image = "activity"
labels = {{ {labels} }}

# What stays in vial and catheter is assumed for the example.
[prescription]
strategy = "upper"
residual_fraction = 0.01
targets = ["lesions"]

# The scan ends in the lung bases, so that counts can't give the shunt.
[lung_shunt]
method = "value"
fraction = 0.04
source = "assumed for the example"
"""


def read_patient(folder: Path) -> tuple[Volume, LabelMap, LabelMap]:
    """CT, liver and tumours (one label each), checked to be on one grid."""
    ct = formats.read_image(folder / "dicom", modality="CT").volume
    (liver,) = formats.read_masks(folder / "mask_liver.nii.gz").values()
    labels = np.zeros(ct.geometry.shape, np.uint8)
    names = []
    for value, path in enumerate(sorted(folder.glob("mask_livertumor*.nii.gz")), start=1):
        (tumour,) = formats.read_masks(path).values()
        labels[place_on(tumour, ct.geometry)] = value
        names.append((value, f"tumour {value}"))
    on_ct = LabelMap.from_mask(place_on(liver, ct.geometry), ct.geometry, name="liver")
    return ct, on_ct, LabelMap(labels, ct.geometry, names=tuple(names))


def place_on(mask: LabelMap, grid: Geometry) -> np.ndarray:
    """The mask where it is on the grid; its grid may run along the axes in another order or direction."""
    name = mask.names[0][1]
    return np.asarray(spatial.resample_labels(mask, grid).array) == mask.value(name)


def simulated_activity(liver: LabelMap, tumours: LabelMap) -> Volume:
    """Counts on a SPECT grid over the liver with room around it."""
    index = np.argwhere(np.asarray(liver.array) > 0)
    corners = liver.geometry.to_world(np.stack([index.min(0), index.max(0)]))
    low, high = corners.min(0) - 60, corners.max(0) + 60
    shape = np.ceil((high - low) / SPECT_VOXEL_MM).astype(int)
    grid = Geometry.from_axes(shape.tolist(), spacing_mm=(SPECT_VOXEL_MM,) * 3, origin_mm=low.tolist())
    concentration = spatial.occupancy(liver, "liver", grid)
    for _, name in tumours.names:
        concentration += np.float32(TN_RATIO - 1) * spatial.occupancy(tumours, name, grid)
    blurred = gaussian_filter(concentration, RESOLUTION_FWHM_MM / FWHM_PER_SIGMA / SPECT_VOXEL_MM)
    counts = np.rint(blurred * (COUNTS / blurred.sum())).astype(np.float32)
    return Volume(counts, grid, unit="counts")


def write_patient(source: Path, folder: Path, *, dicom: bool) -> Path:
    """Write images, masks and case.toml; the path of the case."""
    ct, liver, tumours = read_patient(source)
    spect = simulated_activity(liver, tumours)
    folder.mkdir(parents=True, exist_ok=True)
    names = {"spect": "spect", "ct": "ct"} if dicom else {"spect": "spect.nii.gz", "ct": "ct.nii.gz"}
    if dicom:
        _write_dicom(folder, ct, spect)
    else:
        io.write_nifti(folder / names["ct"], ct, force=True)
        io.write_nifti(folder / names["spect"], spect, force=True)
    io.write_nifti(folder / "liver.nii.gz", liver, force=True)
    io.write_nifti(folder / "lesions.nii.gz", tumours, force=True)
    labels = ", ".join(f'{value} = "{name}"' for value, name in tumours.names)
    (folder / "case.toml").write_text(CASE.format(labels=labels, **names), encoding="utf-8")
    return folder / "case.toml"


def _write_dicom(folder: Path, ct: Volume, spect: Volume) -> None:
    study = StudyIdentity(seed="real-ct-example", patient_id="real-ct-example", begun=BEGUN)
    injection = RadiopharmaceuticalInfo(
        nuclide="Tc-99m", agent="MAA", activity_bq=150e6, at=datetime(2026, 3, 2, 8, 0), half_life_s=6.015 * 3600
    )
    whole = Volume(np.rint(np.asarray(ct.array)), ct.geometry, unit="HU")
    write_dicom_series(
        whole, folder / "ct", modality="CT", study=study, series_description="CT", acquired=BEGUN, force=True
    )
    write_dicom_series(
        spect,
        folder / "spect",
        modality="NM",
        study=study,
        series_description="SPECT",
        acquired=BEGUN,
        duration_s=1200.0,
        injection=injection,
        force=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ct_folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--dicom", action="store_true", help="write DICOM series instead of NIfTI images")
    given = parser.parse_args()
    print(write_patient(given.ct_folder, given.output, dicom=given.dicom))
