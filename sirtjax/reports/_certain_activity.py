"""The activity at which the limits of a plan would be kept for certain, and what it would cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.reports._figures import short
from sirtjax.reports._interval_verdicts import Verdict, objective_text

if TYPE_CHECKING:
    from sirtjax.workflows import Result

MOST_NAMED = 3


@dataclass(frozen=True)
class CertainActivity:
    """A smaller activity in the proportions of the plan.

    Attributes:
      fraction: fraction of the planned activities.
      lost: targets that are certain in the plan and would not be with this activity.
    """

    fraction: float
    lost: tuple[str, ...]


def certain_activity(verdicts: Sequence[Verdict]) -> CertainActivity | None:
    """Returns the largest part of the planned activities at which all limits are certain.

    Doses and their intervals are proportional to the activity.

    Args:
      verdicts: targets and limits next to their intervals.

    Returns:
      The activity; None if all limits are certain in the plan, or if earlier treatments exceed one.
    """
    fraction = 1.0
    for one in verdicts:
        limit = one.objective.direction == "at most" and one.objective.purpose != "goal"
        if limit and one.upper_gy is not None and one.upper_gy > one.objective.dose_gy:
            fraction = min(fraction, (one.objective.dose_gy - one.earlier_gy) / (one.upper_gy - one.earlier_gy))
    if not 0.0 < fraction < 1.0:
        return None
    lost = [
        objective_text(one.objective)
        for one in verdicts
        if one.objective.direction == "at least"
        and one.certainty == "met"
        and one.lower_gy is not None
        and fraction * one.lower_gy < one.objective.dose_gy
    ]
    return CertainActivity(fraction, tuple(lost))


def certain_activity_text(result: Result, verdicts: Sequence[Verdict]) -> str:
    """Returns a sentence on the activity at which all limits are certain; empty without one.

    Args:
      result: plan or verification.
      verdicts: targets and limits next to their intervals.
    """
    found = certain_activity(verdicts) if result.kind == "plan" else None
    if found is None:
        return ""
    activities = [
        f"{short(one.territory)} {math.floor(found.fraction * one.activity_mbq)}"
        for one in result.injections[:MOST_NAMED]
    ]
    hidden = len(result.injections) - MOST_NAMED
    listed = ", ".join(activities) + (f" and {hidden} more" if hidden > 0 else "")
    unknown = any(one.certainty == "no interval" and one.objective.direction == "at most" for one in verdicts)
    limits = "every binding limit that has an interval" if unknown else "every binding limit"
    percent = math.floor(1000 * found.fraction) / 10
    text = f"With {percent:.3g} % of all activities ({listed} MBq), {limits} would be certain"
    if not found.lost:
        return f"{text}, and each target that is certain stays so."
    more = f" and {len(found.lost) - MOST_NAMED} more" if len(found.lost) > MOST_NAMED else ""
    return f"{text}, but no longer {'; '.join(found.lost[:MOST_NAMED])}{more}."
