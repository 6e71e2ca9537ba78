from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._values import decimal
from sirtjax.dicom.image._identity import RadiopharmaceuticalInfo, StudyIdentity
from sirtjax.dicom.image._write_modules import add_injection, add_patient_orientation, add_pixels, add_plane
from sirtjax.errors import InputError
from sirtjax.volume import Geometry

_PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"


def pet_slices(
    geometry: Geometry,
    array: Float64[np.ndarray, "i j k"],
    start: Callable[..., Dataset],
    *,
    study: StudyIdentity,
    injection: RadiopharmaceuticalInfo,
    duration_s: float,
    decay_correction: str,
) -> list[Dataset]:
    """Returns PET image objects of one static acquisition, values in Bq/mL with a slope per slice.

    Raises:
      InputError: an unknown kind of decay correction.
    """
    if decay_correction not in ("START", "ADMIN", "NONE"):
        raise InputError(f"decay_correction is {decay_correction!r}; expected START, ADMIN or NONE")
    datasets = []
    for k in range(geometry.shape[2]):
        dataset = start(sop_class_uid=_PET_CLASS, instance_number=k + 1)
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        add_patient_orientation(dataset, study)
        _add_series(dataset, geometry, decay_correction)
        add_injection(dataset, injection)
        add_plane(dataset, geometry, k)
        dataset.ImageIndex = k + 1
        dataset.FrameReferenceTime = decimal(_mean_time_s(duration_s, injection.half_life_s) * 1000)
        dataset.ActualFrameDuration = round(duration_s * 1000)
        if decay_correction != "NONE":
            dataset.DecayFactor = decimal(_decay_factor(dataset, injection, duration_s, decay_correction))
        _add_values(dataset, array[:, :, k].T)
        datasets.append(dataset)
    return datasets


def _add_series(dataset: Dataset, geometry: Geometry, decay_correction: str) -> None:
    dataset.SeriesType = ["STATIC", "IMAGE"]
    dataset.Units = "BQML"
    dataset.CountsSource = "EMISSION"
    dataset.NumberOfSlices = geometry.shape[2]
    dataset.DecayCorrection = decay_correction
    corrected = ["ATTN", "SCAT", "NORM", "RAN", "DTIM"]
    dataset.CorrectedImage = [*corrected, "DECY"] if decay_correction != "NONE" else corrected
    dataset.CollimatorType = "NONE"


def _add_values(dataset: Dataset, values: NDArray[np.float64]) -> None:
    # The stored numbers are made with the slope as it is written, rounded to 16 characters.
    slope = decimal(max(float(np.abs(values).max()), 1e-6) / 32767)
    stored = np.clip(np.rint(values / float(slope)), -32767, 32767).astype(np.int16)
    add_pixels(dataset, stored)
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, slope


def _mean_time_s(duration_s: float, half_life_s: float) -> float:
    """Returns the time after the start at which the activity equals its mean over the acquisition, s."""
    rate = np.log(2) / half_life_s
    return float(np.log(rate * duration_s / -np.expm1(-rate * duration_s)) / rate)


def _decay_factor(
    dataset: Dataset, injection: RadiopharmaceuticalInfo, duration_s: float, decay_correction: str
) -> float:
    """The factor that decay-corrects the mean over the acquisition to its start, or to the injection."""
    elapsed = _mean_time_s(duration_s, injection.half_life_s)
    if decay_correction == "ADMIN":
        from pydicom.valuerep import DT

        begun = DT(f"{dataset.AcquisitionDate}{dataset.AcquisitionTime}")
        elapsed += (begun.replace(tzinfo=None) - injection.at.replace(tzinfo=None)).total_seconds()
    return float(2 ** (elapsed / injection.half_life_s))
