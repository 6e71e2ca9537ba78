"""Whether targets and limits are met for certain: intervals next to the objectives and to the activity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from sirtjax.reports._figures import short
from sirtjax.reports._interval_text import CONTRADICTORY, range_text, shown_interval, without_interval

if TYPE_CHECKING:
    from sirtjax.workflows import HistogramBand, ObjectiveResult, Result, UncertaintyResult

Certainty = Literal["met", "not met", "open", "no interval"]
CERTAINTY_WORDS: dict[Certainty, str] = {
    "met": "certainly met",
    "not met": "certainly not met",
    "open": "not certain",
    "no interval": "no interval",
}
# The dose without correction misses a target or limit that the corrected one may meet.
NOT_MET_UNCORRECTED = "not met uncorrected"
# A probability is stated in steps, because the sizes of the sources are not known better.
PROBABILITY_STEP = 0.05
# Quantiles of a log-normal fit rise by a few per cent where the histogram is flat.
RISE = 1.05


@dataclass(frozen=True)
class Verdict:
    """One target, limit or goal next to the interval of its dose.

    Attributes:
      objective: target, limit or goal.
      certainty: "met" or "not met" if the whole interval is on one side, "open" if the interval contains the dose of
        the objective, otherwise "no interval".
      lower_gy, middle_gy, upper_gy: interval and middle, with earlier treatments if they count; None without interval.
      probability: probability that the objective is met, if it is open; None if it cannot be stated.
      reason: why there is no interval; empty otherwise.
      earlier_gy: dose of earlier treatments that the interval contains.
    """

    objective: ObjectiveResult
    certainty: Certainty
    lower_gy: float | None = None
    middle_gy: float | None = None
    upper_gy: float | None = None
    probability: float | None = None
    reason: str = ""
    earlier_gy: float = 0.0


def verdicts_of(result: Result) -> tuple[Verdict, ...]:
    """Returns one verdict per target, limit and goal, in the order of the result; none without intervals.

    Args:
      result: plan or verification.
    """
    found = result.uncertainty
    if found is None or found.status != "intervals":
        return ()
    return tuple(_verdict(one, found) for one in result.objectives if not one.only_planned)


def _verdict(one: ObjectiveResult, found: UncertaintyResult) -> Verdict:
    ends, reason = _dose_of(one, found)
    if ends is None:
        return Verdict(one, "no interval", reason=reason)
    lower, middle, upper = ends
    wanted = one.dose_gy
    if one.direction == "at least":
        certainty: Certainty = "met" if lower >= wanted else "not met" if upper < wanted else "open"
    else:
        certainty = "met" if upper <= wanted else "not met" if lower > wanted else "open"
    probability = None
    if certainty == "open":
        above = probability_above(wanted, ends, found.level)
        probability = above if above is None or one.direction == "at least" else 1.0 - above
    return Verdict(one, certainty, lower, middle, upper, probability, earlier_gy=_earlier_gy(one, found))


def _earlier_gy(one: ObjectiveResult, found: UncertaintyResult) -> float:
    """The dose of earlier treatments in the value of a cumulative limit; it is exact."""
    row = next((row for row in found.rows if row.voi == one.voi and row.metric == "mean"), None)
    return one.value_gy - row.value if one.cumulative and row is not None and row.value is not None else 0.0


def _dose_of(one: ObjectiveResult, found: UncertaintyResult) -> tuple[tuple[float, float, float] | None, str]:
    """Interval and middle of the dose that an objective compares, or None and the reason."""
    reason = without_interval(found).get(one.voi, "its dose has no interval")
    if one.kind == "mean" or one.volume_fraction is None:
        row = next((row for row in found.rows if row.voi == one.voi and row.metric == "mean"), None)
        shown, _ = (None, "") if row is None else shown_interval(row)
        if row is None or shown is None or row.value is None:
            return None, reason
        earlier = _earlier_gy(one, found)
        return (shown.lower + earlier, shown.median + earlier, shown.upper + earlier), ""
    band = next((band for band in found.histograms if band.voi == one.voi), None)
    if band is None:
        return None, reason
    points = band_points(band)
    percent = 100.0 * one.volume_fraction
    if not points:
        return None, CONTRADICTORY
    for before, after in itertools.pairwise(points):
        if before[0] <= percent <= after[0]:
            part = (percent - before[0]) / (after[0] - before[0])
            lower, middle, upper = (a + part * (b - a) for a, b in zip(before[1:], after[1:], strict=True))
            return (lower, middle, upper), ""
    return None, f"its histogram has no interval at {percent:g} % of the volume"


def band_points(band: HistogramBand) -> list[tuple[float, float, float, float]]:
    """Returns volume, lower, middle and upper dose of a band; empty if its record contradicts itself.

    Points without a number are omitted, and all from the first on whose dose rises with the volume.

    Args:
      band: histogram with its interval.
    """
    columns = (band.volume_percent, band.lower_gy, band.middle_gy, band.upper_gy)
    if len({len(column) for column in columns}) != 1:
        return []
    points = [point for point in zip(*columns, strict=True) if all(math.isfinite(value) for value in point)]
    rising = all(a[0] < b[0] for a, b in itertools.pairwise(points))
    ordered = all(0 <= lower <= middle <= upper for _, lower, middle, upper in points)
    if not rising or not ordered:
        return []
    # The dose of a larger volume is smaller, and so are its quantiles: from the first that rises on, none is one.
    kept: list[tuple[float, float, float, float]] = []
    for point in points:
        if any(value > RISE * last for value, last in zip(point[1:], kept[-1][1:] if kept else (), strict=False)):
            break
        kept.append(point)
    return kept


def probability_above(value: float, ends: tuple[float, float, float], level: float) -> float | None:
    """Returns the probability that a log-normal quantity is above a value; None if it cannot be stated.

    Each side of the middle has the width of its end of the interval.

    Args:
      value: value to compare with.
      ends: lower end, middle and upper end of the interval.
      level: probability of the interval.

    Examples:
      >>> from sirtjax.reports._interval_verdicts import probability_above
      >>> round(probability_above(100.0, (50.0, 100.0, 200.0), 0.9), 3)
      0.5
      >>> round(probability_above(200.0, (50.0, 100.0, 200.0), 0.9), 3)
      0.05
    """
    lower, middle, upper = ends
    end = lower if value < middle else upper
    if lower <= 0 or value <= 0 or end == middle:
        return None
    steps = math.log(value / middle) / abs(math.log(end / middle))
    return 1.0 - NormalDist().cdf(steps * NormalDist().inv_cdf(0.5 + level / 2))


def probability_text(probability: float | None) -> str:
    """Returns a probability in steps of 5 %; empty if there is none.

    Examples:
      >>> from sirtjax.reports._interval_verdicts import probability_text
      >>> probability_text(0.62), probability_text(None)
      ('about 60 %', '')
    """
    if probability is None:
        return ""
    return f"about {100 * PROBABILITY_STEP * round(probability / PROBABILITY_STEP):.0f} %"


def objective_text(one: ObjectiveResult, *, whole: bool = False) -> str:
    """Returns VOI and metric of an objective in words, such as "lesion 1, D70".

    Args:
      one: target, limit or goal.
      whole: whether a long name is printed in full.
    """
    voi, metric = objective_metric(one)
    return f"{voi if whole else short(voi)}, {metric}"


def objective_metric(one: ObjectiveResult) -> tuple[str, str]:
    """Returns VOI and metric of an objective, such as "lesion 1" and "D70"."""
    if one.kind != "mean" and one.volume_fraction is not None:
        return one.voi, f"D{100 * one.volume_fraction:g}"
    return one.voi, "mean"


def required_text(one: ObjectiveResult) -> str:
    """Returns the dose of an objective in words, such as "target 205 Gy"."""
    word = "target" if one.direction == "at least" else "limit"
    goal = "recommended " if one.purpose == "goal" else ""
    earlier = " over all treatments" if one.cumulative else ""
    return f"{goal}{word} {one.dose_gy:g} Gy{earlier}"


def verdict_range(verdict: Verdict) -> str:
    """Returns the interval of the dose with its unit, or the reason why there is none."""
    if verdict.lower_gy is None or verdict.upper_gy is None:
        return verdict.reason
    text = range_text(verdict.lower_gy, verdict.upper_gy, "Gy", limit=verdict.objective.dose_gy)
    return f"{text} Gy"


def sorted_verdicts(verdicts: Sequence[Verdict], certainty: Certainty) -> list[Verdict]:
    """Returns the verdicts of one kind: limits before targets, recommendations last, nearest first.

    Args:
      verdicts: all verdicts.
      certainty: kind to return.
    """

    def margin(one: Verdict) -> float:
        if one.middle_gy is None or one.middle_gy <= 0:
            return 0.0
        ratio = math.log(one.middle_gy / one.objective.dose_gy)
        return ratio if one.objective.direction == "at least" else -ratio

    chosen = [one for one in verdicts if one.certainty == certainty]

    def order(one: Verdict) -> tuple[bool, bool, float]:
        return one.objective.purpose == "goal", one.objective.direction == "at least", margin(one)

    return sorted(chosen, key=order)
