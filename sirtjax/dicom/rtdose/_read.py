from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._decode import decode_file
from sirtjax.dicom.dataset._parse import parsing, read_dataset
from sirtjax.errors import GeometryError, ImageFormatError
from sirtjax.volume import Geometry, Volume

_RTDOSE_CLASS = "1.2.840.10008.5.1.4.1.1.481.2"
# Frames may be off the even grid by this fraction of their spacing; positions are rounded to a tenth of a millimetre.
_EVEN_FRACTION, _EVEN_MM = 0.01, 0.05


def read_rtdose(path: str | Path) -> Volume:
    """Returns the dose of a DICOM RT Dose, in Gy, on its own grid.

    Args:
      path: the file.

    Raises:
      ImageFormatError: the file is not an RT Dose, is damaged, has no scaling, or contains a dose in percent, a
        biologically weighted dose or a difference of doses.
      GeometryError: frames that are not evenly spaced, or no place in space.
    """
    path = Path(path)
    dataset = read_dataset(path, "RT Dose")
    with parsing(path, "RT Dose"):
        found = str(dataset.get("SOPClassUID") or "")
        if found != _RTDOSE_CLASS:
            kind = str(dataset.get("Modality") or "") or found or "unknown"
            raise ImageFormatError(f"{path}: expected an RT Dose, found {kind}; choose another file")
        if "PixelData" not in dataset:
            raise ImageFormatError(f"{path}: an RT Dose without a dose grid (perhaps only a DVH); export the dose grid")
        scaling = _scaling(path, dataset)
        geometry = _geometry(path, dataset)
    stored, _ = decode_file(path)
    dose = (stored.astype(np.float64) * scaling).astype(np.float32)
    if not np.isfinite(dose).all():
        raise ImageFormatError(
            f"{path}: doses that are not finite numbers, with a scaling of {scaling:g}; export the dose again"
        )
    return Volume(np.ascontiguousarray(dose.transpose(2, 1, 0)), geometry, unit="Gy")


def _scaling(path: Path, dataset: Dataset) -> float:
    units, kind = str(dataset.get("DoseUnits") or ""), str(dataset.get("DoseType") or "")
    if units != "GY":
        raise ImageFormatError(f"{path}: the dose is in {units or 'no unit'}; expected GY, export the absolute dose")
    if kind == "ERROR":
        raise ImageFormatError(f"{path}: a difference of doses (DoseType ERROR); expected a dose, choose another file")
    if kind == "EFFECTIVE":
        raise ImageFormatError(
            f"{path}: a biologically weighted dose (DoseType EFFECTIVE); expected a physical dose, choose another file"
        )
    value = dataset.get("DoseGridScaling")
    scaling = float("nan") if value is None or value == "" else float(value)
    if not (np.isfinite(scaling) and scaling > 0):
        raise ImageFormatError(
            f"{path}: DoseGridScaling is {value}; expected a positive number of Gy per stored value, export it again"
        )
    return scaling


def _geometry(path: Path, dataset: Dataset) -> Geometry:
    row, column = _numbers(path, dataset, "ImageOrientationPatient", 6).reshape(2, 3)
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-3):
        raise GeometryError(f"{path}: ImageOrientationPatient is not two perpendicular unit vectors; export it again")
    spacing = _numbers(path, dataset, "PixelSpacing", 2)
    count = int(dataset.get("NumberOfFrames") or 1)
    step = _frame_step_mm(path, dataset, count, np.cross(row, column))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * spacing[1], column * spacing[0]
    affine[:3, 2] = np.cross(row, column) * step
    affine[:3, 3] = _numbers(path, dataset, "ImagePositionPatient", 3)
    return Geometry.from_affine((int(dataset.Columns), int(dataset.Rows), count), affine)


def _frame_step_mm(path: Path, dataset: Dataset, count: int, normal: NDArray[np.float64]) -> float:
    """Distance from frame to frame along the normal; negative where they run against it.

    Reference:
      DICOM PS3.3, C.8.8.3.2 (Grid Frame Offset Vector): offsets from the first frame, of which the first is 0; or, in
      axial frames, the z of each frame.
    """
    if count == 1:
        return float(_numbers(path, dataset, "SliceThickness", 1)[0])
    offsets = _numbers(path, dataset, "GridFrameOffsetVector", count)
    if offsets[0] != 0:
        z = float(_numbers(path, dataset, "ImagePositionPatient", 3)[2])
        if abs(abs(normal[2]) - 1) > 1e-3 or abs(offsets[0] - z) > _EVEN_MM:
            raise GeometryError(
                f"{path}: GridFrameOffsetVector starts at {offsets[0]:g} mm; expected 0, or the position of an axial "
                "frame; export the dose again"
            )
        offsets = (offsets - offsets[0]) * np.sign(normal[2])
    step = float(offsets[-1]) / (count - 1)
    off = np.abs(offsets - step * np.arange(count)).max()
    if step == 0 or off > max(_EVEN_FRACTION * abs(step), _EVEN_MM):
        raise GeometryError(
            f"{path}: its {count} frames are not evenly spaced, up to {off:.2f} mm off steps of {abs(step):.4g} mm; "
            "export the dose on an even grid"
        )
    return step


def _numbers(path: Path, dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64]:
    value = dataset.get(keyword)
    found = np.atleast_1d(np.asarray([] if value is None or value == "" else value, np.float64))
    if found.shape != (count,) or not np.isfinite(found).all() or not (np.abs(found) < 1e5).all():
        stated = "no" if found.size == 0 else f"{found.size} numbers as"
        raise GeometryError(f"{path}: {stated} {keyword}; expected {count} of them in mm, export the dose again")
    return found
