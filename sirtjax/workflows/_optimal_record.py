"""The optimal activities of a plan as results.json and the report show them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OptimalLimit:
    """A limit at the optimum.

    Attributes:
      objective: limit in the notation of the report.
      limit_gy: limit.
      value_gy: dose at the optimum.
      gain_per_gy: gain of the objective if the limit were 1 Gy higher, in Gy or as a fraction; 0 without an effect.
      sentence: meaning of the gain in words.
    """

    objective: str
    limit_gy: float
    value_gy: float
    gain_per_gy: float
    sentence: str


@dataclass(frozen=True)
class OptimalInjection:
    """An injection at the optimum.

    Attributes:
      territory: name of the territory.
      activity_mbq: optimal activity in the patient.
      upper_mbq: activity of the strategy "upper".
      gain: objective at the optimum less the best one without this injection.
      only: best objective with this injection only.
    """

    territory: str
    activity_mbq: float
    upper_mbq: float
    gain: float
    only: float


@dataclass(frozen=True)
class OptimalResult:
    """The optimal activities of a plan.

    Attributes:
      objective: objective of the case: "mean", "d70", "volume", "eud" or "utcp".
      label: name of the objective in words.
      unit: "Gy", or "1" for a fraction.
      status: "optimal", "local optimum" or "not converged".
      method: "linear program" or "gradient".
      value: objective at the optimum.
      upper_value: objective at the activities of the strategy "upper".
      liver_gy: mean dose of the normal liver at the optimum.
      upper_liver_gy: mean dose of the normal liver with the strategy "upper".
      use: largest used fraction of a limit.
      searches: number of local searches; 0 for a linear program.
      agreeing: number of local searches that ended at this objective.
      injections: one entry per injection.
      limits: one entry per limit that bounds the activity.
      front_liver_gy: mean doses of the normal liver on the Pareto front.
      front_value: best objective at each of them.
    """

    objective: str
    label: str
    unit: str
    status: str
    method: str
    value: float
    upper_value: float
    liver_gy: float
    upper_liver_gy: float
    use: float
    searches: int
    agreeing: int
    injections: tuple[OptimalInjection, ...]
    limits: tuple[OptimalLimit, ...]
    front_liver_gy: tuple[float, ...]
    front_value: tuple[float, ...]
