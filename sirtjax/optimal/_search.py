"""Searches the optimum of a problem that is not linear, by exact gradients of the smooth problem."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.optimal._exact import limit_use, objective_value, tumour_doses, use_of_limits
from sirtjax.optimal._prepare import limit_slots, own_bounds, search_data
from sirtjax.optimal._problem import MAXIMUM_INJECTIONS, ActivityProblem
from sirtjax.optimal._smooth import SearchData, values_and_derivatives

Floats = NDArray[np.float64]
# Local searches, corrections of the smooth problem to the exact metrics, and iterations of each search.
SEARCHES, CORRECTIONS, ITERATIONS = 6, 3, 25
# A local search ends after three iterations with a smaller change of the units.
STALLED = 1e-6
# Points around an optimum that are compared by the exact metrics.
AROUND = 256
# Sweeps over the neighbours of an optimum, and the relative gain of a sweep below which the next has smaller steps.
SWEEPS, LEAST_GAIN = 80, 1e-7
# Local optima whose objectives differ by less than this fraction count as one.
AGREEMENT = 1e-3
# A tie may be broken at the expense of this fraction of the objective.
TIE = 2e-6
# A search that leaves an injection out ends at 1e-6 to 3e-5 units of it; these are set to 0.
ALMOST_OMITTED = 1e-4


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The result of a search.

    Attributes:
      units: (injections,) activities in units of each injection's own bound.
      value: exact objective.
      agreeing: number of local searches that ended at this objective.
      searches: number of local searches.
    """

    units: Float[np.ndarray, " injections"]
    value: float
    agreeing: int
    searches: int


def smooth_problem(problem: ActivityProblem) -> SmoothProblem:
    """Returns a problem with its padded arrays and the own bound of each injection as unit."""
    unit = own_bounds(problem)
    return SmoothProblem(problem, unit, search_data(problem, unit), np.ones(len(unit)))


def search(smooth: SmoothProblem, starts: Float[np.ndarray, "starts n"], *, polish: bool = True) -> Found:
    """Searches from several starting points, with the exact metrics as judge.

    Args:
      smooth: the problem.
      starts: (starts, n) activities in units of each injection's own bound.
      polish: compare with exact neighbours at the end.
    """
    scaled = [smooth.exact(np.clip(start, 0, smooth.most)) for start in starts]
    order = sorted(range(len(scaled)), key=lambda index: -scaled[index][1])
    best, ends = scaled[order[0]], []
    for index in order[:SEARCHES]:
        end = smooth.exact(_climb(smooth, scaled[index][0]))
        ends.append(max(end, scaled[index], key=lambda one: one[1]))
        best = max(best, ends[-1], key=lambda one: one[1])
    agreeing = sum(end[1] >= best[1] - AGREEMENT * abs(best[1]) for end in ends)
    for _ in range(CORRECTIONS):
        corrected = corrected_to(smooth, best[0])
        end = smooth.exact(_climb(corrected, best[0]))
        if end[1] <= best[1] * (1 + 1e-6):
            best = max(best, end, key=lambda one: one[1])
            break
        best = end
    if polish:
        best = _polished(smooth, best)
    best = _omitted(smooth, _tie_broken(smooth, best))
    return Found(units=best[0], value=best[1], agreeing=agreeing, searches=len(ends))


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
    plain = replace(kept, problem=replace(problem, robust=None, scenarios=None))
    gains, uses, _, _ = plain.at(units)
    limit_scale, tumour_scale = np.asarray(data.limit_scale).copy(), np.asarray(data.tumour_scale).copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        limit_scale[slots] *= np.where(uses > 0, limit_use(problem, activity) / uses, 1.0)
        if problem.objective.kind == "d70":
            tumour_scale[: len(gains)] *= np.where(gains > 0, tumour_doses(problem, activity) / gains, 1.0)
    changed = kept.data._replace(
        limit_scale=limit_scale.astype(np.float32), tumour_scale=tumour_scale.astype(np.float32)
    )
    return replace(kept, data=changed)


