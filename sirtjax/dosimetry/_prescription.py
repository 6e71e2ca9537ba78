"""The records of a prescription: bounds, chosen activities, predicted doses."""

from __future__ import annotations

from dataclasses import dataclass

from sirtjax.dosimetry._activity_choice import Strategy as Strategy
from sirtjax.dosimetry._checks import Check
from sirtjax.dosimetry._objectives import DoseObjective


@dataclass(frozen=True, kw_only=True)
class Injection:
    """One planned injection.

    Attributes:
      territory: name of the territory it fills.
      residual_fraction: fraction of the ordered activity that stays in vial and catheter.
      fixed_mbq: activity to enter the patient, for the strategy "fixed".
    """

    territory: str
    residual_fraction: float
    fixed_mbq: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The activity at which an objective is just met.

    Attributes:
      objective: the objective, with the VOI's own name.
      voi: name of the VOI.
      role: role of the VOI.
      activity_mbq: of the single territory, or the total of all territories for a joint bound; infinite
        for a limit that can't be reached or a target that can't.
    """

    objective: DoseObjective
    voi: str
    role: str
    activity_mbq: float


@dataclass(frozen=True, kw_only=True)
class TerritoryPrescription:
    """The bounds and the activity of one territory; activities at the time of injection.

    Attributes:
      territory: its name.
      lower_bounds: one per target, largest first.
      upper_bounds: one per limit, smallest first, as if this were the only injection.
      lower_bound_mbq: the largest lower bound, 0 without a target.
      upper_bound_mbq: the smallest upper bound, infinite without a limit.
      feasible: whether lower <= upper.
      chosen_mbq: activity to enter the patient.
      dispensed_mbq: activity to order so that `chosen_mbq` leaves the vial.
      residual_fraction: share that stays behind.
      limiting_bound: the bound that sets `chosen_mbq`; None where it was given.
    """

    territory: str
    lower_bounds: tuple[Bound, ...]
    upper_bounds: tuple[Bound, ...]
    lower_bound_mbq: float
    upper_bound_mbq: float
    feasible: bool
    chosen_mbq: float
    dispensed_mbq: float
    residual_fraction: float
    limiting_bound: Bound | None

    @property
    def interval_mbq(self) -> tuple[float, float] | None:
        """The activities that meet every objective, or None where there are none."""
        return (self.lower_bound_mbq, self.upper_bound_mbq) if self.feasible else None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The mean dose predicted for a VOI.

    Attributes:
      voi: its name.
      role: its role.
      mean_gy: with the chosen activity in the patient (the residual is ordered on top).
      mean_with_residual_gy: if only the chosen activity is ordered and the residual stays behind.
      previous_gy: of earlier treatments, not included in the others.
      by_territory_gy: (name, dose) what each injection contributes to `mean_gy`.
    """

    voi: str
    role: str
    mean_gy: float
    mean_with_residual_gy: float
    previous_gy: float
    by_territory_gy: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class ObjectiveOutcome:
    """How an objective stands at the chosen activities.

    Attributes:
      objective: the objective, with the VOI's own name.
      voi: name of the VOI.
      role: role of the VOI.
      value_gy: mean dose or D_x, earlier treatments included for a cumulative objective.
      value_fraction: for a V objective, the fraction of the VOI above its dose.
      met: whether it holds.
    """

    objective: DoseObjective
    voi: str
    role: str
    value_gy: float
    value_fraction: float | None
    met: bool


@dataclass(frozen=True, kw_only=True)
class Prescription:
    """The activities of all territories, with the bounds they lie between.

    Attributes:
      strategy: the rule used.
      territories: one per injection.
      joint_lower_mbq: total activity at which all targets are met, in the proportions of the choice.
      joint_upper_mbq: total activity at which the first limit is reached, in those proportions.
      joint_bounds: every bound on that total.
      feasible: some activities meet every bounding objective (by linear programming where all are linear,
        otherwise in the proportions of the choice) and each territory's own interval is not empty.
      scale: factor by which all territories' own choices were multiplied to meet the limits jointly.
      limiting_bound: the bound on the total that is reached; None if activities were given.
      max_margin_mbq: the split with the largest margin over the targets within all limits; None where it is not
        known or some injection has no target or no limit on liver tissue.
      total_mbq: sum of the chosen activities.
      predictions: dose per VOI.
      outcomes: every objective, goals too.
      checks: what must be looked at.
    """

    strategy: Strategy
    territories: tuple[TerritoryPrescription, ...]
    joint_lower_mbq: float
    joint_upper_mbq: float
    joint_bounds: tuple[Bound, ...]
    feasible: bool
    scale: float
    limiting_bound: Bound | None
    max_margin_mbq: tuple[float, ...] | None
    total_mbq: float
    predictions: tuple[Prediction, ...]
    outcomes: tuple[ObjectiveOutcome, ...]
    checks: tuple[Check, ...]
