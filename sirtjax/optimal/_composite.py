"""The best step within a small box, with the kinks that samples and tumours cause: a mixed-integer linear program.

Doses, uses of limits and the objective of one sample are smooth functions of the activities, which are linearised. The
smallest of several and the quantiles over the samples are not smooth: they have a kink wherever two of them change
places. The program contains these kinks exactly. Kinks of the histograms are added as further derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.optimal._exact import limit_use, nominal_objective, objective_value, scenario_objective, tumour_doses
from sirtjax.optimal._problem import ActivityProblem
from sirtjax.optimal._program import Program
from sirtjax.optimal._robust import allowed_violations
from sirtjax.optimal._smooth_problem import SmoothProblem, corrected_to, without_samples

Floats = NDArray[np.float64]
_TINY = 1e-300


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel:
    """A problem around a point: exact values, and the derivatives of the smooth problem.

    Attributes:
      problem: limits, objective and samples.
      units: (n,) the point in units of each injection's own bound.
      most: (n,) upper bounds in units.
      value: exact objective at the point.
      use: (l,) uses of the limits by the doses as computed.
      by_use: (k, l, n) derivatives of `use` at the point and near it; the largest use by any of them counts.
      gains: (g,) objective of each tumour for "mean" and "d70", otherwise of each sample; of "utcp" the logarithm.
      by_gain: (k, g, n) derivatives of `gains`; the smallest gain by any of them counts.
    """

    problem: ActivityProblem
    units: Float[np.ndarray, " n"]
    most: Float[np.ndarray, " n"]
    value: float
    use: Float[np.ndarray, " l"]
    by_use: Float[np.ndarray, "k l n"]
    gains: Float[np.ndarray, " g"]
    by_gain: Float[np.ndarray, "k g n"]

    @property
    def by_tumour(self) -> bool:
        """Whether `gains` are those of the tumours."""
        return self.problem.objective.kind in ("mean", "d70")

    @property
    def scale(self) -> float:
        """Size of the objective; the logarithm of UTCP is relative already."""
        return 1.0 if self.problem.objective.kind == "utcp" else abs(self.value) or 1.0


def linear_model(smooth: SmoothProblem, units: Float[np.ndarray, " n"]) -> LinearModel:
    """Returns the exact values of a problem at a point with the derivatives of the smooth problem.

    Args:
      smooth: the problem.
      units: (n,) the point.
    """
    problem = smooth.problem
    kept = corrected_to(smooth, units)
    _, _, by_gain, by_use = without_samples(kept).at(units)
    if problem.robust is not None and problem.objective.kind not in ("mean", "d70"):
        by_gain = kept.sample_derivatives(units)
    use, gains = exact_parts(smooth, units)
    return LinearModel(
        problem=problem,
        units=units,
        most=smooth.most,
        value=objective_value(problem, units * smooth.unit_mbq),
        use=use,
        by_use=by_use[None],
        gains=gains,
        by_gain=by_gain[None],
    )


def exact_parts(
    smooth: SmoothProblem, units: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " l"], Float[np.ndarray, " g"]]:
    """Returns the exact uses of the limits and the exact `gains` of `LinearModel` at a point.

    Args:
      smooth: the problem.
      units: (n,) the point.
    """
    problem, activity = smooth.problem, units * smooth.unit_mbq
    if problem.objective.kind in ("mean", "d70"):
        gains = tumour_doses(problem, activity)
    elif problem.robust is None:
        gains = np.asarray([nominal_objective(problem, activity)])
    else:
        gains = scenario_objective(problem, activity)
    if problem.objective.kind == "utcp":
        gains = np.log(np.maximum(gains, _TINY))
    return limit_use(problem, activity), gains


def with_differences(model: LinearModel, smooth: SmoothProblem, step: Float[np.ndarray, " n"]) -> LinearModel:
    """Adds the derivatives by exact differences at a point near that of the model.

    Args:
      model: the problem around the point.
      smooth: the problem.
      step: (n,) step from the point of the model.
    """
    centre, width = np.clip(model.units + step, 0, model.most), 0.25 * float(np.abs(step).max())
    by_use, by_gain = np.zeros_like(model.by_use[0]), np.zeros_like(model.by_gain[0])
    for index, most in enumerate(model.most):
        low, high = centre.copy(), centre.copy()
        low[index], high[index] = max(centre[index] - width, 0.0), min(centre[index] + width, most)
        if high[index] > low[index]:
            ends = [exact_parts(smooth, end) for end in (low, high)]
            by_use[:, index], by_gain[:, index] = (
                (after - before) / (high[index] - low[index]) for before, after in zip(*ends, strict=True)
            )
    return replace(
        model,
        by_use=np.concatenate([model.by_use, by_use[None]]),
        by_gain=np.concatenate([model.by_gain, by_gain[None]]),
    )


class Step(NamedTuple):
    """A step from a point.

    Attributes:
      change: (n,) change of the activities in units; 0 if none was found within the limit of the program.
      gain: gain that the linearised problem promises, relative to the objective.
      bound: upper bound of the gain of any step.
    """

    change: Float[np.ndarray, " n"]
    gain: float
    bound: float


def best_step(model: LinearModel, radius: float, *, limited: bool = True) -> Step:
    """Computes the step with the largest gain within a box around the point.

    Args:
      model: the problem around the point.
      radius: largest change of each activity, in units.
      limited: whether the limits and the bounds of the activities apply; otherwise the step is free.
    """
    program, count = Program(), len(model.units)
    for unit, most in zip(model.units, model.most, strict=True):
        program.add_column(-min(radius, unit) if limited else -radius, min(radius, most - unit) if limited else radius)
    if limited:
        _add_limits(program, model, radius)
    _add_objective(program, model, radius)
    found, bound = program.solution()
    if found is None:
        return Step(np.zeros(count), 0.0, bound)
    return Step(found[:count], float(found @ program.gain), bound)


def distinct(slopes: Float[np.ndarray, "k r n"]) -> list[Float[np.ndarray, "m n"]]:
    """Returns the derivatives of each row without those that hardly differ from the first ones.

    Args:
      slopes: (k, r, n) derivatives of r rows.
    """
    close = 1e-4 * max(float(np.abs(slopes).max()), _TINY)
    found = []
    for every in np.moveaxis(slopes, 1, 0):
        kept = [every[0]]
        kept += [one for one in every[1:] if np.abs(one - every[0]).max() > close]
        found.append(np.asarray(kept))
    return found


def _add_limits(program: Program, model: LinearModel, radius: float) -> None:
    robust, scenarios = model.problem.robust, model.problem.scenarios
    if robust is None or scenarios is None:
        for use, slopes in zip(model.use, distinct(model.by_use), strict=True):
            for slope in slopes:
                program.add_row(slope, {}, max(1.0 - float(use), 0.0))
        return
    level = scenarios.limits * model.use
    width = scenarios.limits * (radius * np.abs(model.by_use).sum(axis=2).max(axis=0))
    rows = distinct(model.by_use)
    if robust.limits == "tail-mean":
        _add_tail(program, model, level, width)
        return
    high, lost = (level + width).max(axis=1), (level - width).max(axis=1) > 1
    free = (allowed_violations(len(level), robust.probability) or 0) - int(lost.sum())
    near = np.flatnonzero((high > 1) & ~lost)
    if len(near) <= free:
        return
    choices = {}
    for sample in near:
        choices[sample] = choice = program.add_choice()
        for limit in np.flatnonzero(level[sample] + width[sample] > 1):
            room = 1.0 - level[sample, limit]
            for slope in scenarios.limits[sample, limit] * rows[limit]:
                program.add_row(slope, {choice: -float(width[sample, limit] - room)}, float(room))
    program.add_row(np.zeros(0), dict.fromkeys(choices.values(), 1.0), float(free))


def _add_tail(program: Program, model: LinearModel, level: Floats, width: Floats) -> None:
    """The mean of the worst samples as the smallest sum of a threshold and the mean excess above it."""
    robust, scenarios = model.problem.robust, model.problem.scenarios
    if robust is None or scenarios is None:
        return
    tail = len(level) * (1.0 - robust.probability)
    worst = np.sort(level.max(axis=1))[::-1]
    lowest = float(worst[min(int(tail), len(worst) - 1)]) - float(width.max())
    threshold, rows = program.add_column(-np.inf, np.inf), distinct(model.by_use)
    least = (level - width).max(axis=1)
    parts = {threshold: 1.0}
    for sample in np.flatnonzero((level + width).max(axis=1) >= lowest):
        excess = program.add_column(0.0, np.inf)
        parts[excess] = 1.0 / tail
        for limit in np.flatnonzero(level[sample] + width[sample] >= least[sample]):
            for slope in scenarios.limits[sample, limit] * rows[limit]:
                program.add_row(slope, {threshold: -1.0, excess: -1.0}, -float(level[sample, limit]))
    at = float(np.clip(tail - np.arange(len(worst)), 0, 1) @ worst / tail)
    program.add_row(np.zeros(0), parts, max(1.0, at))


def _add_objective(program: Program, model: LinearModel, radius: float) -> None:
    robust, scenarios = model.problem.robust, model.problem.scenarios
    gains, slopes = model.gains / model.scale, distinct(model.by_gain / model.scale)
    width = np.asarray([radius * np.abs(one).sum(axis=1).max() for one in slopes])
    if robust is None or scenarios is None:
        lowest, column = float(gains.min()), program.add_column(-np.inf, np.inf, gain=1.0)
        for gain, every in zip(gains, slopes, strict=True):
            for slope in every:
                program.add_row(-slope, {column: 1.0}, float(gain) - lowest)
        return
    # Of each sample the terms whose smallest is the objective, with their reach within the box.
    if model.by_tumour:
        ratio = scenarios.tumours
        terms, widths = ratio * gains, ratio * width
    else:
        ratio, terms, widths = np.ones((len(gains), 1)), gains[:, None], width[:, None]
    values, most = terms.min(axis=1), (terms + widths).min(axis=1)

    def rows_of(sample: int) -> list[tuple[Floats, float]]:
        used = np.flatnonzero(terms[sample] - widths[sample] <= most[sample])
        every = slopes if model.by_tumour else [slopes[sample]]
        return [(slope, float(terms[sample, one])) for one in used for slope in ratio[sample, one] * every[one]]

    if robust.objective == "expected":
        weight = np.ones(len(values))
        if model.problem.objective.kind == "utcp":
            weight = np.exp(values - values.max())
            weight *= len(values) / weight.sum()
        for sample, part in enumerate(weight / len(values)):
            column = program.add_column(-np.inf, np.inf, gain=float(part))
            for slope, term in rows_of(sample):
                program.add_row(-slope, {column: 1.0}, term - float(values[sample]))
        return
    position = (1.0 - robust.probability) * (len(values) - 1)
    first, part = int(position + 1e-9), position - int(position + 1e-9)
    ordered, reach = np.sort(values), float(widths.max())
    least = (terms - widths).min(axis=1)
    for below, share in ((first, 1.0 - part), (first + 1, part)):
        if share <= 1e-9 or below >= len(values):
            continue
        base = float(ordered[below])
        lost, near = most < base - reach, (most >= base - reach) & (least < base + reach)
        column = program.add_column(-reach, reach, gain=share)
        choices = []
        for sample in np.flatnonzero(near).tolist():
            choices.append(program.add_choice())
            bound = base + reach - float(least[sample])
            for slope, term in rows_of(sample):
                program.add_row(-slope, {column: 1.0, choices[-1]: -bound}, term - base)
        program.add_row(np.zeros(0), dict.fromkeys(choices, 1.0), float(below - int(lost.sum())))
