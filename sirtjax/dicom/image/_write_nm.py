from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._values import decimal
from sirtjax.dicom.image._identity import RadiopharmaceuticalInfo, StudyIdentity
from sirtjax.dicom.image._write_modules import add_injection, add_patient_orientation, add_pixels, coded, image_dataset
from sirtjax.errors import InputError
from sirtjax.io import atomic_path
from sirtjax.volume import Geometry

_NM_CLASS = "1.2.840.10008.5.1.4.1.1.20"


def tomogram(
    geometry: Geometry,
    array: Float64[np.ndarray, "i j k"],
    start: Callable[..., Dataset],
    *,
    study: StudyIdentity,
    injection: RadiopharmaceuticalInfo,
    duration_s: float,
) -> Dataset:
    """Returns one NM image object of type RECON TOMO.

    The slices of a SPECT are its frames, along row x column.
    """
    dataset = start(sop_class_uid=_NM_CLASS, instance_number=1)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    _add_nuclear(dataset, study, injection)
    slices = geometry.shape[2]
    dataset.PixelSpacing = [decimal(geometry.spacing_mm[1]), decimal(geometry.spacing_mm[0])]
    dataset.SpacingBetweenSlices = dataset.SliceThickness = decimal(geometry.spacing_mm[2])
    dataset.NumberOfFrames = dataset.NumberOfSlices = slices
    dataset.FrameIncrementPointer = 0x00540080
    dataset.SliceVector = list(range(1, slices + 1))
    dataset.NumberOfEnergyWindows = dataset.NumberOfDetectors = dataset.NumberOfRotations = 1
    detector = Dataset()
    detector.CollimatorType = "PARA"
    detector.FocalDistance = 0
    detector.ImageOrientationPatient = [decimal(x) for x in geometry.direction.T[:2].ravel()]
    detector.ImagePositionPatient = [decimal(x) for x in geometry.origin_mm]
    dataset.DetectorInformationSequence = [detector]
    views = 120
    rotation = Dataset()
    rotation.StartAngle, rotation.AngularStep, rotation.RotationDirection = 0, 360 / views, "CW"
    rotation.ScanArc, rotation.NumberOfFramesInRotation = 360, views
    rotation.ActualFrameDuration = max(1, round(duration_s * 1000 / views))
    dataset.RotationInformationSequence = [rotation]
    _add_counts(dataset, array.transpose(2, 1, 0))
    return dataset


def write_dicom_planar(
    anterior: ArrayLike,
    posterior: ArrayLike,
    path: str | Path,
    *,
    spacing_mm: tuple[float, float],
    study: StudyIdentity,
    series_description: str,
    acquired: datetime,
    duration_s: float,
    injection: RadiopharmaceuticalInfo,
    whole_body: bool = False,
    series_number: int = 1,
    frame: str = "scanner",
    force: bool = False,
) -> Path:
    """Writes a pair of planar views as one NM image of two frames, STATIC or WHOLE BODY.

    Both views are given in the patient's axes: the first towards the patient's left, the second towards the
    head, a pixel of one lying over the same pixel of the other. In the file each view is as the camera saw
    it: head on top, the patient's right at the left of the anterior and at the right of the posterior view.

    Args:
      anterior: (left, head) counts, not negative.
      posterior: counts of the same shape.
      path: file to write.
      spacing_mm: pixel size along the two axes.
      study: patient and study.
      series_description: part of the series' identity, with modality and number.
      acquired: start of the acquisition.
      duration_s: duration of the acquisition.
      injection: injected radiopharmaceutical.
      whole_body: write WHOLE BODY (a scan along the patient) instead of STATIC.
      series_number: number of the series in the study.
      frame: name of the frame of reference, which series with the same name share.
      force: replace an existing file.

    Returns:
      The file written.

    Raises:
      InputError: views of different shapes, negative or not finite counts, or a duration or pixel size not above 0.
      OutputError: the file exists already.
    """
    views = [np.asarray(view, np.float64) for view in (anterior, posterior)]
    if views[0].ndim != 2 or views[0].shape != views[1].shape:
        shapes = " and ".join(str(view.shape) for view in views)
        raise InputError(f"anterior and posterior views must be two images of one shape, got {shapes}")
    if not all(np.isfinite(view).all() and view.min() >= 0 for view in views):
        raise InputError("planar counts must be finite and not negative")
    if not (duration_s > 0 and min(spacing_mm) > 0):
        raise InputError(f"duration {duration_s} s and pixel size {spacing_mm} mm must be above 0")
    dataset = image_dataset(
        study,
        sop_class_uid=_NM_CLASS,
        modality="NM",
        description=series_description,
        series_number=series_number,
        instance_number=1,
        acquired=acquired,
        frame=frame,
    )
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "WHOLE BODY" if whole_body else "STATIC", "EMISSION"]
    _add_nuclear(dataset, study, injection)
    dataset.PixelSpacing = [decimal(spacing_mm[1]), decimal(spacing_mm[0])]
    dataset.NumberOfFrames = 2
    dataset.FrameIncrementPointer = [0x00540010, 0x00540020]
    dataset.EnergyWindowVector, dataset.DetectorVector = [1, 1], [1, 2]
    dataset.NumberOfEnergyWindows, dataset.NumberOfDetectors = 1, 2
    dataset.ActualFrameDuration = round(duration_s * 1000)
    if whole_body:
        dataset.ScanVelocity = dataset.ScanLength = None
        dataset.WholeBodyTechnique = "1PS"
    dataset.DetectorInformationSequence = [_view("anterior"), _view("posterior")]
    rows = [view.T[::-1] for view in views]
    _add_counts(dataset, np.stack([rows[0], rows[1][:, ::-1]]))
    with atomic_path(path, force=force) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return Path(path)


def _view(side: str) -> Dataset:
    from pydicom.sr.codedict import codes

    item = Dataset()
    item.CollimatorType = "PARA"
    item.FocalDistance = 0
    item.StartAngle = 0 if side == "anterior" else 180
    across = 1 if side == "anterior" else -1
    item.ImageOrientationPatient = [across, 0, 0, 0, 0, -1]
    item.ImagePositionPatient = None
    view = codes.cid26.AnteriorProjection if side == "anterior" else codes.cid26.PosteriorProjection
    item.ViewCodeSequence = [coded(view)]
    item.ViewCodeSequence[0].ViewModifierCodeSequence = []
    return item


def _add_nuclear(dataset: Dataset, study: StudyIdentity, injection: RadiopharmaceuticalInfo) -> None:
    add_patient_orientation(dataset, study)
    dataset.CountsAccumulated = None
    dataset.EnergyWindowInformationSequence = []
    add_injection(dataset, injection)


def _add_counts(dataset: Dataset, frames: NDArray[np.float64]) -> None:
    """Adds counts unchanged if they are integers of 16 bits, otherwise with a rescale slope as cameras write it."""
    top = float(frames.max())
    if top <= 65535 and np.array_equal(frames, np.rint(frames)):
        add_pixels(dataset, frames.astype(np.uint16))
        return
    slope = decimal(top / 65535)
    add_pixels(dataset, np.clip(np.rint(frames / float(slope)), 0, 65535).astype(np.uint16))
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, slope
