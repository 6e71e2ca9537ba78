"""The checks of the intervals: targets and limits inside them, small lesions, cold cores, alignment, both methods."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sirtjax import uncertainty
from sirtjax.dosimetry import Check, make_check
from sirtjax.workflows._results import ObjectiveResult, Result
from sirtjax.workflows._sum_checks import above
from sirtjax.workflows._uncertainty_record import SMALLEST_RADIUS_MM, Interval, UncertaintyResult


def uncertainty_checks(
    result: Result, found: UncertaintyResult, cold: Mapping[str, uncertainty.CoreUptake]
) -> tuple[Check, ...]:
    """Returns the checks of the intervals.

    Args:
      result: plan or verification, with its objectives.
      found: intervals.
      cold: lesions with a cold core by the activity image.
    """
    if found.status == "refused":
        return (make_check("SJ617", where=found.message),)
    checks: list[Check] = []
    for objective in result.objectives:
        bounds = _interval_of(objective, found)
        if bounds is None:
            continue
        lower, upper = bounds
        if objective.direction == "at least" and lower < objective.dose_gy:
            checks.append(
                make_check("SJ612", where=objective.name, value=lower, limit=objective.dose_gy, source=objective.source)
            )
        if objective.direction == "at most" and upper > objective.dose_gy:
            checks.append(
                make_check("SJ613", where=objective.name, value=upper, limit=objective.dose_gy, source=objective.source)
            )
    for voi in result.vois:
        if any(row.voi == voi.name and row.kind == "lesion" and row.status == "no interval" for row in found.rows):
            radius_mm = (750.0 * voi.volume_ml / math.pi) ** (1 / 3)
            if radius_mm < SMALLEST_RADIUS_MM:
                checks.append(make_check("SJ615", where=voi.name, value=round(radius_mm, 1)))
    checks += [
        make_check("SJ619", where=name, value=round(1.0 + max(core.contrast, -1.0), 2)) for name, core in cold.items()
    ]
    different = [_label(row.metric, row.voi) for row in found.rows if _differs(row.interval)]
    if different:
        checks.append(make_check("SJ614", where=", ".join(different)))
    for source in found.sources:
        if source.name == "outside" and source.expected is not None:
            checks += above("SJ621", "", source.expected)
    return (*checks, *_alignment_checks(result, found))


def _interval_of(objective: ObjectiveResult, found: UncertaintyResult) -> tuple[float, float] | None:
    """The interval of the dose of an objective, without earlier treatments; None without one."""
    if objective.kind == "mean" or objective.volume_fraction is None:
        row = next((one for one in found.rows if one.voi == objective.voi and one.metric == "mean"), None)
        if row is None or row.interval is None or row.value is None:
            return None
        # Earlier treatments are exact.
        earlier = objective.value_gy - row.value if objective.cumulative else 0.0
        return row.interval.lower + earlier, row.interval.upper + earlier
    band = next((one for one in found.histograms if one.voi == objective.voi), None)
    percent = 100.0 * objective.volume_fraction
    if band is None or not band.volume_percent[0] - 1e-6 <= percent <= band.volume_percent[-1] + 1e-6:
        return None
    lower, upper = (float(np.interp(percent, band.volume_percent, doses)) for doses in (band.lower_gy, band.upper_gy))
    return lower, upper


def _differs(interval: Interval | None) -> bool:
    return interval is not None and interval.differs


def _label(metric: str, voi: str) -> str:
    return f"{metric} of {voi}"


def _alignment_checks(result: Result, found: UncertaintyResult) -> list[Check]:
    alignment = None if result.partial_volume is None else result.partial_volume.alignment
    stated = next((source for source in found.sources if source.name == "registration"), None)
    if alignment is None or stated is None:
        return []
    checks = []
    if not alignment.determined:
        checks.append(make_check("SJ616", value=max(alignment.standard_error_mm)))
    outside = [
        (abs(mm), 2.0 * size)
        for mm, size in zip(alignment.shift_mm, stated.sizes, strict=True)
        if alignment.significant and abs(mm) > 2.0 * size
    ]
    if outside:
        shift_mm, limit_mm = max(outside)
        checks.append(make_check("SJ618", value=round(shift_mm, 1), limit=round(limit_mm, 1)))
    return checks
