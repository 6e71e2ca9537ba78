"""The records of a prescription: bounds, chosen activities, predicted doses."""

from __future__ import annotations

from dataclasses import dataclass

from sirtjax.dosimetry._activity_choice import Strategy as Strategy
from sirtjax.dosimetry._checks import Check
from sirtjax.dosimetry._objectives import DoseObjective
from sirtjax.dosimetry._outcome_model import OutcomeCurve


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
      activity_mbq: activity of the single territory, or total of all territories for a joint bound; infinite for a
        limit or target that cannot be reached.
    """

    objective: DoseObjective
    voi: str
    role: str
    activity_mbq: float


@dataclass(frozen=True, kw_only=True)
class TerritoryPrescription:
    """The bounds and the activity of one territory; activities at the time of injection.

    Attributes:
      territory: name of the territory.
      lower_bounds: one per target, largest first.
      upper_bounds: one per limit, smallest first, as if this were the only injection.
      lower_bound_mbq: the largest lower bound, 0 without a target.
      upper_bound_mbq: the smallest upper bound, infinite without a limit.
      feasible: whether lower <= upper.
      chosen_mbq: activity that is to reach the patient.
      dispensed_mbq: activity to order so that `chosen_mbq` leaves the vial.
      residual_fraction: fraction of the activity that remains in vial and catheter.
      limiting_bound: bound that sets `chosen_mbq`; None if the activity was provided.
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
        """The activities that meet every objective, or None if there are none."""
        return (self.lower_bound_mbq, self.upper_bound_mbq) if self.feasible else None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The mean dose predicted for a VOI.

    Attributes:
      voi: name of the VOI.
      role: role of the VOI.
      mean_gy: mean dose if the chosen activity reaches the patient (the residual is ordered in addition).
      mean_with_residual_gy: mean dose if only the chosen activity is ordered and the residual does not reach the
        patient.
      previous_gy: mean dose of earlier treatments, not included in the other doses.
      by_territory_gy: (name, dose) contribution of each injection to `mean_gy`.
    """

    voi: str
    role: str
    mean_gy: float
    mean_with_residual_gy: float
    previous_gy: float
    by_territory_gy: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class ObjectiveOutcome:
    """The result of an objective at the chosen activities.

    Attributes:
      objective: the objective, with the VOI's own name.
      voi: name of the VOI.
      role: role of the VOI.
      value_gy: mean dose or D_x, earlier treatments included for a cumulative objective.
      value_fraction: fraction of the VOI above its dose, for a V objective.
      met: whether the objective is met.
    """

    objective: DoseObjective
    voi: str
    role: str
    value_gy: float
    value_fraction: float | None
    met: bool


@dataclass(frozen=True, kw_only=True)
class Prescription:
    """The activities of all territories, and their bounds.

    Attributes:
      strategy: rule of the choice.
      territories: one prescription per injection.
      joint_lower_mbq: total activity at which all targets are met, in the proportions of the choice.
      joint_upper_mbq: total activity at which the first limit is reached, in those proportions.
      joint_bounds: every bound on that total.
      feasible: some activities meet every bounding objective (by linear programming where all are linear,
        otherwise in the proportions of the choice) and each territory's own interval is not empty.
      scale: factor by which all territories' own choices were multiplied to meet the limits jointly.
      limiting_bound: bound on the total that is reached; None if activities were provided.
      max_margin_mbq: the split with the largest margin over the targets within all limits; None if it is not
        known or some injection has no target or no limit on liver tissue.
      total_mbq: sum of the chosen activities.
      predictions: dose per VOI.
      outcomes: results of every objective, including goals.
      checks: checks that a user must review.
      outcome: TCP and NTCP over the activity; None without a dose response.
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
    outcome: OutcomeCurve | None = None
