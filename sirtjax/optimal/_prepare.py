"""A problem as the padded arrays of the search."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from sirtjax.optimal._cells import dose_cells
from sirtjax.optimal._exact import limit_use, outcome_numbers
from sirtjax.optimal._problem import BY_VOXEL, MAXIMUM_INJECTIONS, ActivityProblem
from sirtjax.optimal._robust import allowed_violations, robust_use
from sirtjax.optimal._smooth import SearchData

Floats = NDArray[np.float64]
# Cells of each VOI in the search. The exact histograms correct what they lose.
CELLS = 1024
# Ratios at which a tumour is evaluated for all samples of the dose: V_x is interpolated linearly, because it has bends,
# the logarithm of the survival by a polynomial.
VOLUME_LEVELS, SURVIVAL_LEVELS = 24, 8
# Sizes to which limits, tumours and samples are padded: patients of similar size share one program.
LEAST_LIMITS, LEAST_TUMOURS, LEAST_SAMPLES = 8, 4, 64


def own_bounds(problem: ActivityProblem) -> Float[np.ndarray, " injections"]:
    """Computes the activity in MBq at which each injection reaches a limit without the others."""
    bounds = []
    for unit in np.eye(len(problem.injections)):
        use = limit_use(problem, unit)
        if problem.robust is not None and problem.scenarios is not None:
            bounds.append(1 / robust_use((problem.scenarios.limits * use).max(axis=1), problem.robust))
        else:
            bounds.append(1 / float(use.max()))
    return np.asarray(bounds)


def is_curved(problem: ActivityProblem, index: int) -> bool:
    """Returns whether a limit is not linear: D_x or V_x of a VOI that several injections reach."""
    limit, voi = problem.limits[index]
    return limit.kind != "mean" and int((voi.mean_gy_per_mbq > 0).sum()) > 1


def limit_order(problem: ActivityProblem) -> tuple[list[int], list[int]]:
    """Returns the indices of the linear limits and of the others."""
    everything = range(len(problem.limits))
    return [i for i in everything if not is_curved(problem, i)], [i for i in everything if is_curved(problem, i)]


def limit_slots(problem: ActivityProblem) -> list[int]:
    """Returns the index of each limit of the problem in the arrays of `SearchData`."""
    linear, curved = limit_order(problem)
    padded = padded_size(max(len(linear), 1), LEAST_LIMITS)
    slot = {index: position for position, index in enumerate(linear)}
    slot |= {index: padded + position for position, index in enumerate(curved)}
    return [slot[index] for index in range(len(problem.limits))]


def padded_size(count: int, least: int) -> int:
    """Returns `least` times a power of two, at least `count`; 0 for 0."""
    size = least
    while size < count:
        size *= 2
    return size if count else 0


def search_data(problem: ActivityProblem, unit_mbq: Float[np.ndarray, " injections"]) -> SearchData:
    """Returns the arrays of the search in units of each injection's own bound.

    Args:
      problem: injections, limits and objective.
      unit_mbq: (injections,) activity of one unit.
    """
    width, count = MAXIMUM_INJECTIONS, len(problem.injections)
    linear, curved = limit_order(problem)
    unit = np.eye(count)
    limit_mean = np.zeros((padded_size(max(len(linear), 1), LEAST_LIMITS), width))
    for row, index in enumerate(linear):
        limit, voi = problem.limits[index]
        values = voi.mean_gy_per_mbq if limit.kind == "mean" else [voi.value_gy(limit, one) for one in unit]
        limit_mean[row, :count] = np.asarray(values) * unit_mbq / problem.room_gy[index]
    limit_dose = np.zeros((padded_size(len(curved), 1), CELLS, width))
    limit_weight, limit_fraction = np.ones(limit_dose.shape[:2]), np.full(len(limit_dose), 0.5)
    known: dict[int, tuple[Floats, Floats]] = {}
    for row, index in enumerate(curved):
        limit, voi = problem.limits[index]
        if id(voi) not in known:
            known[id(voi)] = _cells(voi.samples_gy_per_mbq, voi.sample_weight)
        limit_dose[row, :, :count], limit_weight[row] = known[id(voi)]
        limit_dose[row, :, :count] *= unit_mbq / problem.room_gy[index]
        limit_fraction[row] = min(limit.volume_fraction or 0.5, 1 - 1e-6)
    tumours = len(problem.tumours)
    padded = padded_size(tumours, LEAST_TUMOURS)
    by_voxel = problem.objective.kind in BY_VOXEL
    tumour_mean, tumour_square = np.zeros((padded, width)), np.zeros((padded, width, width))
    # A kind of objective that needs no voxels has its own, smaller program.
    tumour_dose = np.zeros((padded, CELLS if by_voxel else 1, width))
    tumour_weight, target = np.ones(tumour_dose.shape[:2]), np.ones(padded)
    numbers = outcome_numbers(problem.objective.outcome)
    for row, voi in enumerate(problem.tumours):
        tumour_mean[row, :count] = voi.mean_gy_per_mbq * unit_mbq
        if voi.square_gy2_per_mbq2 is not None:
            tumour_square[row, :count, :count] = voi.square_gy2_per_mbq2 * np.outer(unit_mbq, unit_mbq) * numbers[2]
        if by_voxel:
            tumour_dose[row, :, :count], tumour_weight[row] = _cells(voi.samples_gy_per_mbq, voi.sample_weight)
            tumour_dose[row, :, :count] *= unit_mbq
        if problem.tumour_target_gy[row] > 0:
            target[row] = problem.tumour_target_gy[row]
    liver_mean, liver_square = np.zeros(width), np.zeros((width, width))
    if problem.liver is not None:
        liver_mean[:count] = problem.liver.mean_gy_per_mbq * unit_mbq
        if problem.liver.square_gy2_per_mbq2 is not None:
            square = problem.liver.square_gy2_per_mbq2 * np.outer(unit_mbq, unit_mbq)
            liver_square[:count, :count] = square * numbers[5]
    slots = len(limit_mean) + len(limit_dose)
    limits, ratios, liver, sample_weight = _samples(problem, slots, padded)
    levels, level_weight = _levels(problem, ratios)
    arrays = {
        "limit_mean": limit_mean,
        "limit_dose": limit_dose,
        "limit_weight": limit_weight,
        "limit_fraction": limit_fraction,
        "tumour_mean": tumour_mean,
        "tumour_square": tumour_square,
        "tumour_dose": tumour_dose,
        "tumour_weight": tumour_weight,
        "tumour_target": target,
        "tumour_used": (np.arange(padded) < tumours).astype(float),
        "limit_scale": np.ones(slots),
        "tumour_scale": np.ones(padded),
        "liver_mean": liver_mean,
        "liver_square": liver_square,
        "numbers": np.asarray([problem.objective.alpha_per_gy or 1.0, numbers[0], numbers[1], numbers[3], numbers[4]]),
        "limit_ratio": limits,
        "tumour_ratio": ratios,
        "liver_ratio": liver,
        "level_ratio": levels,
        "level_weight": level_weight,
        "sample_weight": sample_weight,
        "limit_probability": _limit_probability(problem),
        "gain_probability": 0.5 if problem.robust is None else problem.robust.probability,
        "bandwidth": 0.1,
    }
    return SearchData(**{name: np.asarray(value, np.float32) for name, value in arrays.items()})


def _cells(samples: Floats | None, weight: Floats | None) -> tuple[Floats, Floats]:
    if samples is None or weight is None:
        raise ValueError("a VOI of the search has no samples")
    return dose_cells(samples, weight, CELLS)


def _limit_probability(problem: ActivityProblem) -> float:
    robust, scenarios = problem.robust, problem.scenarios
    if robust is None or scenarios is None:
        return 0.5
    if robust.limits == "tail-mean":
        return robust.probability
    allowed = allowed_violations(scenarios.count, robust.probability) or 0
    return 1 - (allowed + 0.5) / scenarios.count


def _samples(problem: ActivityProblem, slots: int, padded: int) -> tuple[Floats, Floats, Floats, Floats]:
    scenarios = problem.scenarios
    if scenarios is None:
        return np.ones((1, slots)), np.ones((1, padded)), np.ones(1), np.ones(1)
    size = padded_size(scenarios.count, LEAST_SAMPLES)
    extra = size - scenarios.count
    limits, tumours = np.ones((size, slots)), np.ones((size, padded))
    limits[: scenarios.count, limit_slots(problem)] = scenarios.limits
    tumours[: scenarios.count, : scenarios.tumours.shape[1]] = scenarios.tumours
    weight = np.pad(np.ones(scenarios.count), (0, extra))
    return limits, tumours, np.pad(scenarios.liver, (0, extra), constant_values=1.0), weight


def _levels(problem: ActivityProblem, ratios: Floats) -> tuple[Floats, Floats]:
    """Ratios between which each tumour is interpolated, (t, k), and the weights in each sample, (s, t, k)."""
    survival = problem.objective.kind == "eud"
    count = SURVIVAL_LEVELS if survival else VOLUME_LEVELS
    if problem.scenarios is None or problem.objective.kind not in ("eud", "volume"):
        return np.ones((ratios.shape[1], 1)), np.ones((len(ratios), ratios.shape[1], 1))
    levels = np.ones((ratios.shape[1], count))
    weights = np.zeros((*ratios.shape, count))
    weights[:, :, 0] = 1
    for column, samples in enumerate(problem.scenarios.tumours.T):
        found = weights[: len(samples), column]
        if survival:
            low, width = samples.min(), max(float(np.ptp(samples)), 1e-3)
            nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
            levels[column] = low + width * (nodes + 1) / 2
            at = np.polynomial.chebyshev.chebvander((samples - low) * (2 / width) - 1, count - 1)
            found[:] = at @ np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, count - 1))
        else:
            levels[column] = np.quantile(samples, np.linspace(0, 1, count))
            for index, row in enumerate(np.eye(count)):
                found[:, index] = np.interp(samples, levels[column], row)
    return levels, weights
