from __future__ import annotations

import hashlib
import re

from sirtjax.errors import ImageFormatError

# PS3.5 section 9.1: components without leading zeros, at most 64 characters. `\Z`, for `$` lets a newline through.
_UID = re.compile(r"(?=.{1,64}\Z)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+\Z", re.ASCII)
_NAME_LENGTH = 32
_SHOWN = 16


def is_uid(text: str) -> bool:
    """Returns whether this is a valid DICOM UID."""
    return _UID.match(text) is not None


def checked_uid(value: object, what: str) -> str:
    """Returns a UID received over the network, checked.

    Raises:
      ImageFormatError: the value is not a UID; the message does not repeat it.
    """
    text = "" if value is None else str(value)
    if not is_uid(text):
        raise ImageFormatError(
            f"{what} is missing or not a UID; expected numbers with dots between them, at most 64 long"
        )
    return text


def hashed_name(*parts: str) -> str:
    """Returns a file name from received values: 32 hexadecimal digits, for any input."""
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_NAME_LENGTH]


def printable(text: object) -> str:
    """Returns the name that a peer uses, fit for a log line: printable ASCII, at most 16 characters."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in str(text).strip()[:_SHOWN])
