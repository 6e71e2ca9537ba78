"""Dates and times of DICOM elements, as read and as written."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

# A dummy of PS3.15 has to be a value of its kind, and of no one. Images with it do not state their dates.
DUMMY_DATE = "19000101"
_TIME = re.compile(r"(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?")
_DATE_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2}[\d.]*)?([+-]\d{4})?")
_OFFSET = re.compile(r"[\d.]*([+-])(\d{2})(\d{2})")

_LARGEST_OFFSET = timedelta(hours=14)


def dicom_datetime(date: object, time: object) -> datetime | None:
    """Returns the datetime of a DICOM date (DA, YYYYMMDD) and time (TM, HHMMSS.ffffff).

    None if either is unusable, or if the date is the dummy of a de-identified file, 1900-01-01.
    """
    digits = str(date or "").strip().replace(".", "").replace("-", "")
    clock = _clock(str(time or ""))
    if clock is None or digits == DUMMY_DATE:
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d") + clock
    except ValueError:
        return None


def dicom_moment(value: object, *, zone: timedelta | None = None) -> datetime | None:
    """Returns the local datetime of a DICOM DT (YYYYMMDDHHMMSS.ffffff&ZZXX).

    None if unusable, or if it has no time of day.

    The dates (DA) and times (TM) of a DICOM object are local and contain no offset from UTC. A DT with an offset is
    converted to local time, so that they can be compared.

    Args:
      value: the DT.
      zone: offset of local time from UTC; None if unknown, then the offset of the DT is ignored.
    """
    match = _DATE_TIME.fullmatch(str(value or "").strip())
    if match is None or not match.group(4):
        return None
    moment = dicom_datetime("".join(match.group(1, 2, 3)), match.group(4))
    own = utc_offset(match.group(5))
    if moment is None or own is None or zone is None:
        return moment
    return moment - own + zone


def utc_offset(value: object) -> timedelta | None:
    """Returns the offset from UTC of a DICOM DT or TimezoneOffsetFromUTC; None without a valid one."""
    match = _OFFSET.fullmatch(str(value or "").strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match.group(2)), minutes=int(match.group(3)))
    if offset > _LARGEST_OFFSET:
        return None
    return -offset if match.group(1) == "-" else offset


def dicom_date(value: object) -> str:
    """Returns the date YYYYMMDD of a DICOM DT; "" if unusable."""
    match = _DATE_TIME.fullmatch(str(value or "").strip())
    return "" if match is None else "".join(match.group(1, 2, 3))


def latest_before(time: object, moment: datetime) -> datetime | None:
    """Returns the last datetime with this time of day that is not after `moment`.

    Used for an injection before its scan.
    """
    clock = _clock(str(time or ""))
    if clock is None:
        return None
    same_day = moment.replace(hour=0, minute=0, second=0, microsecond=0) + clock
    return same_day if same_day <= moment else same_day - timedelta(days=1)


def _clock(text: str) -> timedelta | None:
    match = _TIME.fullmatch(text.strip().replace(":", ""))
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.group(1, 2, 3))
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    micro = int((match.group(4) or "0").ljust(6, "0"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)


def date_time(moment: datetime) -> tuple[str, str]:
    """Returns a date and time as DICOM's DA and TM."""
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
