"""The intervals of activity bounds and activities: the dose is linear in the activity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy import special

from sirtjax import uncertainty
from sirtjax.workflows._results import BoundResult, InjectionResult, ObjectiveResult, Result
from sirtjax.workflows._uncertainty_inputs import SimulationInputs
from sirtjax.workflows._uncertainty_record import ActivityUncertainty, UncertaintySource
from sirtjax.workflows._uncertainty_rows import CorrectedVoi, small_lesion_reason
from sirtjax.workflows._uncertainty_simulation import dose_spread
from sirtjax.workflows._uncertainty_spread import Spread, interval_around, lung_spread

# Sources of a known activity: everything between the calibrator and the patient.
OF_AN_ACTIVITY = ("calibration", "residual")
# An optimum can omit an injection.
OMITTED_REASON = "no activity is injected"
# An activity differs from the bound that sets it by less than this, unless the bound is that of several injections.
OWN_BOUND = 1e-3


@dataclass(frozen=True, eq=False)
class ActivityInputs:
    """What the intervals of activities are made from.

    Attributes:
      result: the plan or verification.
      found: simulations.
      corrected: corrected metrics by VOI.
      inputs: input of the simulations.
      names: name in the case of each simulated source.
      sources: sources of the case.
      spill_gy: part of the lung dose from betas of the liver.
      level: probability of the intervals.
      necrosis: why D70, V and D_x of a VOI have no interval, from `necrosis`.
      previous_lung_gy: lung dose of earlier treatments.
    """

    result: Result
    found: uncertainty.TreatmentIntervals
    corrected: Mapping[str, CorrectedVoi]
    inputs: SimulationInputs
    names: dict[str, str]
    sources: Sequence[UncertaintySource]
    spill_gy: float
    level: float
    necrosis: Mapping[str, str]
    previous_lung_gy: float = 0.0


@dataclass(frozen=True, eq=False)
class _Bound:
    """A bound with its corrected activity and spread, or the reason why it has none."""

    side: str
    name: str
    value_mbq: float
    corrected_mbq: float | None
    spread: Spread | None
    reason: str


def activity_rows(known: ActivityInputs) -> tuple[tuple[ActivityUncertainty, ...], tuple[ActivityUncertainty, ...]]:
    """Returns the rows of all bounds, and those of the activities, all injections together last.

    Args:
      known: plan or verification, with its simulations and corrected doses.
    """
    bounds: list[ActivityUncertainty] = []
    chosen: list[_Bound] = []
    for place, injection in enumerate(known.result.injections):
        found = [_bound(known, row) for row in injection.bounds]
        bounds += [_row(injection.territory, one, row.side) for one, row in zip(found, injection.bounds, strict=True)]
        chosen.append(_prescribed(known, injection, found, place))
    rows = [_row(one.territory, two, None) for one, two in zip(known.result.injections, chosen, strict=True)]
    return tuple(bounds), (*rows, _row(None, _together(known, chosen), None))


def _row(territory: str | None, one: _Bound, side: str | None) -> ActivityUncertainty:
    interval = None
    if one.spread is not None and one.corrected_mbq is not None:
        interval = interval_around(one.corrected_mbq, one.spread)
    return ActivityUncertainty(
        territory=territory,
        name=one.name,
        side="lower" if side == "lower" else "upper" if side == "upper" else None,
        value_mbq=one.value_mbq,
        corrected_mbq=one.corrected_mbq,
        status="no interval" if interval is None else "interval",
        reason=one.reason,
        interval=interval,
    )


def _bound(known: ActivityInputs, row: BoundResult) -> _Bound:
    objective = next((one for one in known.result.objectives if one.name == row.name), None)
    return _bound_of(known, row, objective)


def _bound_of(known: ActivityInputs, row: BoundResult, objective: ObjectiveResult | None) -> _Bound:
    def without(reason: str) -> _Bound:
        return _Bound(row.side, row.name, row.activity_mbq, None, None, reason)

    if objective is None or not math.isfinite(row.activity_mbq):
        return without("no activity reaches it")
    if objective.voi == "lungs":
        spread = lung_spread(known.found, known.result.lung_shunt_dose_gy, known.spill_gy, known.names)
        if spread is None:
            return without("no activity is shunted")
        return _Bound(row.side, row.name, row.activity_mbq, row.activity_mbq, inverse_spread(spread), "")
    corrected = known.corrected.get(objective.voi)
    if corrected is None:
        return without("the correction has no region of this VOI")
    voi = known.result.voi(objective.voi)
    metric = _metric(known, objective, corrected)
    if metric is None:
        return without(f"its histogram has no interval at {100 * (objective.volume_fraction or 0.0):g} % of the volume")
    value, centre, spread = metric
    if value is None or value <= 0 or centre <= 0:
        return without("the corrected value is not above 0")
    reason = small_lesion_reason(voi) or (known.necrosis.get(voi.name, "") if objective.kind != "mean" else "")
    activity = row.activity_mbq * value / centre
    return _Bound(row.side, row.name, row.activity_mbq, activity, None if reason else inverse_spread(spread), reason)


def _metric(
    known: ActivityInputs, objective: ObjectiveResult, corrected: CorrectedVoi
) -> tuple[float | None, float, Spread] | None:
    """Value without and with correction of an objective's dose, and its spread; None if its D_x has none."""
    fraction = None if objective.kind == "mean" else objective.volume_fraction
    found = dose_spread(known.found, known.inputs, corrected, objective.voi, fraction)
    if found is None:
        return None
    centre, spread = found
    value = known.result.voi(objective.voi).mean_gy if fraction is None else objective.value_gy
    return value, centre, spread


