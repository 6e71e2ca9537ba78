"""Numbers and texts of DICOM elements, as read and as written."""

from __future__ import annotations

import math
from typing import SupportsFloat

from pydicom.dataset import Dataset

# Of DICOM's descriptions and UIDs.
_MAX_TEXT = 64


def number(value: str | SupportsFloat | None) -> float:
    """Returns a DICOM decimal string or number as a float.

    A missing value is an error that `parsing` reports.
    """
    if value is None or value == "":
        raise ValueError("an empty value, expected a number")
    return float(value)


def optional(*values: str | SupportsFloat | None) -> float | None:
    """Returns the first of the values that is present, as a finite number; None if there is none.

    Raises:
      ValueError: a value is there but is not a finite number.
    """
    for value in values:
        if value is None or value == "":
            continue
        found = number(value)
        if not math.isfinite(found):
            raise ValueError(f"{value!r}, expected a number")
        return found
    return None


def text_of(holder: Dataset, keyword: str) -> str:
    """Returns a text value of a data set, as `leading_text`; "" if missing."""
    return leading_text(holder.get(keyword))


def leading_text(value: object) -> str:
    """Returns a text value up to its first unprintable character, at most 64 characters.

    A damaged length makes a value run on into the elements behind it, those that name the patient too.
    """
    text = "" if value is None else str(value).strip()
    end = next((n for n, character in enumerate(text) if not character.isprintable()), len(text))
    return text[: min(end, _MAX_TEXT)].strip()


def decimal(value: float) -> str:
    """Returns a number as a DICOM decimal string, as exact as 16 characters can be."""
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value) + 0.0))
