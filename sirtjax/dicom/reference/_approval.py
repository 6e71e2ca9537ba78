from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sirtjax.errors import InputError

# Limits of a person's name in DICOM: "\" separates values and "=" spellings.
_MAX_NAME = 64
_FORBIDDEN = "\\="


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The review of a result: reviewer, date and decision.

    Attributes:
      reviewer: the physician's name, as in "Meyer^Anna" or "Anna Meyer".
      at: date and time of the review.
      verified: whether the result was approved; False for rejected.
    """

    reviewer: str
    at: datetime
    verified: bool

    def __post_init__(self) -> None:
        name = self.reviewer.strip()
        if not name or len(name) > _MAX_NAME or not name.isprintable() or any(c in name for c in _FORBIDDEN):
            raise InputError(
                f"the reviewer's name has {len(self.reviewer)} characters; expected 1 to {_MAX_NAME} printable "
                r"ones without '\' and '='"
            )
