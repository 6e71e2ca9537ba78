"""Times of injections and of the image after treatment that contradict each other."""

from __future__ import annotations

import math
from datetime import datetime

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, make_check
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._decay import injection_decay

# The clocks of injection room and scanner can differ by minutes.
SAME_CLOCK_H = 5.0 / 60.0
# Less than a thousandth of the activity is left: one of the dates is wrong.
MOST_HALF_LIVES = 10.0
# Of the dose: about an hour of 90Y. Rounded times and the length of a scan are within it.
CHANGED_DOSE = 0.01


def treatment_time_checks(case: Case, images: CaseImages) -> tuple[Check, ...]:
    """Returns SJ620 for each time of the case that contradicts the header of the activity image.

    Times are compared only if both have a time zone, or none has. Only an absolute calibration uses the reference time.

    Args:
      case: the case of a verification.
      images: the images of the case.

    Raises:
      ConfigError: an injection is later than the image, or more than ten half-lives away from its reference time.
    """
    if case.calibration.method != "absolute":
        _refuse_later(case, images, tuple(table.time for table in case.injections))
        return ()
    protocol = dosimetry.load_protocol(case.protocol.name)
    half_life_h = float(protocol.nuclide_record_named(case.dose.constant).half_life_h)
    decay = injection_decay(case, images)
    _refuse_later(case, images, decay.times)
    for table, time, hours in zip(case.injections, decay.times, decay.elapsed_h, strict=True):
        if time is None or decay.reference is None or hours is None or abs(hours) <= MOST_HALF_LIVES * half_life_h:
            continue
        raise ConfigError(
            f"{images.activity.source.path}: the injection into {table.territory} at {time.isoformat()} and the "
            f"reference time of the activity, {decay.reference.isoformat()}, are {abs(hours) / half_life_h:.3g} "
            f"half-lives apart (expected at most {MOST_HALF_LIVES:g}); correct injections.time or "
            "calibration.reference_time"
        )
    return (*_injection_checks(case, images, half_life_h), *_reference_checks(case, images, half_life_h))


def _refuse_later(case: Case, images: CaseImages, times: tuple[datetime | None, ...]) -> None:
    source = images.activity.source
    start = source.acquired if images.relabelling is None else images.relabelling.acquisition_start
    for table, time in zip(case.injections, times, strict=True):
        late_h = _hours(start, time)
        if start is None or time is None or late_h is None or late_h <= SAME_CLOCK_H:
            continue
        stated = "" if table.time is not None else " (by the header of the image)"
        raise ConfigError(
            f"{source.path}: acquired at {start.isoformat()}, before the injection into {table.territory} at "
            f"{time.isoformat()}{stated}; correct injections.time, or use an image after all injections"
        )


def _injection_checks(case: Case, images: CaseImages, half_life_h: float) -> tuple[Check, ...]:
    """Compares the only injection of the header with the nearest one of the case."""
    # Under the label of another nuclide, the header's injection may be completed to the day of that nuclide.
    header = images.activity.source.injection_time if images.relabelling is None else None
    rows = [
        (abs(hours), f"the injection into {table.territory}", table.time)
        for table in case.injections
        if (hours := _hours(header, table.time)) is not None
    ]
    return () if not rows else _contradiction(*min(rows, key=lambda row: row[0]), header, half_life_h)


def _reference_checks(case: Case, images: CaseImages, half_life_h: float) -> tuple[Check, ...]:
    header, label = images.activity.source.reference_time, images.relabelling
    if label is not None:
        # A correction to the injection refers to a time that may be completed to the day, as above.
        header = header if label.label.decay_correction == "START" else None
        half_life_h = label.label.half_life_s / 3600.0
    stated = case.calibration.reference_time
    hours = _hours(header, stated)
    name = "the reference time of the activity"
    return () if hours is None else _contradiction(abs(hours), name, stated, header, half_life_h)


def _contradiction(
    hours: float, name: str, stated: datetime | None, header: datetime | None, half_life_h: float
) -> tuple[Check, ...]:
    limit_h = half_life_h * math.log2(1.0 + CHANGED_DOSE)
    if stated is None or header is None or hours <= limit_h:
        return ()
    where = f"{name} is {stated.isoformat()} in the case and {header.isoformat()} in the header of the image"
    return (make_check("SJ620", where=where, value=hours, limit=limit_h),)


def _hours(start: datetime | None, end: datetime | None) -> float | None:
    """The hours between two times; None if they cannot be compared."""
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return None
    return dosimetry.hours_between(start, end)