def inverse_spread(spread: Spread) -> Spread:
    """Returns the spread of an activity bound from that of the dose per activity: its inverse.

    Args:
      spread: spread of the dose.
    """
    return replace(
        spread,
        samples=-spread.samples,
        lower=-spread.upper,
        middle=-spread.middle,
        upper=-spread.lower,
        bias=-spread.bias,
    )


def _prescribed(known: ActivityInputs, injection: InjectionResult, bounds: Sequence[_Bound], place: int) -> _Bound:
    """The activity of an injection: the nearest bound of each simulation, or a known activity."""
    if injection.activity_mbq <= 0:
        return _Bound("", "activity", 0.0, None, None, OMITTED_REASON)
    limiting = next((one for one in bounds if one.name == injection.limiting_objective), None)
    if limiting is None:
        return _known_activity(known, injection.activity_mbq, place)
    side = [one for one in bounds if one.side == limiting.side]
    if abs(injection.activity_mbq - limiting.value_mbq) > OWN_BOUND * limiting.value_mbq:
        # The limit binds several injections together: their activities change in proportion.
        side = _shared_bounds(known, injection.activity_mbq, "lower" if limiting.side == "lower" else "upper")
        limiting = next((one for one in side if one.name == limiting.name), limiting)
    usable = [one for one in side if one.spread is not None and one.corrected_mbq is not None]
    if limiting not in usable:
        return _Bound("", "activity", injection.activity_mbq, None, None, limiting.reason)
    values = [one.corrected_mbq or 0.0 for one in usable]
    nearest = min if limiting.side == "upper" else max
    scale = injection.activity_mbq / max(limiting.value_mbq, 1e-12)
    corrected = nearest(values)
    spreads = [one.spread.samples for one in usable if one.spread is not None]
    samples = strictest_samples(values, spreads, upper=limiting.side == "upper")
    setting = usable[int(np.argmin(values) if limiting.side == "upper" else np.argmax(values))]
    return _Bound(
        "", "activity", injection.activity_mbq, scale * corrected, _spread(samples, setting.spread, known.level), ""
    )


def _shared_bounds(known: ActivityInputs, activity_mbq: float, side: Literal["lower", "upper"]) -> list[_Bound]:
    """The activity of one injection at which all injections, in the proportions of the plan, meet each objective."""
    direction = "at most" if side == "upper" else "at least"
    found = []
    for objective in known.result.objectives:
        if objective.purpose != "bound" or objective.direction != direction:
            continue
        earlier_gy = known.previous_lung_gy if objective.cumulative and objective.voi == "lungs" else 0.0
        own_gy = objective.value_gy - earlier_gy
        if own_gy > 0 and objective.dose_gy > earlier_gy:
            multiple = (objective.dose_gy - earlier_gy) / own_gy
            row = BoundResult(objective.name, side, multiple * activity_mbq, objective.source)
            found.append(_bound_of(known, row, objective))
    return found