def _climb(smooth: SmoothProblem, start: Floats, *, floor: float | None = None) -> Floats:
    """One local search by sequential quadratic programming; with `floor` the mean is maximised above it."""
    from scipy.optimize import minimize

    count = len(start)
    known: dict[bytes, tuple[Floats, Floats, Floats, Floats]] = {}

    def at(variables: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        key = variables[:count].tobytes()
        if key not in known:
            known.clear()
            known[key] = smooth.at(np.clip(variables[:count], 0, smooth.most))
        return known[key]

    gains = at(start)[0]
    scale = float(max(abs(gains).min(), 1e-9)) if smooth.problem.objective.kind != "utcp" else 1.0
    limits = {
        "type": "ineq",
        "fun": lambda v: 1 - at(v)[1],
        "jac": lambda v: -np.pad(at(v)[3], ((0, 0), (0, len(v) - count))),
    }
    bounds: list[tuple[float | None, float | None]] = [(0.0, float(top)) for top in smooth.most]
    first, constraints = start, [limits]
    if floor is not None:
        rows = {"type": "ineq", "fun": lambda v: at(v)[0] / scale - floor / scale, "jac": lambda v: at(v)[2] / scale}
        constraints.append(rows)

        def loss(v: Floats) -> float:
            return -float(at(v)[0].mean()) / scale

        def gradient(v: Floats) -> Floats:
            return np.asarray(-at(v)[2].mean(axis=0) / scale)

    elif len(gains) == 1:

        def loss(v: Floats) -> float:
            return -float(at(v)[0][0]) / scale

        def gradient(v: Floats) -> Floats:
            return np.asarray(-at(v)[2][0] / scale)

    else:
        # The lowest tumour as a variable of its own, which every tumour must reach.
        lowest = {
            "type": "ineq",
            "fun": lambda v: at(v)[0] / scale - v[-1],
            "jac": lambda v: np.hstack([at(v)[2] / scale, -np.ones((len(gains), 1))]),
        }
        constraints.append(lowest)
        first, bounds = np.append(start, float(gains.min()) / scale), [*bounds, (None, None)]

        def loss(v: Floats) -> float:
            return -float(v[-1])

        def gradient(v: Floats) -> Floats:
            return np.append(np.zeros(count), -1.0)

    reached, stalled = first, 0

    def progress(v: Floats) -> None:
        nonlocal reached, stalled
        stalled = stalled + 1 if np.abs(v - reached).max() < STALLED else 0
        reached = np.array(v)
        # The rounding of the smooth problem can hide that it has converged.
        if stalled == 3:
            raise StopIteration

    with contextlib.suppress(StopIteration):  # older versions of SciPy do not catch it
        reached = minimize(
            loss,
            first,
            jac=gradient,
            bounds=bounds,
            constraints=constraints,
            method="SLSQP",
            callback=progress,
            options={"maxiter": ITERATIONS, "ftol": 3e-6},
        ).x
    units = np.clip(np.nan_to_num(np.asarray(reached[:count], np.float64)), 0, smooth.most)
    return units if units.any() else start


def _polished(smooth: SmoothProblem, best: tuple[Floats, float]) -> tuple[Floats, float]:
    """Compares with points around it by the exact metrics, and from the best of them in ever smaller steps.

    The smooth problem does not show the small maxima of a histogram of few voxels.
    """
    from scipy.stats import qmc

    width = np.repeat([0.5, 0.1], AROUND // 2)[:, None]
    offsets = 2 * qmc.Halton(d=len(best[0]), scramble=False).random(AROUND + 1)[1:] - 1
    around = [smooth.exact(np.clip(best[0] + offset, 0, smooth.most)) for offset in width * offsets]
    other = max(around, key=lambda one: one[1])
    # The steps from a point that is far from an optimum are slow, so a local search comes first.
    climbed = smooth.exact(_climb(corrected_to(smooth, other[0]), other[0]))
    other = max(other, climbed, key=lambda one: one[1])
    best = max(_neighbours(smooth, best), _neighbours(smooth, other, seed=1), key=lambda one: one[1])
    # Where several limits meet, single injections cannot move any more, but all together can.
    climbed = smooth.exact(_climb(corrected_to(smooth, best[0]), best[0]))
    return _neighbours(smooth, max(best, climbed, key=lambda one: one[1]), seed=2)


def _neighbours(smooth: SmoothProblem, best: tuple[Floats, float], *, seed: int = 0) -> tuple[Floats, float]:
    """Pattern search by the exact metrics, alternately in the directions of the injections and in random ones.

    After each sweep it also takes the whole way of the sweep again. Random directions follow the edges between limits.
    """
    rng = np.random.default_rng(seed)
    step, failed = 0.02, 0
    for sweep in range(SWEEPS):
        axes = np.eye(len(best[0]))
        if sweep % 2:
            axes = np.linalg.qr(rng.normal(size=axes.shape))[0]
        before = best
        for direction in np.vstack([axes, -axes]):
            trial = smooth.exact(np.clip(best[0] + step * direction, 0, smooth.most))
            best = max(best, trial, key=lambda one: one[1])
        if best[1] > before[1]:
            trial = smooth.exact(np.clip(2 * best[0] - before[0], 0, smooth.most))
            best = max(best, trial, key=lambda one: one[1])
        failed = failed + 1 if best[1] <= before[1] + LEAST_GAIN * abs(before[1]) else 0
        if failed == 2:
            step, failed = step / 3, 0
            if step < 1e-5:
                break
    return best


def _tie_broken(smooth: SmoothProblem, best: tuple[Floats, float]) -> tuple[Floats, float]:
    """Of optima with the same lowest tumour, the one with the largest mean over the tumours."""
    if smooth.gain != "each" or len(smooth.problem.tumours) == 1:
        return best
    corrected = corrected_to(smooth, best[0])
    floor = best[1] * (1 - TIE / 2)
    trial = smooth.exact(_climb(corrected, best[0], floor=floor))
    better = tumour_doses(smooth.problem, trial[0] * smooth.unit_mbq).mean()
    if trial[1] >= best[1] * (1 - TIE) and better > tumour_doses(smooth.problem, best[0] * smooth.unit_mbq).mean():
        return trial
    return best


def _omitted(smooth: SmoothProblem, best: tuple[Floats, float]) -> tuple[Floats, float]:
    """Without the small rest of an injection, if the exact objective does not fall by more than a tie."""
    floor = best[1] - TIE * abs(best[1])
    for index in np.argsort(best[0]):
        if not 0 < best[0][index] < ALMOST_OMITTED:
            continue
        kept = best[0].copy()
        kept[index] = 0.0
        trial = smooth.exact(kept)
        if kept.any() and trial[1] >= floor:
            best = trial
    return best
