"""The question of an optimisation: which activities, under which limits, for which objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry import DoseObjective, OutcomeModel, VoiDose, resolve_objectives
from sirtjax.errors import ConfigError, InputError
from sirtjax.optimal._robust import DoseScenarios, RobustOptions, check_scenarios

MAXIMUM_INJECTIONS = 8
Pair = tuple[DoseObjective, VoiDose]
Kind = Literal["mean", "d70", "volume", "eud", "utcp"]
# Objectives that need the dose of the voxels of each tumour.
BY_VOXEL: tuple[Kind, ...] = ("d70", "volume", "eud")
# The metric of a tumour for the objective "d70".
D70 = DoseObjective(voi="tumour", direction="at least", dose_gy=1.0, kind="D", volume_fraction=0.7, source="")


@dataclass(frozen=True, kw_only=True)
class TumourObjective:
    """The number to maximise.

    Attributes:
      kind: "mean" or "d70": mean dose or D70 of the tumour with the lowest one; "volume": fraction of the volume of all
        tumours that receives its target dose; "eud": equivalent uniform dose of all tumours together, by survival;
        "utcp": TCP (1 - NTCP).
      alpha_per_gy: radiosensitivity of the tumour, 1/Gy, for "eud".
      outcome: dose responses, for "utcp".
    """

    kind: Kind
    alpha_per_gy: float | None = None
    outcome: OutcomeModel | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f'objective is "{self.kind}"; use one of {", ".join(get_args(Kind))}')
        alpha = self.alpha_per_gy
        if self.kind == "eud" and (alpha is None or not (math.isfinite(alpha) and alpha > 0)):
            raise ConfigError(f'objective "eud": alpha_per_gy is {alpha}; give the radiosensitivity in 1/Gy, above 0')
        if self.kind == "utcp" and (self.outcome is None or not (self.outcome.has_tcp and self.outcome.has_ntcp)):
            raise ConfigError('objective "utcp" requires dose responses of tumour and liver with their slopes')

    @property
    def label(self) -> str:
        """Name of the objective for a sentence."""
        return {
            "mean": "lowest mean dose of a tumour",
            "d70": "lowest D70 of a tumour",
            "volume": "tumour volume above its target",
            "eud": "EUD of the tumours",
            "utcp": "TCP (1 - NTCP)",
        }[self.kind]

    @property
    def unit(self) -> Literal["Gy", "%"]:
        """Unit in which the value is printed; fractions and probabilities are printed in percent."""
        return "%" if self.kind in ("volume", "utcp") else "Gy"


@dataclass(frozen=True, kw_only=True, eq=False)
class ActivityProblem:
    """Injections, limits and objective, checked; made by `activity_problem`.

    Attributes:
      injections: names of the injections.
      objective: number to maximise.
      limits: limits that bound the activity, each with its VOI.
      room_gy: (limits,) dose of each limit less the dose of earlier treatments.
      targets: targets of the protocol, each with its VOI; they do not bound the activity.
      tumours: VOIs of the objective.
      tumour_target_gy: (tumours,) target dose of each tumour; NaN without one.
      liver: whole normal liver; None if there is none.
      robust: treatment of the uncertainty; None for the doses as computed.
      scenarios: samples of the ratio of true to computed dose; None without uncertainty.
    """

    injections: tuple[str, ...]
    objective: TumourObjective
    limits: tuple[Pair, ...]
    room_gy: Float[np.ndarray, " limits"]
    targets: tuple[Pair, ...]
    tumours: tuple[VoiDose, ...]
    tumour_target_gy: Float[np.ndarray, " tumours"]
    liver: VoiDose | None
    robust: RobustOptions | None = None
    scenarios: DoseScenarios | None = None

    @property
    def monotone(self) -> bool:
        """Whether more activity never lowers the objective."""
        return self.objective.kind != "utcp"


def activity_problem(
    vois: Sequence[VoiDose],
    objectives: Sequence[DoseObjective],
    injections: Sequence[str],
    *,
    objective: TumourObjective,
    robust: RobustOptions | None = None,
    scenarios: DoseScenarios | None = None,
) -> ActivityProblem:
    """Checks and collects what an optimisation needs.

    Args:
      vois: dose per MBq of each VOI, in the order of `injections`. "d70", "volume" and "eud" need the samples of the
        tumours, with weights in one unit (voxels of one grid).
      objectives: targets and limits of the protocol. Goals have no effect.
      injections: names of up to eight injections.
      objective: number to maximise.
      robust: probability of the limits and kind of objective under uncertainty; requires `scenarios`.
      scenarios: samples of the ratio of true to computed dose, in the order of `problem_order`.

    Raises:
      ConfigError: the objective lacks a target dose or a parameter, or no VOI is a tumour.
      InputError: no limit bounds an injection, an earlier treatment has used up a limit, or an input is not usable.
    """
    names = tuple(injections)
    if not names or len(set(names)) != len(names):
        raise InputError(f"optimal activity: injections must have one name each, got {list(names)}")
    if len(names) > MAXIMUM_INJECTIONS:
        raise InputError(
            f"optimal activity: {len(names)} injections; at most {MAXIMUM_INJECTIONS} can be optimised together"
        )
    for voi in vois:
        if len(voi.mean_gy_per_mbq) != len(names):
            raise InputError(f"VOI {voi.name}: dose of {len(voi.mean_gy_per_mbq)} injections, expected {len(names)}")
    limits, targets, tumours = problem_order(vois, objectives)
    if not tumours:
        raise ConfigError(
            "optimal activity: there is no target tumour in a treated territory, so there is nothing to maximise; add "
            "a lesion, or the injection of its territory"
        )
    livers = [voi for voi in vois if voi.role == "whole_normal"]
    problem = ActivityProblem(
        injections=names,
        objective=objective,
        limits=limits,
        room_gy=np.asarray([_room_gy(limit, voi) for limit, voi in limits]),
        targets=targets,
        tumours=tumours,
        tumour_target_gy=np.asarray([_target_gy(voi, targets) for voi in tumours]),
        liver=livers[0] if livers else None,
        robust=robust,
        scenarios=scenarios,
    )
    _check_objective(problem)
    _check_limits(problem)
    if (robust is None) != (scenarios is None):
        raise ConfigError("optimal activity: robust options require samples of the dose, and the reverse")
    if robust is not None and scenarios is not None:
        check_scenarios(robust, scenarios, limits=len(limits), targets=len(targets), tumours=len(tumours))
    return problem


def problem_order(
    vois: Sequence[VoiDose], objectives: Sequence[DoseObjective]
) -> tuple[tuple[Pair, ...], tuple[Pair, ...], tuple[VoiDose, ...]]:
    """Returns the limits, the targets and the tumours in the order of the columns of `DoseScenarios`.

    Args:
      vois: dose per MBq of each VOI.
      objectives: targets and limits; only those that bound the activity count.
    """
    bounding = [pair for pair in resolve_objectives(objectives, vois) if pair[0].purpose == "bound"]
    limits = tuple(
        pair for pair in bounding if pair[0].direction == "at most" and bool((pair[1].mean_gy_per_mbq > 0).any())
    )
    targets = tuple(pair for pair in bounding if pair[0].direction == "at least")
    return limits, targets, tuple(voi for voi in vois if voi.role == "tumour")


def _room_gy(limit: DoseObjective, voi: VoiDose) -> float:
    previous = voi.previous_gy if limit.cumulative else 0.0
    if previous >= limit.dose_gy:
        raise InputError(
            f"{limit.label}: earlier treatments gave {voi.name} {previous:g} Gy, so no activity is allowed; "
            "check the previous dose or the limit"
        )
    return limit.dose_gy - previous


def _target_gy(tumour: VoiDose, targets: Sequence[Pair]) -> float:
    """The largest target dose of a tumour, less earlier treatments; NaN without a target."""
    doses = [
        target.dose_gy - (voi.previous_gy if target.cumulative else 0.0)
        for target, voi in targets
        if voi.name == tumour.name
    ]
    return max(doses, default=math.nan)


def _check_objective(problem: ActivityProblem) -> None:
    kind = problem.objective.kind
    for tumour, target in zip(problem.tumours, problem.tumour_target_gy, strict=True):
        if not (tumour.mean_gy_per_mbq > 0).any():
            raise InputError(f"optimal activity: no injection reaches {tumour.name}; omit it from the targets")
        if kind == "volume" and target <= 0:
            raise InputError(
                f'objective "volume": earlier treatments gave {tumour.name} its target dose; omit it from the targets '
                "or use another objective"
            )
        if kind == "volume" and not target > 0:
            raise ConfigError(
                f'objective "volume": {tumour.name} has no target dose; add an objective "at least" for it'
            )
        if kind in BY_VOXEL and tumour.samples_gy_per_mbq is None:
            raise InputError(f'objective "{kind}": the dose of the voxels of {tumour.name} is unknown; use "mean"')
        if kind == "d70" and not tumour.value_gy(D70, np.ones(len(problem.injections))) > 0:
            raise InputError(
                f'objective "d70": the injections reach less than 70 % of {tumour.name}, so its D70 is 0 Gy; omit it '
                "from the targets or use another objective"
            )
    outcome = problem.objective.outcome
    if kind != "utcp" or outcome is None:
        return
    if problem.liver is None:
        raise InputError('objective "utcp": there is no whole normal liver, so the NTCP is not defined')
    for voi, per_gy in ((problem.liver, outcome.liver_bed_per_gy), (problem.tumours[0], outcome.tumour_bed_per_gy)):
        if per_gy > 0 and voi.square_gy2_per_mbq2 is None:
            raise InputError(f"{voi.name}: its mean squared dose is unknown, so there is no mean BED")


def _check_limits(problem: ActivityProblem) -> None:
    for index, name in enumerate(problem.injections):
        if not any(voi.mean_gy_per_mbq[index] > 0 for _, voi in problem.limits):
            raise InputError(
                f"injection {name}: no limit acts on it, so its activity has no upper bound; add a limit on a VOI "
                "that it reaches"
            )
    for limit, voi in problem.limits:
        spread = (voi.mean_gy_per_mbq > 0).sum() > 1
        if limit.kind != "mean" and spread and voi.samples_gy_per_mbq is None:
            raise InputError(f"{limit.label}: the dose of the voxels of {voi.name} is unknown; use a mean dose")
    # D_x is 0 if an injection reaches less than the fraction x: it can then be raised without end if the others are 0.
    for name, unit in zip(problem.injections, np.eye(len(problem.injections)), strict=True):
        if not any(voi.value_gy(limit, unit) > 0 for limit, voi in problem.limits):
            labels = ", ".join(limit.label for limit, _ in problem.limits)
            raise InputError(
                f"injection {name}: it reaches too little volume for the limits on a volume ({labels}), so its "
                "activity has no upper bound; add a limit on a mean dose"
            )
