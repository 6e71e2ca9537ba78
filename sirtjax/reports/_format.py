"""How numbers are printed: one rule per quantity, for the page and the PDF. Files for programs keep every digit."""

from __future__ import annotations

import math
from itertools import pairwise

# From a value on, its decimals. A value that its decimals would show as zero is printed as "< 0.1".
_DECIMALS: dict[str, tuple[tuple[float, int], ...]] = {
    "Gy": ((100.0, 0), (0.0, 1)),
    "MBq": ((100.0, 0), (10.0, 1), (0.0, 2)),
    "mL": ((100.0, 0), (10.0, 1), (0.0, 2)),
    "g": ((100.0, 0), (0.0, 1)),
    "%": ((100.0, 0), (0.0, 1)),
    "mm": ((100.0, 0), (0.0, 1)),
    "ratio": ((10.0, 1), (0.0, 2)),
}
MISSING = "–"
# A value that a person fills in on paper.
BLANK = "_" * 14


def number(value: float | None, unit: str) -> str:
    """Returns a number with the decimals of its unit, without the unit; a dash if there is none.

    Args:
      value: number in `unit`; a percentage is in %, not a fraction.
      unit: "Gy", "MBq", "mL", "g", "%", "mm" or "ratio"; any other has three significant digits.

    Examples:
      >>> from sirtjax.reports._format import number
      >>> number(246.53, "Gy"), number(90.02, "Gy"), number(0.03, "Gy"), number(5081.4, "MBq")
      ('247', '90.0', '< 0.1', '5081')
    """
    if unit not in _DECIMALS:
        return significant(value)
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    return with_decimals(value, decimals_of(value, unit))


def counted(count: int, noun: str) -> str:
    """Returns a number with its noun, which has a plural in "s".

    Args:
      count: number of things.
      noun: name of one of them.

    Examples:
      >>> from sirtjax.reports._format import counted
      >>> counted(1, "error"), counted(0, "more lesion")
      ('1 error', '0 more lesions')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def decimals_of(value: float, unit: str) -> int:
    """Returns the decimals with which `number` prints a value.

    Args:
      value: finite number.
      unit: unit of `number`.

    Examples:
      >>> from sirtjax.reports._format import decimals_of
      >>> decimals_of(99.94, "Gy"), decimals_of(99.96, "Gy")
      (1, 0)
    """
    rules = _DECIMALS[unit]
    # By the value as the finer rule prints it: 99.96 Gy is 100 Gy, 99.94 Gy is 99.9 Gy.
    for (limit, coarse), (_, fine) in pairwise(rules):
        if round(abs(value), fine) >= limit:
            return coarse
    return rules[-1][1]


def with_decimals(value: float, decimals: int) -> str:
    """Returns a number with decimals; a value that they would show as zero is printed as "< 0.1".

    Args:
      value: finite number.
      decimals: number of decimals.

    Examples:
      >>> from sirtjax.reports._format import with_decimals
      >>> with_decimals(12.34, 1), with_decimals(0.2, 0), with_decimals(0.0, 0)
      ('12.3', '< 1', '0')
    """
    if value == 0:
        return "0"
    text = f"{value:.{decimals}f}"
    if float(text) != 0:
        return text
    step = f"{10.0**-decimals:.{decimals}f}"
    return f"< {step}" if value > 0 else f"> -{step}"


def with_unit(value: float | None, unit: str) -> str:
    """Returns a number and its unit; only a dash if there is none.

    Examples:
      >>> from sirtjax.reports._format import with_unit
      >>> with_unit(8.123, "%"), with_unit(None, "Gy")
      ('8.1 %', '–')
    """
    text = number(value, unit)
    return text if text == MISSING else f"{text} {unit}"


def column(title: str, value: float | str | None) -> str:
    """Returns the cell of a table: a text unchanged, a number by the unit in the title of its column.

    Examples:
      >>> from sirtjax.reports._format import column
      >>> column("mean (Gy)", 0.001), column("kernel / local", 0.98123)
      ('< 0.1', '0.98')
    """
    if isinstance(value, str):
        return value
    return number(value, unit_of(title))


def unit_of(title: str) -> str:
    """Returns the unit in the title of a column: the last one in brackets; Gy for D_x, otherwise a ratio.

    Examples:
      >>> from sirtjax.reports._format import unit_of
      >>> unit_of("volume (mL)"), unit_of("D95"), unit_of("T/N")
      ('mL', 'Gy', 'ratio')
    """
    unit = title.rpartition("(")[2].rstrip(")") if title.endswith(")") else ""
    if not unit and title.startswith("D") and title[1:].isdigit():
        return "Gy"
    return unit or "ratio"


def significant(value: float | tuple[float, float] | None) -> str:
    """Returns a number, or both of a range, with three significant digits; a dash if there is none."""
    if isinstance(value, tuple):
        return " to ".join(significant(one) for one in value)
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{digits}f}"


def percent(fraction: float | None) -> str:
    """Returns a fraction in per cent, without the sign; a dash if there is none."""
    return number(None if fraction is None else 100 * fraction, "%")


def amount(value: float | tuple[float, float] | None, unit: str) -> str:
    """Returns the value or the limit of a check with its unit; fractions (unit "1") as per cent."""
    if value is None:
        return MISSING
    if unit == "1" and not isinstance(value, tuple):
        return f"{significant(100 * value)} %"
    return significant(value) if unit in ("", "1") else f"{significant(value)} {unit}"
