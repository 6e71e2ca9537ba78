"""The activity to inject: bounds from tumour, normal liver and lungs, and the choice between them.

Dose is linear in activity, so that each objective turns into a bound. For a single territory:

  lower bound = largest of the activities at which a target is reached,
  upper bound = smallest of the activities at which a limit is reached,

where limits on the whole normal liver and the lungs are first taken as if this were the only injection. These
two couple the territories, as does a tumour with two feeders. They are met jointly by scaling: the activities
start at each territory's own choice (or in the given shares) and are all reduced by the same factor until
every limit holds for the superposed dose. Along such a ray every objective, D_x and V_x too, is linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry._activity_choice import (
    OUTCOME_STRATEGIES,
    activity_multiple,
    joint_scale,
    lowest_start,
    split_proportions,
    upper_start,
)
from sirtjax.dosimetry._checks import Check, make_check
from sirtjax.dosimetry._joint import max_margin_allocation
from sirtjax.dosimetry._objectives import (
    LIVER_ROLES,
    Direction,
    DoseObjective,
    Floats,
    VoiDose,
    resolve_objectives,
)
from sirtjax.dosimetry._outcome_model import OutcomeModel, outcome_curve, outcome_multiple
from sirtjax.dosimetry._outcomes import TOLERANCE, objective_outcomes, outcome_checks
from sirtjax.dosimetry._prescription import (
    Bound,
    Injection,
    Prediction,
    Prescription,
    Strategy,
    TerritoryPrescription,
)
from sirtjax.errors import ConfigError, InputError

Pair = tuple[DoseObjective, VoiDose]


def prescribe(
    vois: Sequence[VoiDose],
    objectives: Sequence[DoseObjective],
    injections: Sequence[Injection],
    *,
    strategy: Strategy,
    shares: Sequence[float] | None = None,
    outcome: OutcomeModel | None = None,
) -> Prescription:
    """Bounds and activity of each injection from the dose per MBq of each VOI.

    "upper" gives the highest tumour dose that keeps every limit (the usual choice of thesis 8.3); a territory
    without any limit on liver tissue gets its lower bound instead, with a check, since a single lung limit
    says nothing of the liver. "lower" gives just the targets. Where the targets need more than the limits
    allow, the limits win and a check says so. "fixed" keeps the activities and only reports.

    "ntcp" and "max-utcp" multiply the activities of "upper" by one factor: until the NTCP of the normal liver is
    `outcome.wanted_ntcp`, or to the largest TCP (1 - NTCP). If a limit is reached first, the limit wins, with a check.

    Args:
      vois: dose per MBq, in the order of `injections`.
      objectives: targets and limits, by VOI name or role.
      injections: one per territory.
      strategy: rule for the choice between the bounds.
      shares: proportions of the activities; by default each territory takes the same fraction of its own choice.
      outcome: dose responses, for "ntcp" and "max-utcp"; with any strategy the curve of outcomes is computed from them.

    Returns:
      The prescription.

    Raises:
      InputError: numbers of injections differ, no target or limit acts on a territory, or an activity, share
        or residual is not usable.
      ConfigError: an objective names no VOI, or a strategy by outcome lacks a dose response.

    Reference:
      Thesis section 8.3.
    """
    _check_input(vois, injections, strategy, shares)
    model = outcome or OutcomeModel()
    pairs = resolve_objectives(objectives, vois)
    bounding = [pair for pair in pairs if pair[0].purpose == "bound"]
    names = [injection.territory for injection in injections]
    own = _own_bounds(bounding, names, shares)
    start, notes = _start(strategy, bounding, own, injections, shares)
    limits = bounds_along(bounding, "at most", start)
    if strategy in OUTCOME_STRATEGIES:
        notes = []
        most = limits[0].activity_mbq if limits else math.inf
        scale = min(outcome_multiple(strategy, model, vois, start), most) if start.any() else 1.0
    else:
        scale = _scale(strategy, limits, free=own.shares is not None and strategy == "upper" and not notes)
    chosen = start * scale
    total = float(start.sum())
    joint = tuple(
        # Of no activity there are no multiples: bounds are 0 or infinite.
        replace(bound, activity_mbq=bound.activity_mbq * total if total > 0 else bound.activity_mbq)
        for bound in bounds_along(bounding, "at least", start) + limits
    )
    targets = [bound.activity_mbq for bound in joint if bound.objective.direction == "at least"]
    tops = [bound for bound in joint if bound.objective.direction == "at most"]
    joint_lower = max(targets, default=0.0)
    # Without a limit along this direction: none at all (infinite), or no activity is left to scale (0).
    joint_upper = tops[0].activity_mbq if tops else float(own.upper_mbq.sum())
    split = max_margin_allocation(bounding, len(names))
    reachable = joint_lower <= joint_upper * (1 + TOLERANCE) if split is None else split.margin >= 1 - TOLERANCE
    at_limit = strategy != "fixed" and bool(tops) and float(chosen.sum()) >= joint_upper * (1 - TOLERANCE)
    limiting_bound = tops[0] if at_limit else None
    curve = outcome_curve(model, vois, chosen, strategy=strategy, limit_mbq=tops[0].activity_mbq if tops else math.inf)
    territories = tuple(
        _territory(injection, own, index, float(chosen[index]), strategy, limiting_bound)
        for index, injection in enumerate(injections)
    )
    result = Prescription(
        strategy=strategy,
        territories=territories,
        joint_lower_mbq=joint_lower,
        joint_upper_mbq=joint_upper,
        joint_bounds=joint,
        feasible=all(territory.feasible for territory in territories) and reachable,
        scale=float(scale),
        limiting_bound=limiting_bound or (territories[0].limiting_bound if len(territories) == 1 else None),
        max_margin_mbq=split.activity_mbq if split is not None and split.complete else None,
        total_mbq=float(chosen.sum()),
        predictions=tuple(_prediction(voi, injections, chosen) for voi in vois),
        outcomes=objective_outcomes(objectives, vois, chosen),
        checks=tuple(notes),
        outcome=curve,
    )
    return replace(result, checks=result.checks + _prescription_checks(result))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Own:
    """The bounds of each single territory, and the requested proportions."""

    names: list[str]
    lowers: list[tuple[Bound, ...]]
    uppers: list[tuple[Bound, ...]]
    lower_mbq: Floats
    upper_mbq: Floats
    shares: Floats | None


def bounds_along(
    pairs: Sequence[Pair], direction: Direction, ray_mbq: Float[np.ndarray, " injections"]
) -> tuple[Bound, ...]:
    """Returns the multiples of an activity vector that just meet each objective, the limiting one first.

    A limit on a VOI that gets no dose binds nowhere and is left out; a target there can't be reached and is
    infinite.

    Args:
      pairs: objectives with their VOI.
      direction: direction of the objectives to use, "at least" or "at most".
      ray_mbq: (n_injections,) activity vector whose multiples are searched.
    """
    found = []
    for objective, voi in pairs:
        if objective.direction != direction:
            continue
        previous = voi.previous_gy if objective.cumulative else 0.0
        per_unit = voi.value_gy(objective, ray_mbq)
        if per_unit <= 0 and direction == "at most":
            continue
        room = max(objective.dose_gy - previous, 0.0)
        multiple = 0.0 if room == 0 else float(activity_multiple(room, per_unit))
        found.append(
            Bound(objective=replace(objective, voi=voi.name), voi=voi.name, role=voi.role, activity_mbq=multiple)
        )
    return _sorted(found, direction)


def _sorted(bounds: Sequence[Bound], direction: Direction) -> tuple[Bound, ...]:
    return tuple(sorted(bounds, key=lambda bound: bound.activity_mbq, reverse=direction == "at least"))


def _own_bounds(pairs: Sequence[Pair], names: list[str], shares: Sequence[float] | None) -> _Own:
    units = np.eye(len(names))
    uppers = [bounds_along(pairs, "at most", unit) for unit in units]
    lowers = [
        bounds_along([pair for pair in pairs if _feeders(pair[1], names) == [name]], "at least", unit)
        for name, unit in zip(names, units, strict=True)
    ]
    upper = np.array([bounds[0].activity_mbq if bounds else math.inf for bounds in uppers])
    lower = np.array([bounds[0].activity_mbq if bounds else 0.0 for bounds in lowers])
    shared = [pair for pair in pairs if pair[0].direction == "at least" and len(_feeders(pair[1], names)) > 1]
    asked = None if shares is None else np.asarray(shares, np.float64) / float(np.sum(shares))
    if shared:
        ray = _proportions(asked, upper, lower, [pair[1].name for pair in shared])
        for index, name in enumerate(names):
            fed = bounds_along([pair for pair in shared if name in _feeders(pair[1], names)], "at least", ray)
            scaled = [replace(bound, activity_mbq=bound.activity_mbq * float(ray[index])) for bound in fed]
            lowers[index] = _sorted([*lowers[index], *scaled], "at least")
        lower = np.array([bounds[0].activity_mbq if bounds else 0.0 for bounds in lowers])
    return _Own(names=names, lowers=lowers, uppers=uppers, lower_mbq=lower, upper_mbq=upper, shares=asked)


def _feeders(voi: VoiDose, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in voi.territories]


def _proportions(shares: Floats | None, upper: Floats, lower: Floats, vois: list[str]) -> Floats:
    """In which proportions several territories feed one target."""
    if shares is not None:
        return shares
    found, usable = split_proportions(upper, lower)
    if usable:
        return np.asarray(found)
    raise InputError(
        f"{', '.join(vois)}: fed by several territories whose own bounds give no proportions; give `shares`"
    )


def _start(
    strategy: Strategy,
    pairs: Sequence[Pair],
    own: _Own,
    injections: Sequence[Injection],
    shares: Sequence[float] | None,
) -> tuple[Floats, list[Check]]:
    """The activities before the joint reduction, and what had to be noted in choosing them."""
    if strategy == "fixed":
        return np.array([float(injection.fixed_mbq or 0.0) for injection in injections]), []
    if strategy == "lower":
        _check_lower(own, own.names)
        return np.asarray(lowest_start(own.lower_mbq, own.shares, np.ones(len(own.names), bool))), []
    units = np.eye(len(own.names))
    liver = [pair for pair in pairs if pair[1].role in LIVER_ROLES]
    unlimited = [name for name, unit in zip(own.names, units, strict=True) if not bounds_along(liver, "at most", unit)]
    notes = [make_check("SJ504", where=name) for name in unlimited]
    if own.shares is None or unlimited:
        _check_lower(own, unlimited)
    chosen = np.array([name in unlimited for name in own.names])
    return np.asarray(upper_start(own.upper_mbq, own.lower_mbq, chosen, own.shares)), notes


def _check_lower(own: _Own, needed: Sequence[str]) -> None:
    """Refuses lower bounds that are missing or infinite but required."""
    chosen = np.array([name in needed for name in own.names])
    if own.shares is not None:
        chosen &= own.lower_mbq > 0
    for name, activity in zip(own.names, own.lower_mbq, strict=True):
        if name in needed and not math.isfinite(activity):
            raise InputError(f"territory {name}: a target lies where its injection brings no dose; check its VOIs")
        if name in needed and activity <= 0 and (own.shares is None or not chosen.any()):
            raise InputError(f"territory {name}: no target gives a lower bound; add a target or give the activity")


def _scale(strategy: Strategy, limits: tuple[Bound, ...], *, free: bool) -> float:
    if strategy == "fixed":
        return 1.0
    multiple = limits[0].activity_mbq if limits else math.inf
    if free and not math.isfinite(multiple):
        raise InputError('no limit acts on any territory, so there is no upper bound; choose "lower" or add a limit')
    return float(joint_scale(multiple, free=free))


def _territory(
    injection: Injection, own: _Own, index: int, chosen: float, strategy: Strategy, joint: Bound | None
) -> TerritoryPrescription:
    lower, upper = float(own.lower_mbq[index]), float(own.upper_mbq[index])
    limiting_bound: Bound | None = None
    if strategy != "fixed":
        mine = [b for b in own.uppers[index] if abs(chosen - b.activity_mbq) <= TOLERANCE * chosen]
        mine += [b for b in own.lowers[index] if abs(chosen - b.activity_mbq) <= TOLERANCE * chosen]
        limiting_bound = mine[0] if mine else joint
    return TerritoryPrescription(
        territory=injection.territory,
        lower_bounds=own.lowers[index],
        upper_bounds=own.uppers[index],
        lower_bound_mbq=lower,
        upper_bound_mbq=upper,
        feasible=lower <= upper * (1 + TOLERANCE),
        chosen_mbq=chosen,
        dispensed_mbq=chosen / (1 - injection.residual_fraction),
        residual_fraction=injection.residual_fraction,
        limiting_bound=limiting_bound,
    )


def _prediction(voi: VoiDose, injections: Sequence[Injection], chosen: Floats) -> Prediction:
    parts = voi.mean_gy_per_mbq * chosen
    kept = np.array([1 - injection.residual_fraction for injection in injections])
    return Prediction(
        voi=voi.name,
        role=voi.role,
        mean_gy=float(parts.sum()),
        mean_with_residual_gy=float(parts @ kept),
        previous_gy=voi.previous_gy,
        by_territory_gy=tuple((i.territory, float(part)) for i, part in zip(injections, parts, strict=True)),
    )


def _prescription_checks(result: Prescription) -> tuple[Check, ...]:
    checks = []
    for territory in result.territories:
        if not territory.feasible:
            checks.append(
                make_check(
                    "SJ501",
                    where=territory.territory,
                    value=territory.lower_bound_mbq,
                    limit=territory.upper_bound_mbq,
                )
            )
    if not result.feasible and all(territory.feasible for territory in result.territories):
        checks.append(make_check("SJ502", value=result.joint_lower_mbq, limit=result.joint_upper_mbq))
    outcome, bounded = result.outcome, result.strategy in ("upper", "lower")
    if outcome is not None and outcome.limited:
        asked = outcome.ntcp_mbq if result.strategy == "ntcp" else outcome.best_mbq
        what = result.limiting_bound.objective.label if result.limiting_bound is not None else "a limit"
        checks.append(make_check("SJ560", where=what, value=asked, limit=result.total_mbq))
    if bounded and result.scale < 1 - TOLERANCE and len(result.territories) > 1:
        checks.append(make_check("SJ503", value=result.scale))
    checks += outcome_checks(result.outcomes, "predicted")
    targets_missed = any(
        outcome.objective.direction == "at least" and outcome.objective.purpose == "bound"
        for outcome in result.outcomes
        if not outcome.met
    )
    if bounded and result.feasible and targets_missed and result.max_margin_mbq is not None:
        checks.append(make_check("SJ505", where=", ".join(f"{a:.0f}" for a in result.max_margin_mbq) + " MBq"))
    return tuple(checks)


def _check_input(
    vois: Sequence[VoiDose], injections: Sequence[Injection], strategy: Strategy, shares: Sequence[float] | None
) -> None:
    if strategy not in get_args(Strategy):
        raise ConfigError(f'choice of activity is "{strategy}"; use one of {", ".join(get_args(Strategy))}')
    names = [injection.territory for injection in injections]
    if not names or len(set(names)) != len(names):
        raise InputError(f"injections must name one territory each, got {names}")
    for voi in vois:
        if len(voi.mean_gy_per_mbq) != len(names):
            raise InputError(f"VOI {voi.name}: dose of {len(voi.mean_gy_per_mbq)} injections, expected {len(names)}")
        unknown = set(voi.territories) - set(names)
        if unknown:
            raise InputError(f"VOI {voi.name}: territory {sorted(unknown)} has no injection; there are {names}")
    for injection in injections:
        if not 0 <= injection.residual_fraction < 1:
            raise InputError(
                f"territory {injection.territory}: residual fraction is {injection.residual_fraction}; "
                "give a fraction from 0 to below 1"
            )
        given = injection.fixed_mbq
        if strategy == "fixed" and (given is None or not math.isfinite(given) or given < 0):
            raise InputError(f"territory {injection.territory}: fixed activity is {given}; give 0 MBq or more")
    if shares is not None and (len(shares) != len(names) or not all(math.isfinite(s) and s > 0 for s in shares)):
        raise InputError(f"shares are {list(shares)}; give one positive number for each of {names}")
