from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._decode import decode_file
from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile, scan
from sirtjax.dicom.dataset._values import number, optional
from sirtjax.dicom.image._mixed_series import of_two_patients
from sirtjax.dicom.image._nm import nm_kind
from sirtjax.dicom.image._radionuclide import radionuclides_of
from sirtjax.dicom.image._stacks import modality_of
from sirtjax.dicom.image._values import refuse_lost_values
from sirtjax.errors import ImageFormatError
from sirtjax.io import PatientFingerprint

_PLANAR = ("STATIC", "WHOLE BODY")
_LEFT, _HEAD = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
# As a camera shows the views if the file does not state them: head on top; the patient's right at the left of
# the anterior view and at the right of the posterior one.
_AXES = {"anterior": np.stack([_LEFT, -_HEAD]), "posterior": np.stack([-_LEFT, -_HEAD])}


@dataclass(frozen=True, eq=False)
class PlanarViews:
    """The two opposite views of a planar scintigraphy, aligned pixel by pixel.

    Attributes:
      anterior: counts of the detector in front, rescaled as the file states; the first index grows to the patient's
        left, the second to the head.
      posterior: counts of the detector behind, along the same axes.
      pixel_spacing_mm: pixel spacing along the first and the second index.
      radionuclides: names such as "Tc-99m"; empty if the files name none.
      patients: keyed hashes that distinguish the patient of each file from others.
    """

    anterior: Float32[np.ndarray, "i j"]
    posterior: Float32[np.ndarray, "i j"]
    pixel_spacing_mm: tuple[float, float]
    radionuclides: tuple[str, ...] = ()
    patients: tuple[PatientFingerprint, ...] = ()


def read_planar(path: Path | str, *, energy_window: int = 1) -> PlanarViews:
    """Returns the anterior and posterior view of a planar nuclear medicine study (STATIC or WHOLE BODY).

    A frame's view is its detector's view code, otherwise the viewing direction of its axes. Frames are
    turned to the patient's axes by the detector's orientation; without one, as cameras show them (head on
    top, the posterior view mirrored against the anterior). Both views may be frames of one file, or one each
    in two files of a folder.

    Args:
      path: a DICOM file, or a folder that holds no other planar study.
      energy_window: number of the energy window, counted from 1, if the study has several.

    Raises:
      ImageFormatError: the object is not a planar NM study, has not exactly one anterior and one posterior view of
        equal size, or the views are of two patients.
    """
    path = Path(path)
    if not path.exists():
        raise ImageFormatError(f"{path}: no such file or folder; expected a planar DICOM study")
    files = [file for file in scan(path)[0] if modality_of(file) == "NM" and nm_kind(file) in _PLANAR]
    if not files:
        raise ImageFormatError(
            f"{path}: no planar nuclear medicine image (NM of type STATIC or WHOLE BODY); "
            "expected an anterior and a posterior view"
        )
    _check_one_patient(path, files)
    views: dict[str, list[NDArray[np.float32]]] = {"anterior": [], "posterior": []}
    spacings = set()
    for file in files:
        with parsing(file.path, "planar image"):
            stored, _ = decode_file(file.path)
            spacings.add(_spacing(file))
            for picture, detector in zip(stored, _detectors(file, len(stored), energy_window), strict=True):
                view = None if detector is None else _view(detector)
                if view is not None:
                    views[view].append(_to_patient(file, picture, detector, view))
    found = {view: len(pictures) for view, pictures in views.items()}
    if set(found.values()) != {1} or len(spacings) != 1:
        raise ImageFormatError(
            f"{path}: {found['anterior']} anterior and {found['posterior']} posterior views; expected one of each, "
            "of one study and one energy window"
        )
    anterior, posterior = views["anterior"][0], views["posterior"][0]
    if anterior.shape != posterior.shape:
        raise ImageFormatError(f"{path}: views of {anterior.shape} and {posterior.shape} pixels; expected one size")
    named = dict.fromkeys(name for file in files for name in radionuclides_of(file.header))
    patients = tuple(dict.fromkeys(file.patient for file in files))
    return PlanarViews(anterior, posterior, spacings.pop(), tuple(named), patients)


