"""Intervals as text: their numbers, the words of their sources, and the records that are not printed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sirtjax.reports._format import decimals_of, with_decimals

if TYPE_CHECKING:
    from sirtjax.workflows import ActivityUncertainty, Interval, UncertaintyResult, UncertaintyRow

NO_INTERVAL = "no interval"
CONTRADICTORY = "its record contradicts itself"
# Decimals at most, so that a bound next to a limit is printed on its side of it.
_MOST_DECIMALS = 4
_WORDS = {
    "counts": "noise of the image",
    "calibration": "activity calibration",
    "residual": "residual activity",
    "lung_shunt": "lung shunt",
    "resolution": "resolution of the image",
    "registration": "position of the image",
    "contours": "contours",
    "territories": "border of the territories",
    "kernel": "dose kernel",
    "density": "tissue density",
    "half_life": "half-life",
    "lesion_shift": "position of each lesion",
    "lung_mass": "lung mass",
    "uptake": "uneven uptake",
    "outside": "activity outside liver and lungs",
}


def source_words(name: str) -> str:
    """Returns a source of uncertainty in words.

    Examples:
      >>> from sirtjax.reports._interval_text import source_words
      >>> source_words("registration"), source_words("own_source")
      ('position of the image', 'own source')
    """
    return _WORDS.get(name, name.replace("_", " "))


def quantiles_text(level: float) -> str:
    """Returns the quantiles at the ends of an interval.

    Examples:
      >>> from sirtjax.reports._interval_text import quantiles_text
      >>> quantiles_text(0.9), quantiles_text(0.95)
      ('5 to 95 %', '2.5 to 97.5 %')
    """
    return f"{50 * (1 - level):.3g} to {50 * (1 + level):.3g} %"


def shown_interval(row: UncertaintyRow | ActivityUncertainty) -> tuple[Interval | None, str]:
    """Returns the interval of a record, or None and the reason, such as that it contradicts itself.

    Args:
      row: metric of a VOI, bound or activity.
    """
    found = row.interval
    if row.status != "interval":
        return None, row.reason or "no reason stated"
    if found is None or not _ordered(found.lower, found.median, found.upper) or found.lower < 0:
        return None, CONTRADICTORY
    return found, ""


def _ordered(*values: float) -> bool:
    finite = all(math.isfinite(value) for value in values)
    return finite and all(a <= b for a, b in itertools.pairwise(values))


def range_text(lower: float, upper: float, unit: str, *, limit: float | None = None) -> str:
    """Returns both ends of an interval, with the decimals of the larger one and without the unit.

    Args:
      lower: lower end of the interval in `unit`.
      upper: upper end of the interval in `unit`.
      unit: unit of `number`.
      limit: target or limit that is printed next to it; an end is then printed on its side of the limit.

    Examples:
      >>> from sirtjax.reports._interval_text import range_text
      >>> range_text(92.31, 251.4, "Gy"), range_text(74.2, 204.97, "Gy", limit=205.0)
      ('92 to 251', '74.20 to 204.97')
    """
    decimals = _decimals((lower, upper), unit, limit)
    return f"{with_decimals(lower, decimals)} to {with_decimals(upper, decimals)}"


def interval_text(found: Interval, unit: str) -> str:
    """Returns the middle and both ends of an interval, without the unit; fractions in per cent for "%".

    Args:
      found: interval, of fractions if the unit is "%".
      unit: unit of `number`.

    Examples:
      >>> from sirtjax.reports._interval_text import interval_text
      >>> from sirtjax.workflows import Interval
      >>> interval_text(Interval(0.642, 0.64, 0.0, 0.1, 0.01, 0.405, 0.833), "%")
      '64.2 (40.5 to 83.3)'
    """
    factor = 100.0 if unit == "%" else 1.0
    lower, middle, upper = (factor * value for value in (found.lower, found.median, found.upper))
    decimals = _decimals((lower, middle, upper), unit, None)
    return f"{with_decimals(middle, decimals)} ({range_text(lower, upper, unit)})"


def _decimals(values: tuple[float, ...], unit: str, limit: float | None) -> int:
    decimals = min(decimals_of(value, unit) for value in values)
    if limit is None:
        return decimals
    tried = range(decimals, _MOST_DECIMALS)
    return next((n for n in tried if _sides(values, n, limit) == _sides(values, 9, limit)), _MOST_DECIMALS)


def _sides(values: tuple[float, ...], decimals: int, limit: float) -> list[int]:
    printed = [round(value, decimals) for value in values]
    return [(value > limit) - (value < limit) for value in printed]


def printed_unit(row: UncertaintyRow) -> str:
    """Returns the unit of `number` in which a metric is printed: "Gy", "%" for fractions, or "ratio".

    Args:
      row: metric of a VOI.
    """
    if row.unit == "Gy":
        return "Gy"
    return "ratio" if row.metric == "T/N" else "%"


def row_text(row: UncertaintyRow | None) -> str:
    """Returns the cell of a metric: its interval without the unit, "no interval", or a dash without a row.

    Args:
      row: metric of a VOI.
    """
    if row is None:
        return "–"
    found, _ = shown_interval(row)
    return NO_INTERVAL if found is None else interval_text(found, printed_unit(row))


def budget_error(budget: Mapping[str, float]) -> float:
    """Returns the error of a budget that its impossible values show; 0 if there are none.

    First-order fractions are at least 0, and at most 1 together.

    Args:
      budget: fraction of the variance by source.

    Examples:
      >>> from sirtjax.reports._interval_text import budget_error
      >>> budget_error({"counts": -0.25, "contours": 0.5}), budget_error({"counts": 0.75, "contours": 0.75})
      (0.25, 0.25)
    """
    parts = [part for part in budget.values() if math.isfinite(part)]
    if not parts:
        return 0.0
    return max(0.0, -min(parts), (sum(parts) - 1.0) / len(parts))


def dose_without_interval(found: UncertaintyResult, name: str) -> str:
    """Returns a VOI as a note names it: its D70 if the mean dose has an interval.

    Args:
      found: intervals of a plan or verification.
      name: name of the VOI.
    """
    mean = next((row for row in found.rows if row.voi == name and row.metric == "mean"), None)
    return f"D70 of {name}" if mean is not None and shown_interval(mean)[0] is not None else name


def without_interval(found: UncertaintyResult) -> dict[str, str]:
    """Returns the reason why a VOI has no interval of its doses, by name.

    Args:
      found: intervals of a plan or verification.
    """
    reasons: dict[str, str] = {}
    for row in found.rows:
        shown, reason = shown_interval(row)
        if shown is None and row.metric in ("mean", "D70"):
            reasons.setdefault(row.voi, reason)
    return reasons
