from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Real
from numpy.typing import NDArray

from sirtjax.dicom.dataset._parse import parsing
from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import optional, text_of
from sirtjax.dicom.image._frames import Frame
from sirtjax.dicom.image._real_world import bq_maps, covering_map
from sirtjax.dicom.image._stacks import modality_of
from sirtjax.errors import ImageFormatError

# CT numbers start at -1024 HU, the value scanners themselves write outside the field of view.
LOWEST_HU = -1024.0
_HIGHEST_HU = 3071.0
# Factors to Bq/mL.
_ABSOLUTE = {"BQML": 1.0, "KBQML": 1e3, "MBQML": 1e6}
_RELATIVE = ("CNTS", "PROPCNTS", "CPS", "PROPCPS")
_STATED = (*_ABSOLUTE, "GML", *_RELATIVE)
_PHILIPS_BQ_PER_ML = 0x70531009


def values_unit(frames: list[Frame]) -> tuple[str, tuple[str, ...]]:
    """Returns the unit of a stack's rescaled values, and notes about it.

    CT is in HU and MR in "1". PET and NM are in Bq/mL if the file states BQML or has a real-world value map to Bq/mL,
    in SUV if it states GML by body weight, in "1" if it states another GML, otherwise in counts.

    Raises:
      ImageFormatError: CT or PT without rescaling, PT in a unit that is not an activity, frames in several units, or
        frames without a factor to Bq/mL among frames with several.
    """
    file = frames[0].file
    modality = modality_of(file)
    with parsing(file.path, "image"):
        if modality == "CT":
            if any(frame.slope is None or frame.intercept is None for frame in frames):
                raise _no_rescaling(file, "HU")
            other = next((f.rescale_type for f in frames if f.rescale_type not in ("", "HU", "US")), None)
            if other is not None:
                return "1", (f"the values are {other}, not HU",)
            return "HU", ()
        if modality == "MR":
            return "1", ()
        common = common_factor(frames)
        scales = [_activity_scale(frame, common) for frame in frames]
    units = dict.fromkeys(scale.unit for scale in scales)
    if len(units) > 1:
        raise ImageFormatError(f"{file.path}: slices in {' and in '.join(units)}; export the series again in one unit")
    return scales[0].unit, tuple(dict.fromkeys(note for scale in scales for note in scale.notes))


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """From stored pixels of PET or NM to a unit."""

    unit: str
    slope: float
    intercept: float = 0.0
    notes: tuple[str, ...] = ()


def common_factor(frames: list[Frame]) -> float | None:
    """Returns the only factor from counts to Bq/mL of a PET stack, for slices that state none or 0.

    None if the stack states no factor, or each slice its own.

    Raises:
      ImageFormatError: a slice has no factor and the others have several.
    """
    if modality_of(frames[0].file) in ("CT", "MR"):
        return None
    counts = [frame for frame in frames if _units(frame) in _RELATIVE and not bq_maps(frame)]
    factors = {factor for factor in map(_own_factor, counts) if factor is not None}
    if len(factors) < 2:
        return next(iter(factors), None)
    missing = next((frame.file.path for frame in counts if _own_factor(frame) is None), None)
    if missing is not None:
        raise ImageFormatError(
            f"{missing}: no factor to Bq/mL (7053,1009), and the other slices of the series have {len(factors)} "
            "different ones; export the series with Units BQML"
        )
    return None


def _own_factor(frame: Frame) -> float | None:
    header = frame.file.header
    return (optional(header[_PHILIPS_BQ_PER_ML].value) if _PHILIPS_BQ_PER_ML in header else None) or None


def _units(frame: Frame) -> str:
    # Enhanced PET states its unit with the rescaling of each frame.
    stated = text_of(frame.file.header, "Units").upper()
    return stated or (frame.rescale_type if frame.rescale_type in _STATED else "")


