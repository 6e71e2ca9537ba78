"""Volumes that the registration changed, as a table for every kind of report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.dosimetry import CHECKS
from sirtjax.reports._format import number

if TYPE_CHECKING:
    from sirtjax.workflows import VolumeChange

VOLUME_HEADER = ("VOI", "contoured (mL)", "on the activity image (mL)", "change (%)", "check")
CODE = "SJ109"


@dataclass(frozen=True)
class VolumeRow:
    """One VOI of the table.

    Attributes:
      cells: texts in the order of `VOLUME_HEADER`.
      marked: whether its volume changes by more than the limit of SJ109.
    """

    cells: tuple[str, ...]
    marked: bool


def volume_limit_percent() -> float:
    """Returns the change of volume above which check SJ109 warns, in percent."""
    (rule,) = (one for one in CHECKS if one.code == CODE)
    return 100 * rule.limit if isinstance(rule.limit, float) else float("inf")


def volume_rows(volumes: Sequence[VolumeChange]) -> tuple[VolumeRow, ...]:
    """Returns the rows of the table; a change above the limit is marked in words.

    A change next to the limit has the digits that show on which side it is.

    Args:
      volumes: volumes of the VOIs drawn on the diagnostic image.
    """
    limit = volume_limit_percent()
    rows = []
    for one in volumes:
        marked = abs(one.change_percent) > limit
        change = f"{one.change_percent:+.1f}"
        if marked != (abs(float(change)) > limit):
            change = f"{one.change_percent:+.3f}"
        ends = (change, f"more than {limit:g} %: review" if marked else "")
        rows.append(VolumeRow((one.name, number(one.mask_ml, "mL"), number(one.warped_ml, "mL"), *ends), marked))
    return tuple(rows)


def volume_sentence(volumes: Sequence[VolumeChange]) -> str:
    """Returns what a marked change means for the doses; empty if no row is marked.

    Args:
      volumes: volumes of the VOIs drawn on the diagnostic image.
    """
    names = [row.cells[0] for row in volume_rows(volumes) if row.marked]
    if not names:
        return ""
    return (
        f"Volume changed by more than {volume_limit_percent():g} %: {', '.join(names)}. "
        "Mass and dose are those of the volume on the activity image. "
        "The cause is the registration or a contour: compare both images in registration.html."
    )
