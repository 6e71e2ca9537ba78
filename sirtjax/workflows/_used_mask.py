"""The source file of a mask, and its reviewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MaskState = Literal["given", "draft", "verified", "rejected"]


@dataclass(frozen=True, kw_only=True)
class UsedMask:
    """A mask of the review, or one that was changed in the folder of the steps.

    Attributes:
      file: file name below the plan's folder.
      sha256: hash of the file.
      replaces: whether the mask replaces the mask of the case, which was then not used.
      version: version number in the review; None if the mask was changed outside the review.
      state: review state of that version.
      reviewer, signed_at, comment: signature on this version; None and "" if there is none.
    """

    file: str
    sha256: str
    replaces: bool
    version: int | None = None
    state: MaskState = "given"
    reviewer: str | None = None
    signed_at: str | None = None
    comment: str = ""
