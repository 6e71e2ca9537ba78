"""Evaluation of one or many registrations: metrics of each case, RRMSD, table and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sirtjax.errors import ComputationError
from sirtjax.studies._outputs import TABLE, check_output
from sirtjax.studies._registration_cases import (
    RegistrationCase,
    RegistrationOutcome,
    measure_registration,
    measure_registrations,
    reason_without_rmsd,
    write_registrations,
)

if TYPE_CHECKING:
    from sirtjax.metrics import RegistrationQuality


@dataclass(frozen=True, kw_only=True)
class RegistrationStudy:
    """Metrics of many registrations.

    Attributes:
      outcomes: outcome of each case, in the order of the table.
      rrmsd_mm: root of the mean squared RMSD over the evaluated cases; None if there are none.
      count: number of the evaluated cases.
    """

    outcomes: tuple[RegistrationOutcome, ...]
    rrmsd_mm: float | None
    count: int

    def to_json(self) -> dict[str, object]:
        """Returns the metrics of all cases as nested dictionaries without NaN."""
        cases = [
            {
                "case": one.case,
                "status": one.status,
                "reason": one.reason,
                "quality": None if one.quality is None else quality_to_json(one.quality),
            }
            for one in self.outcomes
        ]
        return {"cases": cases, "rrmsd_mm": self.rrmsd_mm, "rrmsd_cases": self.count}

    def check_complete(self) -> None:
        """Raises if a case could not be evaluated.

        Raises:
          ComputationError: names the first of them.
        """
        bad = [one for one in self.outcomes if one.status != "measured"]
        if bad:
            raise ComputationError(
                f"{len(bad)} of {len(self.outcomes)} cases could not be measured and are not in the RRMSD; the first "
                f"is {bad[0].case}: {bad[0].reason}"
            )


def evaluate_registration_case(
    case: RegistrationCase, *, keep_holes: bool = False, output: Path | None = None, force: bool = False
) -> RegistrationQuality:
    """Evaluates one registration from its files.

    Args:
      case: files of the case.
      keep_holes: do not add labels enclosed by an organ to the organ.
      output: table to write (.csv); None for none.
      force: overwrite an existing table.

    Raises:
      InputError: a file is not valid.
      OutputError: the table is no .csv, is a file of the case, or exists and `force` is not given.
    """
    check_output(output, suffixes=TABLE, inputs=case.inputs(), force=force)
    quality = measure_registration(case, keep_holes=keep_holes)
    if output is not None:
        outcome = RegistrationOutcome(case=case.case, quality=quality, reason=reason_without_rmsd(quality))
        write_registrations(output, [outcome], force=force)
    return quality


def evaluate_registration_cases(
    cases: Sequence[RegistrationCase],
    *,
    keep_holes: bool = False,
    output: Path | None = None,
    force: bool = False,
    on_case: Callable[[str], None] = lambda case: None,
) -> RegistrationStudy:
    """Evaluates many registrations; a case that fails does not stop the others.

    Args:
      cases: files of each case.
      keep_holes: do not add labels enclosed by an organ to the organ.
      output: table to write (.csv); None for none.
      force: overwrite an existing table.
      on_case: called with the name of each case.

    Raises:
      OutputError: the table is no .csv, is a file of a case, or exists and `force` is not given.
    """
    from sirtjax import metrics

    read = (path for one in cases for path in one.inputs())
    check_output(output, suffixes=TABLE, inputs=read, force=force)
    outcomes = measure_registrations(cases, keep_holes=keep_holes, on_case=on_case)
    if output is not None:
        write_registrations(output, outcomes, force=force)
    measured = [one.quality.rmsd_mm for one in outcomes if one.quality is not None and one.status == "measured"]
    rrmsd_mm = metrics.rrmsd_mm(measured) if measured else None
    return RegistrationStudy(outcomes=tuple(outcomes), rrmsd_mm=rrmsd_mm, count=len(measured))


def quality_to_json(quality: RegistrationQuality) -> dict[str, object]:
    """Returns the metrics of a registration as nested dictionaries, with None instead of NaN."""
    labels = [asdict(label) | {"volume_change": label.volume_change} for label in quality.labels]
    target = None
    if quality.target is not None:
        target = {key: value for key, value in asdict(quality.target).items() if key != "each_mm"}
        target["each_mm"] = quality.target.each_mm.tolist()
    table = {
        "rmsd_mm": quality.rmsd_mm,
        "out_of_view": list(quality.out_of_view),
        "labels": labels,
        "target": target,
        "jacobian": asdict(quality.jacobian),
        "organ_jacobian": None if quality.organ_jacobian is None else asdict(quality.organ_jacobian),
        "notes": list(quality.notes),
    }
    return {key: without_nan(value) for key, value in table.items()}


def without_nan(value: object) -> object:
    """Returns a value with None instead of numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