def _check_one_patient(path: Path, files: list[DicomFile]) -> None:
    for one, other in combinations(files, 2):
        if of_two_patients(one, other):
            raise ImageFormatError(
                f"{path}: {one.path.name} and {other.path.name}: the views are of two patients (ID, name, date of "
                "birth); use both views of one study"
            )


def _detectors(file: DicomFile, count: int, energy_window: int) -> list[Dataset]:
    """The detector's item of each frame; None for frames of another energy window."""
    header = file.header
    items = list(header.get("DetectorInformationSequence") or [])
    vector = _numbers(header.get("DetectorVector")) or [1 if len(items) == 1 else n + 1 for n in range(count)]
    windows = _numbers(header.get("EnergyWindowVector")) or [1] * count
    if len(vector) != count or len(windows) != count or not 1 <= min(vector) <= max(vector) <= len(items):
        raise ImageFormatError(
            f"{file.path}: {count} frames, {len(items)} detectors and a DetectorVector of {len(vector)} values "
            "do not match, so the views are unknown; export the study again"
        )
    return [
        items[detector - 1] if window == energy_window else None
        for detector, window in zip(vector, windows, strict=True)
    ]


def _view(detector: Any) -> str | None:
    for code in detector.get("ViewCodeSequence") or []:
        words = str(code.get("CodeMeaning") or "").lower().split()
        for view in _AXES:
            # CID 26 has "Anterior projection" and, not to be mistaken for it, "Left anterior oblique ..."
            if words and words[0] == view and "oblique" not in words:
                return view
    axes = _orientation(detector)
    if axes is None:
        return None
    # Row x column of a picture with the head on top looks away from the camera: back (+y) from the front.
    looks_back = float(np.cross(axes[0], axes[1])[1])
    return "anterior" if looks_back > 0.5 else "posterior" if looks_back < -0.5 else None


def _to_patient(file: DicomFile, picture: NDArray[Any], detector: Any, view: str) -> NDArray[np.float32]:
    """A picture of (rows, columns) with its indices towards the patient's left and head."""
    axes = _orientation(detector)
    row, column = _AXES[view] if axes is None else axes
    across, up = float(row @ _LEFT), float(column @ _HEAD)
    if min(abs(across), abs(up)) < 0.9:
        raise ImageFormatError(
            f"{file.path}: the {view} view has axes {row.tolist()} and {column.tolist()}; "
            "expected rows across the patient and columns along"
        )
    slope, intercept = optional(file.header.get("RescaleSlope")), optional(file.header.get("RescaleIntercept"))
    slope = 1.0 if slope is None else slope
    refuse_lost_values(file.path, picture, slope, activity=True)
    counts = picture * slope + (intercept or 0.0)
    turned = counts.T[:: 1 if across > 0 else -1, :: 1 if up > 0 else -1]
    return np.ascontiguousarray(turned, np.float32)


def _orientation(detector: Any) -> NDArray[np.float64] | None:
    cosines = detector.get("ImageOrientationPatient")
    if not cosines:
        return None
    return np.asarray([number(x) for x in cosines], np.float64).reshape(2, 3)


def _numbers(value: Any) -> list[int]:
    return [] if value is None or value == "" else [int(n) for n in np.atleast_1d(np.asarray(value, np.int64))]


def _spacing(file: DicomFile) -> tuple[float, float]:
    value = file.header.get("PixelSpacing")
    if not value or len(value) != 2 or min(number(x) for x in value) <= 0:
        raise ImageFormatError(f"{file.path}: no PixelSpacing; expected two positive distances in mm")
    return number(value[1]), number(value[0])