def _activity_scale(frame: Frame, common: float | None, stored: Real[np.ndarray, "*shape"] | None = None) -> _Scale:
    """The scale of a frame with the common factor of its stack; without stored pixels its slope may be of a part."""
    file, header = frame.file, frame.file.header
    units = _units(frame)
    modality = modality_of(file)
    if units not in _ABSOLUTE and units != "GML":
        maps = bq_maps(frame)
        if maps:
            mapped = covering_map(file, maps, stored)
            return _Scale(unit="Bq/mL", slope=mapped.slope, intercept=mapped.intercept)
    if frame.slope is None and modality == "PT":
        raise _no_rescaling(file, "a known unit")
    slope, intercept = 1.0 if frame.slope is None else frame.slope, frame.intercept or 0.0
    if units in _ABSOLUTE:
        factor = _ABSOLUTE[units]
        return _Scale(unit="Bq/mL", slope=slope * factor, intercept=intercept * factor)
    if units == "GML":
        kind = text_of(header, "SUVType").upper()
        if kind in ("", "BW"):
            return _Scale(unit="SUV", slope=slope, intercept=intercept)
        note = f"the values are SUV of the type {kind}, not by body weight (BW)"
        return _Scale(unit="1", slope=slope, intercept=intercept, notes=(note,))
    if units in _RELATIVE:
        own = _own_factor(frame)
        to_bq_ml = common if own is None else own
        if to_bq_ml is not None:
            note = "counts were converted to Bq/mL with the factor in the file (7053,1009)"
            if own is None:
                note = "slices without a factor to Bq/mL (7053,1009) were converted with that of the other slices"
            return _Scale(unit="Bq/mL", slope=slope * to_bq_ml, intercept=intercept * to_bq_ml, notes=(note,))
        notes = () if units == "CNTS" else (f"the values are {units}: treated as counts",)
        return _Scale(unit="counts", slope=slope, intercept=intercept, notes=notes)
    if units == "" and modality == "NM":
        return _Scale(unit="counts", slope=slope, intercept=intercept)
    raise ImageFormatError(
        f"{file.path}: a {modality} image in units {units or 'that are not stated'}; "
        "expected BQML, CNTS, PROPCNTS or GML"
    )


def _no_rescaling(file: DicomFile, unit: str) -> ImageFormatError:
    return ImageFormatError(
        f"{file.path}: no RescaleSlope and RescaleIntercept, so its values are not in {unit}; export the series again"
    )


def rescaled(
    frame: Frame, stored: Real[np.ndarray, "*shape"], *, common: float | None
) -> Float32[np.ndarray, "*shape"]:
    """Returns the values of one frame in the unit of `values_unit`, from its stored pixels.

    Args:
      frame: the frame.
      stored: stored pixels of the slice.
      common: `common_factor` of its stack.

    Raises:
      ImageFormatError: several real-world value maps, and not exactly one is for all stored values; or a slope of 0,
        or below 0 for PET and NM, although the stored values differ.
    """
    slope, intercept = 1.0 if frame.slope is None else frame.slope, frame.intercept or 0.0
    modality = modality_of(frame.file)
    if modality not in ("CT", "MR"):
        scale = _activity_scale(frame, common, stored)
        slope, intercept = scale.slope, scale.intercept
    refuse_lost_values(frame.file.path, stored, slope, activity=modality not in ("CT", "MR"))
    wide = stored.dtype.itemsize > 2
    with np.errstate(over="ignore"):
        values: NDArray[Any] = stored.astype(np.float64 if wide else np.float32)
        return np.asarray(values * slope + intercept, np.float32)


def refuse_lost_values(path: Path, stored: Real[np.ndarray, "*shape"], slope: float, *, activity: bool) -> None:
    """Refuses a slope that makes different pixels equal or activity negative.

    Args:
      path: file of the picture.
      stored: stored pixels.
      slope: factor from stored pixels to values.
      activity: whether the values are counts or activity.

    Raises:
      ImageFormatError: such a slope, although the stored pixels differ.
    """
    if slope > 0 or (slope < 0 and not activity) or stored.min() == stored.max():
        return
    raise ImageFormatError(
        f"{path}: a slope of {slope:g} from stored pixels to values, although the pixels differ "
        f"({stored.min()} to {stored.max()}); expected a slope above 0, export the series again"
    )


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
