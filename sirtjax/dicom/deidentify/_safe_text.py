from __future__ import annotations

import re
from typing import Any

from pydicom.dataelem import DataElement

from sirtjax.dicom.deidentify._date_forms import dates_in
from sirtjax.dicom.deidentify._identifiers import Identifiers, fold
from sirtjax.dicom.deidentify._profile import basic_profile
from sirtjax.dicom.deidentify._vocabulary import SHORTEST_WORD, text_runs, vocabulary

_ONE = {"DS": r" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *", "IS": r" *[+-]?\d+ *", "AS": r"\d{3}[DWMY]"}
_NUMBERS = {vr: re.compile(rf"(?:{one})?(?:\\(?:{one})?)*") for vr, one in _ONE.items()}
_LONG = re.compile(r"(?:^|(?<=\\)) *[+-]?(\d{5,}) *(?=\\|$)")  # shorter ones count slices, series and degrees
_DIGITS = 4  # of one number in a version


def are_safe_numbers(values: str, vr: str, identifiers: Identifiers) -> bool:
    """Returns whether numbers as text are numbers, and none is an identifier of at least five digits.

    Args:
      values: numbers separated by backslashes.
      vr: value representation, DS, IS or AS.
      identifiers: identifiers of the folder.
    """
    if _NUMBERS[vr].fullmatch(values) is None:
        return False
    return not any(identifiers.kind_in(number) for number in _LONG.findall(values))


def is_safe_text(value: str, tag: int, vr: str, identifiers: Identifiers) -> bool:
    """Returns whether a text value may stay: its attribute is on the list and all its words are known.

    Args:
      value: one value.
      tag: tag of the element.
      vr: value representation, CS or that of a text.
      identifiers: identifiers of the folder.
    """
    words = vocabulary()
    if tag in words.fixed:
        return words.has_term(value) and not dates_in(value.casefold())
    if vr != "CS" and tag not in basic_profile().safe_text:
        return False
    return words.has_text(value, digits=_DIGITS) and identifiers.kind_in(value) is None


def values_of(element: DataElement) -> list[str]:
    """Returns the values of an element as text, decimal numbers as they are written."""
    from pydicom.multival import MultiValue

    value = element.value
    if isinstance(value, MultiValue | list):
        return [_as_text(one) for one in value]
    return [] if value in (None, "", b"") else [_as_text(value)]


def _as_text(value: Any) -> str:
    # A number keeps how it was written, so that nothing is added to it or hidden by its conversion.
    return str(getattr(value, "original_string", None) or value)


def known_words(text: str, identifiers: Identifiers) -> str:
    """Returns a description without identifiers and without unknown words; "" if nothing is left.

    Args:
      text: the description.
      identifiers: identifiers of the folder.
    """
    hit = identifiers.kind_in(text) is not None or bool(dates_in(fold(text)))
    pieces = re.findall(r"[^\W\d_]+|\d+|[\W_]+", text)
    kept = [_stays(piece, identifiers, hit=hit) for piece in pieces]
    if all(kept) and not hit and text.isprintable():
        return text.strip()
    left = "".join(piece if stays else " " for piece, stays in zip(pieces, kept, strict=True))
    left = " ".join(re.findall(r"[A-Za-z0-9][A-Za-z0-9_./+-]*", left)) if left.isascii() else ""
    says_something = any(len(run) >= SHORTEST_WORD and run.isalpha() for run in text_runs(left))
    return left if says_something and identifiers.kind_in(left) is None else ""


def _stays(piece: str, identifiers: Identifiers, *, hit: bool) -> bool:
    if not piece.isascii():
        return False
    if piece.isdigit():
        return len(piece) <= 2 and not hit
    if not piece.isalpha():
        return piece.isprintable()
    if hit and len(piece) == 1:
        return False  # an initial
    return vocabulary().has_text(piece, digits=2) and not identifiers.is_name(piece)
