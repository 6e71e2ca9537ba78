"""A problem with the arrays of its search."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.optimal._exact import limit_use, objective_value, tumour_doses, use_of_limits
from sirtjax.optimal._prepare import limit_slots, own_bounds, search_data
from sirtjax.optimal._problem import MAXIMUM_INJECTIONS, ActivityProblem
from sirtjax.optimal._smooth import SearchData, sample_derivatives, values_and_derivatives

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SmoothProblem:
    """A problem with its padded arrays.

    Attributes:
      problem: injections, limits and objective.
      unit_mbq: (injections,) activity of one unit.
      data: padded arrays.
      most: (injections,) upper bound in units; 0 for an injection that is omitted.
    """

    problem: ActivityProblem
    unit_mbq: Float[np.ndarray, " injections"]
    data: SearchData
    most: Float[np.ndarray, " injections"]

    @property
    def gain(self) -> str:
        """How the smooth objective is composed."""
        if self.problem.robust is not None:
            return self.problem.robust.objective
        return "each" if self.problem.objective.kind in ("mean", "d70") else "nominal"

    @property
    def limits(self) -> str:
        """How the smooth limits are composed."""
        return "each" if self.problem.robust is None else self.problem.robust.limits

    def at(
        self, units: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " c"], Float[np.ndarray, "g n"], Float[np.ndarray, "c n"]]:
        """Computes the values to maximise, the uses of limits, and their derivatives by the units."""
        count, tumours = len(self.unit_mbq), len(self.problem.tumours)
        padded = np.zeros(MAXIMUM_INJECTIONS, np.float32)
        padded[:count] = units
        kind = self.problem.objective.kind
        found = values_and_derivatives(padded, self.data, kind=kind, limits=self.limits, gain=self.gain)
        (gains, uses), (by_gains, by_uses) = [[np.asarray(a, np.float64) for a in pair] for pair in found]
        if self.gain == "each":
            gains, by_gains = gains[:tumours], by_gains[:tumours]
        if self.limits == "each":
            slots = limit_slots(self.problem)
            uses, by_uses = uses[slots], by_uses[slots]
        return gains, uses, by_gains[:, :count], by_uses[:, :count]

    def exact(self, units: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], float]:
        """Scales units to the limits by the exact metrics; returns them with the exact objective."""
        use = use_of_limits(self.problem, units * self.unit_mbq)
        # If the objective rises with the activity, the way to the first limit is free.
        if use > 1 or (self.problem.monotone and use > 0):
            units = units / use * (1 - 1e-12)
        return units, objective_value(self.problem, units * self.unit_mbq)

    def sample_derivatives(self, units: Float[np.ndarray, " n"]) -> Float[np.ndarray, "samples n"]:
        """Computes the derivatives of the objective in each sample, of "utcp" those of its logarithm."""
        padded = np.zeros(MAXIMUM_INJECTIONS, np.float32)
        padded[: len(units)] = units
        found = sample_derivatives(padded, self.data, kind=self.problem.objective.kind)
        count = 1 if self.problem.scenarios is None else self.problem.scenarios.count
        return np.asarray(found, np.float64)[:count, : len(units)]


def smooth_problem(problem: ActivityProblem) -> SmoothProblem:
    """Returns a problem with its padded arrays and the own bound of each injection as unit."""
    unit = own_bounds(problem)
    return SmoothProblem(problem, unit, search_data(problem, unit), np.ones(len(unit)))


def without_samples(smooth: SmoothProblem) -> SmoothProblem:
    """Returns the smooth problem of the doses as computed, with the same arrays."""
    return replace(smooth, problem=replace(smooth.problem, robust=None, scenarios=None))


def corrected_to(smooth: SmoothProblem, units: Float[np.ndarray, " n"]) -> SmoothProblem:
    """Returns the smooth problem, scaled so that its doses are the exact ones at a point.

    Args:
      smooth: the problem.
      units: (n,) activities in units.
    """
    problem, data = smooth.problem, smooth.data
    kept = replace(smooth, data=data._replace(bandwidth=np.float32(0.03)))
    activity = units * smooth.unit_mbq
    slots = limit_slots(problem)
    gains, uses, _, _ = without_samples(kept).at(units)
    limit_scale, tumour_scale = np.asarray(data.limit_scale).copy(), np.asarray(data.tumour_scale).copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        limit_scale[slots] *= np.where(uses > 0, limit_use(problem, activity) / uses, 1.0)
        if problem.objective.kind == "d70":
            tumour_scale[: len(gains)] *= np.where(gains > 0, tumour_doses(problem, activity) / gains, 1.0)
    changed = kept.data._replace(
        limit_scale=limit_scale.astype(np.float32), tumour_scale=tumour_scale.astype(np.float32)
    )
    return replace(kept, data=changed)
