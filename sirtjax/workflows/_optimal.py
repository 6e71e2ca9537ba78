"""The optimal activities of a case: all injections together, under every limit, for the objective of the case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sirtjax import dosimetry, optimal
from sirtjax.dosimetry import DoseObjective, OutcomeModel, VoiDose
from sirtjax.errors import ConfigError
from sirtjax.workflows._case import Case
from sirtjax.workflows._optimal_record import OptimalInjection, OptimalLimit, OptimalResult, RobustLimit, RobustResult
from sirtjax.workflows._uncertainty_simulation import CaseSources

# An injection with less than this fraction of its activity of the strategy "upper" is reported as omitted.
OMITTED = 0.01
# A limit has no effect if twice its value would change the robust objective by less than this fraction.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustChoice:
    """The robust optimum of a case.

    Attributes:
      problem: limits, objective and samples; the second half of the limits are those of the doses as computed.
      found: robust optimum.
      sources: sources of the samples.
    """

    problem: optimal.ActivityProblem
    found: optimal.OptimalActivity
    sources: CaseSources

    @property
    def options(self) -> optimal.RobustOptions:
        """Probability, and kind of limits and objective.

        Raises:
          ValueError: the problem is not robust.
        """
        if self.problem.robust is None:
            raise ValueError("the problem of a robust choice is not robust")
        return self.problem.robust


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimalChoice:
    """The optimum of a case.

    Attributes:
      problem: limits and objective.
      found: optimum without uncertainty.
      upper_mbq: (injections,) activities of the strategy "upper".
      robust: robust optimum, which is then prescribed; None if the case does not ask for it.
    """

    problem: optimal.ActivityProblem
    found: optimal.OptimalActivity
    upper_mbq: Float[np.ndarray, " injections"]
    robust: RobustChoice | None = None

    @property
    def optimum_mbq(self) -> Float[np.ndarray, " injections"]:
        """Optimal activities without uncertainty, MBq."""
        return np.asarray(self.found.activity_mbq)

    @property
    def activity_mbq(self) -> Float[np.ndarray, " injections"]:
        """Prescribed activities, MBq."""
        return self.optimum_mbq if self.robust is None else np.asarray(self.robust.found.activity_mbq)

    @property
    def label(self) -> str:
        """Objective and probability of the limits in words."""
        found = self.problem.objective.label
        if self.robust is None:
            return found
        return f"{found}, limits kept with {100 * self.robust.options.probability:g} %"


def optimal_choice(
    case: Case,
    doses: Sequence[VoiDose],
    objectives: Sequence[DoseObjective],
    upper: dosimetry.Prescription,
    model: OutcomeModel | None,
) -> OptimalChoice:
    """Returns the optimal activities of a case.

    Args:
      case: case with `prescription.objective`.
      doses: dose per MBq of each VOI, with voxels where the objective needs them.
      objectives: targets and limits.
      upper: prescription of the strategy "upper", which is compared with the optimum and one of the starting points.
      model: dose responses of the case.

    Raises:
      ConfigError: the objective lacks a parameter, a target dose or a tumour.
      InputError: an injection has no limit, or an earlier treatment has used up a limit.
    """
    names = [territory.territory for territory in upper.territories]
    problem = optimal.activity_problem(doses, objectives, names, objective=_objective(case, model))
    start = np.asarray([territory.chosen_mbq for territory in upper.territories])
    found = optimal.optimise_activity(problem, also=[start] if start.any() else [])
    return OptimalChoice(problem=problem, found=found, upper_mbq=start)


def needs_voxels(case: Case, objectives: Sequence[DoseObjective]) -> set[str]:
    """Returns the roles and names of the VOIs whose voxel doses an optimisation needs.

    Args:
      case: the case.
      objectives: targets and limits.
    """
    if case.prescription.strategy != "optimal":
        return set()
    found = {one.voi for one in objectives if one.kind != "mean" and one.direction == "at most"}
    return found | ({"tumour"} if case.prescription.objective in ("d70", "volume", "eud") else set())


def optimal_result(choice: OptimalChoice) -> OptimalResult:
    """Returns the record of an optimum, with its Pareto front and the contribution of each injection."""
    problem, found, activity = choice.problem, choice.found, choice.optimum_mbq
    robust = _robust_result(choice)
    liver = None if problem.liver is None else problem.liver.mean_gy_per_mbq
    front = None if liver is None else optimal.pareto_front(problem, activity)
    unit = problem.objective.unit
    return OptimalResult(
        objective=problem.objective.kind,
        label=problem.objective.label,
        unit="Gy" if unit == "Gy" else "1",
        status=found.status,
        method=found.method,
        value=found.value,
        upper_value=optimal.objective_value(problem, choice.upper_mbq),
        liver_gy=0.0 if liver is None else float(liver @ activity),
        upper_liver_gy=0.0 if liver is None else float(liver @ choice.upper_mbq),
        use=found.use,
        searches=found.searches,
        agreeing=found.agreeing,
        injections=tuple(
            OptimalInjection(one.injection, one.activity_mbq, float(before), one.gain, one.only)
            for one, before in zip(optimal.injection_gains(problem, activity), choice.upper_mbq, strict=True)
        ),
        limits=tuple(
            OptimalLimit(
                one.label, one.limit_gy, one.value_gy, one.gain_per_gy, one.sentence(problem.objective.label, unit)
            )
            for one in found.limits
        ),
        front_liver_gy=() if front is None else front.liver_gy,
        front_value=() if front is None else front.value,
        robust=robust,
    )


def _robust_result(choice: OptimalChoice) -> RobustResult | None:
    """The record of a robust optimum; a limit and its twin for the doses as computed are one row."""
    if choice.robust is None:
        return None
    problem, found, options = choice.problem, choice.robust.found, choice.robust.options
    count, objective = len(problem.limits), problem.objective
    rows = []
    for one, twin in zip(found.limits[:count], found.limits[count:], strict=True):
        gain = one.gain_per_gy + twin.gain_per_gy
        # The smooth limits of the search leave small gains at limits that have no effect.
        both = replace(one, gain_per_gy=gain if gain * one.limit_gy > NEGLIGIBLE * found.value else 0.0)
        sentence = both.sentence(f"robust {objective.label}", objective.unit)
        rows.append(
            RobustLimit(one.label, one.limit_gy, one.value_gy, one.probability or 0.0, both.gain_per_gy, sentence)
        )
    liver = problem.liver
    return RobustResult(
        limit_probability=options.probability,
        robust_limits=options.limits,
        robust_objective=options.objective,
        status=found.status,
        searches=found.searches,
        agreeing=found.agreeing,
        value=found.value,
        nominal_value=found.nominal_value,
        liver_gy=0.0 if liver is None else float(liver.mean_gy_per_mbq @ choice.activity_mbq),
        activity_mbq=found.activity_mbq,
        limits=tuple(rows),
    )


def optimal_checks(choice: OptimalChoice) -> tuple[dosimetry.Check, ...]:
    """Returns the checks of an optimum: not confirmed, no limit on the liver, or an injection omitted."""
    found, problem = choice.found if choice.robust is None else choice.robust.found, choice.problem
    checks = []
    if found.status == "not converged" or 0 < found.agreeing * 2 <= found.searches:
        checks.append(dosimetry.make_check("SJ562", value=float(found.agreeing), limit=float(found.searches)))
    for index, name in enumerate(problem.injections):
        reached = [voi for _, voi in problem.limits if voi.mean_gy_per_mbq[index] > 0]
        if not any(voi.role in dosimetry.LIVER_ROLES for voi in reached):
            checks.append(dosimetry.make_check("SJ564", where=name))
        if found.activity_mbq[index] < OMITTED * choice.upper_mbq[index]:
            checks.append(
                dosimetry.make_check(
                    "SJ565", where=name, value=found.activity_mbq[index], limit=float(choice.upper_mbq[index])
                )
            )
    return tuple(checks)


def _objective(case: Case, model: OutcomeModel | None) -> optimal.TumourObjective:
    kind = case.prescription.objective
    if kind is None:
        raise ConfigError('prescription.strategy = "optimal" requires prescription.objective')
    alpha = None
    if case.biology is not None and case.biology.tumour is not None:
        alpha = case.biology.tumour.alpha_per_gy
    if kind == "eud" and alpha is None:
        raise ConfigError('prescription.objective = "eud" requires alpha_per_gy in [biology.tumour]')
    if kind == "utcp" and (model is None or not (model.has_tcp and model.has_ntcp)):
        raise ConfigError(
            'prescription.objective = "utcp" requires `tcp`, `tcp_gamma50`, `ntcp` and `ntcp_m` in [biology], '
            "with the tissue parameters of a response on the mean BED"
        )
    return optimal.TumourObjective(kind=kind, alpha_per_gy=alpha, outcome=model)
