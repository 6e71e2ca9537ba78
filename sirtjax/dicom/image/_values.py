from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Real
from numpy.typing import NDArray

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import optional, text_of
from sirtjax.dicom.image._frames import Frame
from sirtjax.dicom.image._stacks import modality_of
from sirtjax.errors import ImageFormatError

# CT numbers start at -1024 HU, the value scanners themselves write outside the field of view.
LOWEST_HU = -1024.0
_HIGHEST_HU = 3071.0
_ABSOLUTE = {"BQML": "Bq/mL", "KBQML": "Bq/mL", "MBQML": "Bq/mL"}
_FACTOR = {"KBQML": 1e3, "MBQML": 1e6}
_RELATIVE = ("CNTS", "PROPCNTS", "CPS", "PROPCPS")
_PHILIPS_BQ_PER_ML = 0x70531009


def values_unit(frames: list[Frame]) -> tuple[str, float, tuple[str, ...]]:
    """Returns the unit of a stack's rescaled values, the factor to that unit, and notes about it.

    CT is in HU; PET and NM in Bq/mL where the file states BQML (or a real-world value map does), in SUV where
    it states GML, otherwise in counts; MR is in "1".

    Raises:
      ImageFormatError: CT or PT without rescaling, or PT in a unit that is not an activity.
    """
    file = frames[0].file
    modality = modality_of(file)
    with parsing(file.path, "image"):
        if modality in ("CT", "PT") and any(
            f.slope is None or (modality == "CT" and f.intercept is None) for f in frames
        ):
            raise ImageFormatError(
                f"{file.path}: no RescaleSlope and RescaleIntercept, so its values are not in "
                f"{'HU' if modality == 'CT' else 'a known unit'}; export the series again"
            )
        if modality == "CT":
            other = next((f.rescale_type for f in frames if f.rescale_type not in ("", "HU", "US")), None)
            if other is not None:
                return "1", 1.0, (f"the values are {other}, not HU",)
            return "HU", 1.0, ()
        if modality == "MR":
            return "1", 1.0, ()
        return _activity_unit(file, modality)


def _activity_unit(file: DicomFile, modality: str) -> tuple[str, float, tuple[str, ...]]:
    units = text_of(file.header, "Units").upper()
    if units in _ABSOLUTE:
        return _ABSOLUTE[units], _FACTOR.get(units, 1.0), ()
    if units == "GML":
        return "SUV", 1.0, ()
    mapped = real_world_map(file)
    if mapped is not None:
        return "Bq/mL", 1.0, ()
    if units in _RELATIVE:
        factor = optional(file.header[_PHILIPS_BQ_PER_ML].value) if _PHILIPS_BQ_PER_ML in file.header else None
        if factor:
            return "Bq/mL", factor, ("counts were converted to Bq/mL with the factor in the file (7053,1009)",)
        return "counts", 1.0, () if units == "CNTS" else (f"the values are {units}: treated as counts",)
    if units == "" and modality == "NM":
        return "counts", 1.0, ()
    raise ImageFormatError(
        f"{file.path}: a {modality} image in units {units or 'that are not stated'}; "
        "expected BQML, CNTS, PROPCNTS or GML"
    )


def real_world_map(file: DicomFile) -> tuple[float, float] | None:
    """Returns slope and intercept from stored values to Bq/mL; None without such a real-world value map."""
    for item in file.header.get("RealWorldValueMappingSequence") or []:
        codes = item.get("MeasurementUnitsCodeSequence") or []
        if codes and text_of(codes[0], "CodeValue").lower() == "bq/ml":
            slope = optional(item.get("RealWorldValueSlope"))
            if slope is not None:
                return slope, optional(item.get("RealWorldValueIntercept")) or 0.0
    return None


def rescaled(frame: Frame, stored: Real[np.ndarray, "*shape"], *, factor: float = 1.0) -> Float32[np.ndarray, "*shape"]:
    """Returns the values of one frame from its stored pixels: its slope and intercept, then `factor`."""
    slope, intercept = frame.slope, frame.intercept
    if modality_of(frame.file) == "NM" or slope is None:
        mapped = real_world_map(frame.file)
        if mapped is not None and not text_of(frame.file.header, "Units"):
            slope, intercept = mapped
    slope, intercept = (1.0 if slope is None else slope) * factor, (intercept or 0.0) * factor
    wide = stored.dtype.itemsize > 2
    with np.errstate(over="ignore"):
        values: NDArray[Any] = stored.astype(np.float64 if wide else np.float32)
        return np.asarray(values * slope + intercept, np.float32)


def clamp_padding(frame: Frame, stored: Real[np.ndarray, "*shape"], hu: Float32[np.ndarray, "*shape"]) -> int:
    """Sets the voxels of a CT slice without a measurement to -1024 HU, in place; returns their number.

    That is below -1024 HU, where CT numbers start and scanners pad (-2000, -3024, ...), and at the padding
    value where that lies above 3071 HU. A padding value among CT numbers cannot be distinguished from tissue and stays.
    """
    outside = hu < LOWEST_HU
    header = frame.file.header
    padding = optional(header.get("PixelPaddingValue"))
    if padding is not None and padding * (frame.slope or 1.0) + (frame.intercept or 0.0) > _HIGHEST_HU:
        limit = optional(header.get("PixelPaddingRangeLimit"))
        low, high = sorted((padding, padding if limit is None else limit))
        outside |= (stored >= low) & (stored <= high)
    count = int(np.count_nonzero(outside))
    if count:
        hu[outside] = LOWEST_HU
    return count
