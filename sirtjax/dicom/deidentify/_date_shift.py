"""Dates and times of a DICOM file: in the zone of the file, and some days later."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from sirtjax.dicom.dataset._time import DUMMY_DATE, utc_offset

_HOUR, _SIXTY = r"(?:[01]\d|2[0-3])", r"(?:[0-5]\d|60)"
TIME = rf"{_HOUR}(?::?{_SIXTY}){{0,2}}(?:\.\d{{1,6}})?"
_DATE = r"(\d{4})\.?(\d{2})\.?(\d{2})"
_SHIFTED = re.compile(rf"{_DATE}((?:{TIME})?)([+-]\d{{4}})?")
_WITH_OFFSET = re.compile(rf"({_DATE}(?:({_HOUR})(?::?({_SIXTY}))?(?::?({_SIXTY}))?(\.\d{{1,6}})?)?)([+-]\d{{4}})")


def file_zone(dataset: Dataset) -> timedelta | None:
    """Returns the offset from UTC of a file's dates and times, as images are read; None if not stated."""
    stated = utc_offset(dataset.get("TimezoneOffsetFromUTC"))
    return utc_offset(dataset.get("AcquisitionDateTime")) if stated is None else stated


def in_zone(value: str, zone: timedelta | None) -> str:
    """Returns a DICOM date and time (DT) in a zone, without its offset from UTC.

    Unchanged if it has no offset, or if the zone is unknown: then the offset cannot be replaced by anything. An
    impossible offset is removed, as it is ignored when images are read.

    Args:
      value: the DT.
      zone: offset from UTC of the dates and times without an offset; None if unknown.
    """
    match = _WITH_OFFSET.fullmatch(value.strip())
    if match is None:
        return value
    local, year, month, day, hour, minute, second, fraction, offset = match.groups()
    own = utc_offset(offset)
    if own is not None and zone is None:
        return value
    if own is None or zone is None or hour is None:
        return str(local)
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute or 0)) - own + zone
    except (ValueError, OverflowError):
        return str(local)
    # Offsets are whole minutes, so that a leap second and the digits of the seconds stay.
    minutes = f"{moment:%M}" if minute is not None or moment.minute else ""
    return f"{moment:%Y%m%d%H}{minutes}{second or ''}{fraction or ''}"


def shifted(value: str, days: int, *, zone: timedelta | None = None) -> str:
    """Returns a DICOM date, or date and time, some days later; a dummy if it is not one.

    Args:
      value: the DA or DT; one with an offset from UTC is first converted to the zone, if that is known.
      days: number of days.
      zone: offset from UTC of the file's dates and times; None if unknown.
    """
    match = _SHIFTED.fullmatch(in_zone(value, zone).strip())
    if match is None:
        return "" if not value.strip() else DUMMY_DATE
    try:
        day = datetime(int(match[1]), int(match[2]), int(match[3])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return DUMMY_DATE
    return f"{day:%Y%m%d}{match[4]}{match[5] or ''}"
