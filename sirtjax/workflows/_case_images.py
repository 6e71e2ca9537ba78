"""The images of a case, as a record."""

from __future__ import annotations

from dataclasses import dataclass

from sirtjax import io


@dataclass(frozen=True)
class CaseImages:
    """The images of a case.

    Attributes:
      activity: the SPECT or PET the dose is computed from, in counts or Bq/mL.
      ct: the CT acquired with it, in its frame, or None.
      diagnostic: the CT or MR on which VOIs were drawn, or None.
    """

    activity: io.Image
    ct: io.Image | None
    diagnostic: io.Image | None
