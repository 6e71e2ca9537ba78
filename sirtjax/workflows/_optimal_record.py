"""The optimal activities of a plan as results.json and the report show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
class RobustLimit:
    """A limit at the robust optimum.

    Attributes:
      objective: limit in the notation of the report.
      limit_gy: limit.
      value_gy: dose as computed.
      probability: probability that this limit is kept.
      gain_per_gy: gain of the robust objective if the limit were 1 Gy higher, in Gy or as a fraction.
      sentence: meaning of the gain in words.
    """

    objective: str
    limit_gy: float
    value_gy: float
    probability: float
    gain_per_gy: float
    sentence: str


@dataclass(frozen=True)
class RobustResult:
    """The robust optimum of a plan, which is prescribed.

    Attributes:
      limit_probability: probability that the case states for all limits together.
      robust_limits: "chance" or "tail-mean".
      robust_objective: "expected" or "worst-case".
      status: "local optimum" or "not converged".
      searches: number of local searches.
      agreeing: number of local searches that ended at this objective.
      value: expected or worst-case objective, of the corrected doses.
      nominal_value: objective of the doses as computed.
      liver_gy: mean dose of the normal liver as computed.
      activity_mbq: prescribed activities in the patient, in the order of the injections.
      limits: one entry per limit that bounds the activity.
    """

    limit_probability: float
    robust_limits: Literal["chance", "tail-mean"]
    robust_objective: Literal["expected", "worst-case"]
    status: str
    searches: int
    agreeing: int
    value: float
    nominal_value: float
    liver_gy: float
    activity_mbq: tuple[float, ...]
    limits: tuple[RobustLimit, ...]


@dataclass(frozen=True)
class ChoiceProbability:
    """The probabilities of one choice of the activities.

    Attributes:
      choice: "robust", "optimum" or "upper".
      limits_met: probability that all limits are kept.
      targets_met: probability that all targets are met; None without a target that has samples.
    """

    choice: Literal["robust", "optimum", "upper"]
    limits_met: float
    targets_met: float | None


@dataclass(frozen=True)
class ProbabilityResult:
    """The probabilities that limits are kept and targets met, over the activity.

    Attributes:
      samples: number of samples; 0 if there are no probabilities, with the reason in `message`.
      message: why there are no probabilities; empty otherwise.
      chosen_mbq: prescribed total activity.
      choices: probabilities of the prescribed activities first, and of the other choices.
      omitted_targets: VOIs whose targets are not included, because their doses have no samples.
      activity_mbq: total activities, in the proportions of the prescribed ones.
      limits_met: probability that all limits are kept at each of them.
      targets_met: probability that all targets are met at each of them; empty without a target that has samples.
    """

    samples: int
    message: str
    chosen_mbq: float
    choices: tuple[ChoiceProbability, ...]
    omitted_targets: tuple[str, ...]
    activity_mbq: tuple[float, ...]
    limits_met: tuple[float, ...]
    targets_met: tuple[float, ...]


@dataclass(frozen=True)
class OptimalResult:
    """The optimal activities of a plan. Without `robust` they are prescribed.

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
      robust: robust optimum; None if the case does not ask for it.
      probability: probabilities of limits and targets; None without samples of the doses.
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
    robust: RobustResult | None = None
    probability: ProbabilityResult | None = None
