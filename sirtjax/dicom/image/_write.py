from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.image._identity import RadiopharmaceuticalInfo, StudyIdentity
from sirtjax.dicom.image._write_modules import add_pixels, add_plane, image_dataset, right_handed
from sirtjax.dicom.image._write_nm import tomogram
from sirtjax.dicom.image._write_pet import pet_slices
from sirtjax.errors import InputError
from sirtjax.io import atomic_folder
from sirtjax.volume import Geometry, Volume

_CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
_MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"
_UNITS = {"CT": ("HU",), "MR": ("1",), "PT": ("Bq/mL", "MBq/mL"), "NM": ("counts",)}
_HU_OFFSET = -1024


def write_dicom_series(
    volume: Volume,
    folder: str | Path,
    *,
    modality: str,
    study: StudyIdentity,
    series_description: str,
    acquired: datetime,
    series_number: int = 1,
    frame: str = "scanner",
    duration_s: float | None = None,
    injection: RadiopharmaceuticalInfo | None = None,
    decay_correction: str = "START",
    force: bool = False,
) -> tuple[Path, ...]:
    """Writes a volume as a DICOM series: CT, MR or PT slice by slice, NM as one reconstructed SPECT.

    CT is stored in whole HU, MR in whole numbers (its images have no rescale: scale the volume first), PT in
    Bq/mL with a rescale slope per slice, NM in counts (integers if possible, otherwise with a rescale slope). The
    grid may be oblique; slices are written in the order of row x column, so that a left-handed grid is read
    back with k reversed.

    Args:
      volume: volume in HU (CT), "1" (MR), Bq/mL or MBq/mL (PT) or counts (NM).
      folder: output folder; created, or replaced if `force`.
      modality: "CT", "MR", "PT" or "NM".
      study: patient and study; series with the same study share its UIDs.
      series_description: part of the series' identity, with modality and number.
      acquired: start of the acquisition, and the time that PT values with `decay_correction` START refer to.
      series_number: number of the series in the study.
      frame: name of the frame of reference, which series with the same name share.
      duration_s: duration of the acquisition; needed for PT and NM.
      injection: injected radiopharmaceutical; needed for PT and NM.
      decay_correction: decay correction of the PT values, START, ADMIN or NONE; no value is corrected here.
      force: replace an existing folder.

    Returns:
      The files written, in the order of k.

    Raises:
      InputError: an unknown modality, another unit, values that cannot be stored, or duration or injection missing.
      GeometryError: the axes of the grid are not at right angles.
      OutputError: the folder exists already.

    Examples:
      >>> import tempfile
      >>> from datetime import datetime
      >>> import numpy as np
      >>> from sirtjax import dicom
      >>> from sirtjax.volume import Geometry, Volume
      >>> grid = Geometry.from_axes((4, 4, 3), spacing_mm=(2.0, 2.0, 5.0), origin_mm=(-10.0, 0.0, 40.0))
      >>> study = dicom.StudyIdentity(seed="example", patient_id="P001", begun=datetime(2024, 5, 1, 9))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     image = Volume(np.full(grid.shape, -100.0), grid, unit="HU")
      ...     files = dicom.write_dicom_series(
      ...         image,
      ...         f"{folder}/ct",
      ...         modality="CT",
      ...         study=study,
      ...         series_description="example",
      ...         acquired=datetime(2024, 5, 1, 9, 30),
      ...     )
      ...     read = dicom.read_dicom_series(f"{folder}/ct")
      >>> len(files), read.volume.geometry.matches(grid), float(read.volume.array.mean())
      (3, True, -100.0)
    """
    array = _checked(volume, modality)
    geometry, array = right_handed(volume.geometry, array)
    start = partial(
        image_dataset,
        study,
        modality=modality,
        description=series_description,
        series_number=series_number,
        acquired=acquired,
        frame=frame,
    )
    if modality == "CT":
        datasets = _ct_slices(geometry, array, start, study)
    elif modality == "MR":
        datasets = _mr_slices(geometry, array, start, study)
    elif duration_s is None or duration_s <= 0 or injection is None:
        raise InputError(f"a {modality} series needs duration_s (above 0) and injection")
    elif modality == "PT":
        scale = 1e6 if volume.unit == "MBq/mL" else 1.0
        datasets = pet_slices(
            geometry,
            array * scale,
            start,
            study=study,
            injection=injection,
            duration_s=duration_s,
            decay_correction=decay_correction,
        )
    else:
        datasets = [tomogram(geometry, array, start, study=study, injection=injection, duration_s=duration_s)]
    names = [f"{modality}_{n:04d}.dcm" for n in range(1, len(datasets) + 1)]
    with atomic_folder(folder, force=force) as temporary:
        for name, dataset in zip(names, datasets, strict=True):
            dataset.save_as(temporary / name, enforce_file_format=True)
    return tuple(Path(folder) / name for name in names)


