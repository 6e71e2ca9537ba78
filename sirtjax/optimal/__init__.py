"""Optimal activities of several injections under every limit of a protocol, also under uncertainty.

`activity_problem` checks limits and objective, `optimise_activity` finds the activities. `pareto_front`,
`injection_gains` and `probability_curve` show what they cost, what each injection contributes, and how probable it is
that limits and targets are met.
"""

from sirtjax.optimal._compare import injection_gains as injection_gains
from sirtjax.optimal._compare import nominal_problem as nominal_problem
from sirtjax.optimal._compare import pareto_front as pareto_front
from sirtjax.optimal._exact import limit_use as limit_use
from sirtjax.optimal._exact import nominal_objective as nominal_objective
from sirtjax.optimal._exact import objective_value as objective_value
from sirtjax.optimal._exact import scenario_objective as scenario_objective
from sirtjax.optimal._exact import use_of_limits as use_of_limits
from sirtjax.optimal._optimise import optimise_activity as optimise_activity
from sirtjax.optimal._probability import limits_probability as limits_probability
from sirtjax.optimal._probability import probability_curve as probability_curve
from sirtjax.optimal._probability import targets_probability as targets_probability
from sirtjax.optimal._problem import MAXIMUM_INJECTIONS as MAXIMUM_INJECTIONS
from sirtjax.optimal._problem import ActivityProblem as ActivityProblem
from sirtjax.optimal._problem import Kind as Kind
from sirtjax.optimal._problem import TumourObjective as TumourObjective
from sirtjax.optimal._problem import activity_problem as activity_problem
from sirtjax.optimal._problem import problem_order as problem_order
from sirtjax.optimal._result import InjectionGain as InjectionGain
from sirtjax.optimal._result import LimitGain as LimitGain
from sirtjax.optimal._result import OptimalActivity as OptimalActivity
from sirtjax.optimal._result import ParetoFront as ParetoFront
from sirtjax.optimal._result import ProbabilityCurve as ProbabilityCurve
from sirtjax.optimal._robust import DoseScenarios as DoseScenarios
from sirtjax.optimal._robust import RobustOptions as RobustOptions
from sirtjax.optimal._robust import allowed_violations as allowed_violations

__all__ = [
    "MAXIMUM_INJECTIONS",
    "ActivityProblem",
    "DoseScenarios",
    "InjectionGain",
    "Kind",
    "LimitGain",
    "OptimalActivity",
    "ParetoFront",
    "ProbabilityCurve",
    "RobustOptions",
    "TumourObjective",
    "activity_problem",
    "allowed_violations",
    "injection_gains",
    "limit_use",
    "limits_probability",
    "nominal_objective",
    "nominal_problem",
    "objective_value",
    "optimise_activity",
    "pareto_front",
    "probability_curve",
    "problem_order",
    "scenario_objective",
    "targets_probability",
    "use_of_limits",
]