def strictest_samples(
    values: Sequence[float], samples: Sequence[Float64[np.ndarray, " count"]], *, upper: bool
) -> Float64[np.ndarray, " count"]:
    """Computes the logarithm of true over estimated value for the strictest of several bounds.

    The smallest of several uncertain bounds is found too small on average, and the largest too large. The bounds are
    therefore taken as the truth, and the samples as errors of their measurement, which find another strictest bound.

    Args:
      values: estimate of each bound, above 0.
      samples: (count,) logarithm of true over estimated value of each bound.
      upper: whether the smallest bound is the strictest one.
    """
    found = np.stack([math.log(value) - one for value, one in zip(values, samples, strict=True)])
    nearest = np.min if upper else np.max
    strictest: Float64[np.ndarray, " count"] = math.log(nearest(values)) - nearest(found, axis=0)
    return strictest


def _spread(
    samples: Float64[np.ndarray, " count"], like: Spread | None, level: float, *, exact: bool = False
) -> Spread:
    """A log-normal spread of samples, with the budget of the bound that sets the activity.

    The quantile is that of the intervals of doses, so that an activity has the interval of the bound that sets it.
    Samples at the exact quantiles of a known distribution have its quantile.
    """
    middle, deviation, count = float(samples.mean()), float(samples.std(ddof=1)), len(samples)
    part = 0.5 + level / 2.0
    reach = special.ndtri(part) if exact else special.stdtrit(count - 1, part) * math.sqrt(1.0 + 1.0 / count)
    half = float(reach) * deviation
    return Spread(
        samples=samples,
        lower=middle - half,
        middle=middle,
        upper=middle + half,
        bias=-middle,
        deviation=deviation,
        deviation_error=deviation / math.sqrt(2.0 * (count - 1)) if like is None else like.deviation_error,
        linear=None if like is None else like.linear,
        differs=like is not None and like.differs,
        budget={} if like is None else like.budget,
    )


def _known_activity(known: ActivityInputs, activity_mbq: float, place: int) -> _Bound:
    """An activity that was measured or chosen: the calibrator and the residual are uncertain.

    All injections have the same error of the calibrator; each vial has a residual of its own.
    """
    sizes = {source.name: source.sizes[0] for source in known.sources if source.name in OF_AN_ACTIVITY}
    variance = sum(size**2 for size in sizes.values())
    if variance <= 0:
        return _Bound("", "activity", activity_mbq, activity_mbq, None, "its uncertainty is stated as 0")
    count = len(np.asarray(known.found.log_ratios.mean_gy))
    deviation = math.sqrt(variance)
    columns = uncorrelated_normals(count, 1 + len(known.result.injections))
    samples = sum(size * columns[1 + place if name == "residual" else 0] for name, size in sizes.items())
    budget = {name: size**2 / variance for name, size in sizes.items()}
    half = float(special.ndtri(0.5 + known.level / 2.0)) * deviation
    exact = Spread(samples, -half, 0.0, half, 0.0, deviation, 0.0, deviation, False, budget)
    return _Bound("", "activity", activity_mbq, activity_mbq, exact, "")


def uncorrelated_normals(count: int, rows: int) -> Float64[np.ndarray, "rows count"]:
    """Returns normal samples without correlation; the first row has the exact quantiles.

    Args:
      count: number of samples, more than rows.
      rows: number of quantities.
    """
    quantiles = special.ndtri((np.arange(count) + 0.5) / count)
    rng = np.random.default_rng(0)
    drawn = np.stack([quantiles, *(rng.permutation(quantiles) for _ in range(rows - 1))], axis=1)
    basis, scale = np.linalg.qr(drawn - drawn.mean(axis=0))
    columns: Float64[np.ndarray, "rows count"] = (
        (basis * np.sign(np.diag(scale))).T * math.sqrt(count) * quantiles.std()
    )
    return columns


def _together(known: ActivityInputs, chosen: Sequence[_Bound]) -> _Bound:
    """The sum of all injections, sample by sample; one without activity adds nothing."""
    total = sum(one.value_mbq for one in chosen)
    chosen = [one for one in chosen if one.value_mbq > 0] or chosen[:1]
    if len(chosen) == 1:
        return chosen[0]
    missing = next((one for one in chosen if one.spread is None or one.corrected_mbq is None), None)
    if missing is not None:
        return _Bound("", "activity", total, None, None, missing.reason)
    parts = [one.corrected_mbq or 0.0 for one in chosen]
    samples = sum(
        part * np.exp(one.spread.samples)  # type: ignore[union-attr]
        for part, one in zip(parts, chosen, strict=True)
    )
    corrected = sum(parts)
    exact = all(one.spread is not None and one.spread.deviation_error == 0.0 for one in chosen)
    spread = _spread(np.log(samples / corrected), None, known.level, exact=exact)
    return _Bound("", "activity", total, corrected, spread, "")
