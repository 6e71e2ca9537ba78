"""Samples of the true doses of a plan as ratios to its computed doses, for limits, targets and tumours."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from sirtjax import optimal
from sirtjax.dosimetry import DoseObjective, VoiDose
from sirtjax.errors import InputError
from sirtjax.workflows._uncertainty_record import SMALLEST_RADIUS_MM
from sirtjax.workflows._uncertainty_simulation import NAMES, Simulated, dose_spread
from sirtjax.workflows._uncertainty_spread import lung_spread

Ratios = Float64[np.ndarray, " samples"]
Activities = Float64[np.ndarray, " injections"]


class NoSamplesError(InputError):
    """A dose has no samples: the correction or the simulations do not contain its VOI."""


def limit_scenarios(
    problem: optimal.ActivityProblem, simulated: Simulated, activity_mbq: Activities
) -> optimal.ActivityProblem:
    """Returns the problem with samples for its limits and for the targets that have samples.

    Targets without samples are omitted, and so are the tumours: only probabilities can be computed from it.

    Args:
      problem: limits and targets.
      simulated: simulations at these activities.
      activity_mbq: (injections,) activities of the simulations.

    Raises:
      NoSamplesError: a limit has no samples.
    """
    limits = [_limit_ratios(one, voi, simulated, activity_mbq) for one, voi in problem.limits]
    kept, ratios = [], []
    for target, voi in problem.targets:
        try:
            ratios.append(_ratios(voi, _fraction(target), simulated, activity_mbq))
        except NoSamplesError:
            continue
        kept.append((target, voi))
    count = len(limits[0])
    return replace(
        problem,
        targets=tuple(kept),
        tumours=(),
        tumour_target_gy=np.zeros(0),
        robust=None,
        scenarios=optimal.DoseScenarios(
            limits=np.stack(limits, axis=1),
            targets=np.stack(ratios, axis=1) if ratios else np.zeros((count, 0)),
            tumours=np.zeros((count, 0)),
            liver=np.ones(count),
        ),
    )


def robust_problem(
    problem: optimal.ActivityProblem,
    simulated: Simulated,
    activity_mbq: Activities,
    options: optimal.RobustOptions,
) -> optimal.ActivityProblem:
    """Returns the problem whose limits are kept with a probability, and by the doses as computed.

    The second half of the limits are those of the doses as computed: their ratio is 1 in every sample.

    Args:
      problem: injections, limits and objective, without uncertainty.
      simulated: simulations at these activities.
      activity_mbq: (injections,) activities of the simulations, all above 0.
      options: probability, and kind of limits and objective.

    Raises:
      NoSamplesError: a limit, a tumour of the objective or the normal liver has no samples.
    """
    limits = [_limit_ratios(one, voi, simulated, activity_mbq) for one, voi in problem.limits]
    fraction = 0.7 if problem.objective.kind == "d70" else None
    tumours = [_ratios(voi, fraction, simulated, activity_mbq) for voi in problem.tumours]
    count = len(limits[0])
    liver = np.ones(count)
    if problem.objective.kind == "utcp" and problem.liver is not None:
        liver = _ratios(problem.liver, None, simulated, activity_mbq)
    return replace(
        problem,
        limits=(*problem.limits, *problem.limits),
        room_gy=np.tile(problem.room_gy, 2),
        targets=(),
        robust=options,
        scenarios=optimal.DoseScenarios(
            limits=np.hstack([np.stack(limits, axis=1), np.ones((count, len(limits)))]),
            targets=np.zeros((count, 0)),
            tumours=np.stack(tumours, axis=1),
            liver=liver,
        ),
    )


def omitted_targets(problem: optimal.ActivityProblem, kept: optimal.ActivityProblem) -> tuple[str, ...]:
    """Returns the names of the VOIs whose targets have no samples."""
    with_samples = {(target.label, voi.name) for target, voi in kept.targets}
    return tuple(
        dict.fromkeys(voi.name for target, voi in problem.targets if (target.label, voi.name) not in with_samples)
    )


def _limit_ratios(limit: DoseObjective, voi: VoiDose, simulated: Simulated, activity_mbq: Activities) -> Ratios:
    if voi.role == "lungs":
        return _lung_ratios(simulated)
    return _ratios(voi, _fraction(limit), simulated, activity_mbq)


def _fraction(objective: DoseObjective) -> float | None:
    return None if objective.kind == "mean" else objective.volume_fraction


def _lung_ratios(simulated: Simulated) -> Ratios:
    """The lungs are not corrected. The betas of the liver are taken as exact, as in the interval of the lung dose."""
    deposit = simulated.deposit
    spread = lung_spread(simulated.found, deposit.lung_shunt_gy, deposit.lung_spill_gy or 0.0, NAMES)
    if spread is None:  # nothing is shunted, so the lung dose is that of the betas
        return np.ones(len(np.asarray(simulated.found.log_ratios.mean_gy)))
    found: Ratios = np.exp(spread.samples)
    return found


def _ratios(voi: VoiDose, fraction: float | None, simulated: Simulated, activity_mbq: Activities) -> Ratios:
    """True over computed mean dose or D_x: that of the correction, and its error in each simulation."""
    corrected = simulated.corrected.get(voi.name)
    placed = next((one for one in simulated.inputs.vois if one.name == voi.name), None)
    if corrected is None or placed is None:
        raise NoSamplesError(f"{voi.name}: the correction has no region of this VOI, so its dose has no samples")
    if placed.kind == "lesion":
        _check_radius(voi.name, float(placed.weight.sum(dtype=np.float64)) * simulated.voxel_ml)
    if fraction is not None and voi.name in simulated.necrosis:
        raise NoSamplesError(f"{voi.name}: {simulated.necrosis[voi.name]}, so its D_x has no samples")
    known = dose_spread(simulated.found, simulated.inputs, corrected, voi.name, fraction)
    if known is None:
        raise NoSamplesError(f"{voi.name}: its histogram has no samples at {100 * (fraction or 0.0):g} % of the volume")
    centre, spread = known
    objective = DoseObjective(
        voi=voi.name,
        direction="at most",
        dose_gy=1.0,
        kind="mean" if fraction is None else "D",
        volume_fraction=fraction,
        source="",
    )
    value = voi.value_gy(objective, activity_mbq)
    if value <= 0:  # no injection reaches it, and 0 Gy remain 0 Gy in every sample
        return np.ones(len(spread.samples))
    if centre <= 0:
        raise NoSamplesError(f"{voi.name}: the corrected value is not above 0, so its dose has no samples")
    found: Ratios = np.exp(spread.samples) * centre / value
    return found


def _check_radius(name: str, volume_ml: float) -> None:
    radius_mm = (750.0 * volume_ml / math.pi) ** (1 / 3)
    if radius_mm < SMALLEST_RADIUS_MM:
        raise NoSamplesError(
            f"{name}: radius of {radius_mm:.1f} mm, below the {SMALLEST_RADIUS_MM:g} mm for which intervals were "
            "validated, so its dose has no samples"
        )
