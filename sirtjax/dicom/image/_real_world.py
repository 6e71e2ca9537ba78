"""The real-world value maps of a frame from stored values to Bq/mL."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Real
from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._scan import DicomFile
from sirtjax.dicom.dataset._values import optional, text_of
from sirtjax.dicom.image._frames import Frame
from sirtjax.errors import ImageFormatError


class BqMap(NamedTuple):
    """Slope and intercept to Bq/mL, for stored values from first to last."""

    slope: float
    intercept: float
    first: float
    last: float


def bq_maps(frame: Frame) -> list[BqMap]:
    """Returns the real-world value maps to Bq/mL of a frame, each once.

    Maps of the frame have priority over those of all frames, and these over those of the file.
    """
    header = frame.file.header
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for holder in (*own[frame.index : frame.index + 1], *shared[:1], header):
        found = [_map(item) for item in holder.get("RealWorldValueMappingSequence") or []]
        maps = list(dict.fromkeys(one for one in found if one is not None))
        if maps:
            return maps
    return []


def covering_map(file: DicomFile, maps: list[BqMap], stored: Real[np.ndarray, "*shape"] | None) -> BqMap:
    """Returns the only map, or the one of several for all stored values.

    Without stored values, which of several it returns is arbitrary.

    Raises:
      ImageFormatError: several different maps, and not exactly one of them is for all stored values.
    """
    different = _scales(maps)
    if len(different) == 1:
        return maps[0]
    if stored is None:
        # Maps without limits overlap whatever the stored values are.
        fitting, decided = maps, len(_scales([one for one in maps if one.last - one.first == math.inf])) < 2
    else:
        low, high = float(stored.min()), float(stored.max())
        fitting = [one for one in maps if one.first <= low and high <= one.last]
        decided = len(_scales(fitting)) == 1
    if not decided:
        raise ImageFormatError(
            f"{file.path}: {len(different)} real-world value maps to Bq/mL; expected one for all stored values; "
            "export the series with Units BQML"
        )
    return fitting[0]


def _scales(maps: list[BqMap]) -> set[tuple[float, float]]:
    return {(one.slope, one.intercept) for one in maps}


def _map(item: Dataset) -> BqMap | None:
    codes = item.get("MeasurementUnitsCodeSequence") or []
    slope = optional(item.get("RealWorldValueSlope"))
    if slope is None or not codes or text_of(codes[0], "CodeValue").lower() != "bq/ml":
        return None
    first, last = (
        optional(item.get(f"RealWorldValue{end}ValueMapped"), item.get(f"DoubleFloatRealWorldValue{end}ValueMapped"))
        for end in ("First", "Last")
    )
    return BqMap(
        slope,
        optional(item.get("RealWorldValueIntercept")) or 0.0,
        -math.inf if first is None else first,
        math.inf if last is None else last,
    )
