"""One row of the table of checks, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]
Limit = float | tuple[float, float] | None

EANM_2022 = "EANM procedure guideline 2022, doi:10.1007/s00259-021-05600-z"
_OWN = "set by this software"


@dataclass(frozen=True, kw_only=True)
class CheckRule:
    """A kind of check: one row of the table of codes.

    Attributes:
      code: stable code, which no other check ever gets.
      severity: "error": the number must not be used; "warning": review before use; "info": information.
      title: subject of the check.
      message: sentence with `{where}`, `{value}`, `{limit}` and `{unit}`.
      limit: threshold, or (low, high); None if it comes from the protocol or does not exist.
      unit: unit of value and limit; "1" is a fraction.
      source: source of the limit.
    """

    code: str
    severity: Severity
    title: str
    message: str
    limit: Limit
    unit: str
    source: str


def check_rule(
    code: str,
    severity: Severity,
    title: str,
    message: str,
    *,
    limit: Limit = None,
    unit: str = "",
    source: str = _OWN,
) -> CheckRule:
    """Returns a row; a limit without another source is set by this software."""
    return CheckRule(code=code, severity=severity, title=title, message=message, limit=limit, unit=unit, source=source)
