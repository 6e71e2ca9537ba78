"""A verification next to its plan, as a record: the properties that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Agreement = Literal["agrees", "differs", "unknown"]


@dataclass(frozen=True)
class ComparisonRow:
    """One property of a verification and of its plan.

    Attributes:
      name: compared property, such as "protocol" or "volume of lesion 1".
      planned, found: value in the plan and in the verification, as printed.
      agreement: whether numbers agree within the limit of their check; "unknown" if one of the two is not stated.
    """

    name: str
    planned: str
    found: str
    agreement: Agreement


@dataclass(frozen=True)
class PlanComparison:
    """The comparison of a verification with its plan.

    Attributes:
      created: date and time of the plan.
      lung_dose_gy: mean lung dose of the plan.
      rows: patient, protocol, nuclide, territories, VOIs, frames of reference and inputs.
    """

    created: str
    lung_dose_gy: float | None
    rows: tuple[ComparisonRow, ...]
