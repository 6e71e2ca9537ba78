"""The records of an optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["optimal", "local optimum", "not converged"]


@dataclass(frozen=True, kw_only=True)
class LimitGain:
    """A limit at the optimum.

    Attributes:
      label: limit, such as "mean(lungs) <= 30 Gy".
      voi: name of the VOI.
      limit_gy: limit.
      value_gy: dose at the optimum, earlier treatments included as far as the limit counts them.
      probability: probability that this limit is kept; None without uncertainty.
      gain_per_gy: gain of the objective per Gy by which the limit is raised, in Gy or as a fraction; 0 if the limit
        does not restrict the objective.
    """

    label: str
    voi: str
    limit_gy: float
    value_gy: float
    probability: float | None
    gain_per_gy: float

    def sentence(self, objective: str, unit: Literal["Gy", "%"]) -> str:
        """Returns the meaning of the multiplier in words.

        Args:
          objective: name of the objective.
          unit: unit of the objective.

        Examples:
          >>> lungs = LimitGain(
          ...     label="mean(lungs) <= 30 Gy",
          ...     voi="lungs",
          ...     limit_gy=30.0,
          ...     value_gy=30.0,
          ...     probability=None,
          ...     gain_per_gy=3.2,
          ... )
          >>> lungs.sentence("lowest D70 of a tumour", "Gy")
          'mean(lungs) <= 30 Gy: 1 Gy more would raise the lowest D70 of a tumour by 3.2 Gy.'
        """
        gain = self.gain_per_gy * (100 if unit == "%" else 1)
        if gain == 0:
            return f"{self.label}: a higher limit would not raise the {objective}."
        points = "Gy" if unit == "Gy" else "percentage points"
        return f"{self.label}: 1 Gy more would raise the {objective} by {gain:.3g} {points}."


@dataclass(frozen=True, kw_only=True)
class OptimalActivity:
    """The optimal activities under all limits.

    Attributes:
      status: "optimal" (exact, linear), "local optimum" (no better activities nearby), or "not converged" (all limits
        are kept, but better activities may exist nearby).
      method: "linear program" or "gradient".
      activity_mbq: (injections,) activities that reach the patient.
      value: objective there, in Gy or as a fraction: expected or worst-case with uncertainty.
      nominal_value: objective of the doses as computed.
      use: largest use of a limit; at most 1. With uncertainty it is that of the probability or of the tail.
      limits: every limit with its gain.
      searches: number of local searches; 0 for a linear program.
      agreeing: number of local searches that ended at this objective.
      stationarity: size of the gradient that the limits do not explain, relative to the gradient or to 4 % of the
        objective per own bound of an injection, whichever is larger; 0 for a linear program.
      limits_probability: probability that all limits are kept; None without uncertainty.
      targets_probability: probability that all targets of the protocol are met; None without uncertainty or targets.
    """

    status: Status
    method: Literal["linear program", "gradient"]
    activity_mbq: tuple[float, ...]
    value: float
    nominal_value: float
    use: float
    limits: tuple[LimitGain, ...]
    searches: int
    agreeing: int
    stationarity: float
    limits_probability: float | None
    targets_probability: float | None


@dataclass(frozen=True, kw_only=True)
class ParetoFront:
    """The best objective for each mean dose of the whole normal liver.

    Attributes:
      liver_gy: (points,) mean doses of the whole normal liver.
      value: (points,) objective of the doses as computed.
      activity_mbq: (points, injections) activities.
    """

    liver_gy: tuple[float, ...]
    value: tuple[float, ...]
    activity_mbq: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class InjectionGain:
    """The contribution of one injection to the optimum.

    Attributes:
      injection: name of the injection.
      activity_mbq: activity at the optimum.
      gain: objective at the optimum less the best one without this injection.
      only: best objective with this injection only.
    """

    injection: str
    activity_mbq: float
    gain: float
    only: float


@dataclass(frozen=True, kw_only=True)
class ProbabilityCurve:
    """Probabilities over the total activity, in the proportions of the chosen activities.

    Attributes:
      activity_mbq: (points,) total activities.
      limits_met: (points,) probability that all limits are kept.
      targets_met: (points,) probability that all targets of the protocol are met; empty without targets.
    """

    activity_mbq: tuple[float, ...]
    limits_met: tuple[float, ...]
    targets_met: tuple[float, ...]