def _checked(volume: Volume, modality: str) -> NDArray[np.float64]:
    if modality not in _UNITS:
        raise InputError(f"modality is {modality!r}; expected one of {', '.join(_UNITS)}")
    if volume.unit not in _UNITS[modality]:
        raise InputError(
            f"a {modality} series must be in {' or '.join(_UNITS[modality])}, the volume is in {volume.unit}"
        )
    array = np.asarray(volume.array, np.float64)
    if not np.isfinite(array).all():
        raise InputError("the volume has NaN or infinite voxels, which DICOM cannot store")
    if modality in ("MR", "NM") and array.min() < 0:
        raise InputError(
            f"the {modality} volume has negative values (down to {array.min():g}); expected values of at least 0"
        )
    return array


def _ct_slices(
    geometry: Geometry, array: NDArray[np.float64], start: Callable[..., Dataset], study: StudyIdentity
) -> list[Dataset]:
    stored = np.rint(array) - _HU_OFFSET
    if stored.min() < 0 or stored.max() > 65535:
        raise InputError(
            f"the CT volume spans {array.min():g} to {array.max():g} HU; expected {_HU_OFFSET} to "
            f"{65535 + _HU_OFFSET}; clip it first"
        )
    datasets = []
    for k in range(geometry.shape[2]):
        dataset = start(sop_class_uid=_CT_CLASS, instance_number=k + 1)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientPosition = study.patient_position
        dataset.KVP = None
        add_plane(dataset, geometry, k)
        add_pixels(dataset, stored[:, :, k].T.astype(np.uint16))
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = _HU_OFFSET, 1, "HU"
        datasets.append(dataset)
    return datasets


def _mr_slices(
    geometry: Geometry, array: NDArray[np.float64], start: Callable[..., Dataset], study: StudyIdentity
) -> list[Dataset]:
    stored = np.rint(array)
    # Below a few hundred steps, rounding would show as banding.
    if stored.max() > 65535 or (stored.max() < 255 and not np.array_equal(stored, array)):
        raise InputError(
            f"the MR volume reaches {array.max():g}; MR images store integers, so scale it to between 255 "
            "and 65535 first"
        )
    datasets = []
    for k in range(geometry.shape[2]):
        dataset = start(sop_class_uid=_MR_CLASS, instance_number=k + 1)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        dataset.PatientPosition = study.patient_position
        dataset.ScanningSequence, dataset.SequenceVariant = "GR", "NONE"
        dataset.ScanOptions = ""
        dataset.MRAcquisitionType = "3D"
        dataset.RepetitionTime = dataset.EchoTime = dataset.EchoTrainLength = None
        add_plane(dataset, geometry, k)
        dataset.SpacingBetweenSlices = dataset.SliceThickness
        add_pixels(dataset, stored[:, :, k].T.astype(np.uint16))
        datasets.append(dataset)
    return datasets
