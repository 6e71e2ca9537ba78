"""The analytic patient with a blurred activity image and the sources of its uncertainty, for plans with intervals."""

import analytic_case as case
import numpy as np
from scipy import ndimage

from sirtjax.io import write_nifti
from sirtjax.volume import Volume
from sirtjax.workflows import _contours, _uncertainty_grid, _uncertainty_sources

FWHM_MM = 10.0
SPECT = case.grid((40, 36, 34), (4.4, 4.8, 5.3), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
FINE = case.grid((80, 72, 68), (2.2, 2.4, 2.65), rotation_rad=(0.06, -0.04, 0.16), flips=(-1, 1, -1))
STATED = {"origin": "written for tests", "evidence": "assumed"}
SOURCES = {
    "counts": {"noise_fraction": 0.1, "correlation_fwhm_mm": 9.0, **STATED},
    "calibration": {"size": 0.06, **STATED},
    "residual": {"size": 0.02, **STATED},
    "lung_shunt": {"size": 0.2, **STATED},
    "resolution": {"size": 0.1, **STATED},
    "registration": {"size_mm": [1.5, 1.5, 3.0], **STATED},
    "contours": {"size_mm": 1.5, "correlation_mm": 20.0, **STATED},
    "territories": {"size_mm": 3.0, "correlation_mm": 40.0, **STATED},
    "kernel": {"size": 0.0, **STATED},
    "density": {"size": 0.01, **STATED},
    "half_life": {"size": 0.0, **STATED},
}
TABLES = {
    "images": {"activity": {"path": "spect.nii", "resolution_fwhm_mm": FWHM_MM}, "ct": {"path": "ct.nii"}},
    "partial_volume": {"methods": ["rbv"]},
}
# The grid of the simulations with an eighth of its voxels; programs take as long to compile.
SMALL_SHAPE, SMALL_LATTICE_MM = (30, 24, 28), 10.0


def use_small_grid(monkeypatch):
    """Simulate on the small grid, where a test does not look at the width of intervals."""
    for module in (_uncertainty_grid, _contours, _uncertainty_sources):
        monkeypatch.setattr(module, "ENGINE_SHAPE", SMALL_SHAPE)
    monkeypatch.setattr(_uncertainty_sources, "LATTICE_MM", SMALL_LATTICE_MM)


def write_patient(folder, lesions=case.LESIONS):
    """Write the files of the patient, with the activity image blurred by the stated resolution."""
    case.write_patient(folder, margin_mm=0.0, lesions=lesions)
    sigma = FWHM_MM / (2 * np.sqrt(2 * np.log(2))) / np.asarray(FINE.spacing_mm)
    fine = ndimage.gaussian_filter(case.concentration(FINE, 0.0, lesions), sigma)
    i, j, k = SPECT.shape
    image = 1000.0 * fine.reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5)).astype(np.float32)
    write_nifti(folder / "spect.nii", Volume(image, SPECT, unit="counts"), force=True)
