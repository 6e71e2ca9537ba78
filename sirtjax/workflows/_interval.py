"""The interval between the images and the treatment."""

from __future__ import annotations

import datetime as dt

from sirtjax.dosimetry import Check, make_check
from sirtjax.io import Image
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages

TITLES = {
    "activity": "activity image",
    "ct": "CT of the activity image",
    "diagnostic": "diagnostic image",
    "planar": "planar views",
}


def interval_checks(case: Case, images: CaseImages, kind: str) -> tuple[Check, ...]:
    """Returns the checks of the days between each image and the treatment.

    A stated day of the case comes before that of the file. In a verification the activity image is acquired after the
    treatment, so neither it nor its CT has an interval.

    Args:
      case: the case.
      images: the images of the case.
      kind: "plan" or "verification".

    Returns:
      SJ307 for an interval above `record.max_interval_days`, SJ308 for an image after the treatment, SJ310 if the case
      states the limit and a day is unknown.
    """
    limit = case.record.max_interval_days
    treated = treatment_day(case)
    roles = ("activity", "ct", "diagnostic", "planar") if kind == "plan" else ("diagnostic", "planar")
    days = {role: imaging_day(case, images, role) for role in roles if _exists(case, images, role)}
    found: list[Check] = []
    unknown = [TITLES[role] for role, day in days.items() if day is None]
    if limit is not None and (treated is None or unknown):
        missing = (["the treatment"] if treated is None else []) + unknown
        found.append(make_check("SJ310", where=", ".join(missing)))
    for role, day in days.items():
        elapsed = None if treated is None or day is None else (treated - day).days
        if elapsed is not None and elapsed < 0:
            found.append(make_check("SJ308", where=TITLES[role], value=float(-elapsed)))
        elif elapsed is not None and limit is not None and elapsed > limit:
            found.append(make_check("SJ307", where=TITLES[role], value=float(elapsed), limit=float(limit)))
    return tuple(found)


def treatment_day(case: Case) -> dt.date | None:
    """Returns the day of the treatment: the one stated, otherwise that of the first injection with a time."""
    if case.record.treatment_date is not None:
        return case.record.treatment_date
    times = [table.time.date() for table in case.injections if table.time is not None]
    return min(times, default=None)


def imaging_day(case: Case, images: CaseImages, role: str) -> dt.date | None:
    """Returns the day of an image: the one stated, otherwise that of its acquisition in the file.

    Args:
      case: the case.
      images: the images.
      role: "activity", "ct", "diagnostic" or "planar".
    """
    stated: dt.date | None = getattr(case.record.imaging_dates, role)
    image: Image | None = getattr(images, role, None)
    if stated is not None or image is None:
        return stated
    moment = image.source.acquired or image.source.series_time
    return None if moment is None else moment.date()


def _exists(case: Case, images: CaseImages, role: str) -> bool:
    return case.lung_shunt.method == "planar" if role == "planar" else getattr(images, role) is not None
