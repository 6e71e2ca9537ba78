"""Results of objectives at a dose, predicted or delivered, and the checks of those that are not met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from sirtjax.dosimetry._checks import Check, make_check
from sirtjax.dosimetry._objectives import DoseObjective, VoiDose, resolve_objectives
from sirtjax.dosimetry._prescription import ObjectiveOutcome

# Doses come from float32 maps; a dose is at its limit within this relative difference.
TOLERANCE = 1e-5

Moment = Literal["predicted", "delivered"]
# Codes of a goal, a target and a limit on the liver that is not met. The lungs have one code at both moments.
_CODES: dict[Moment, tuple[str, str, str]] = {
    "predicted": ("SJ403", "SJ401", "SJ402"),
    "delivered": ("SJ406", "SJ404", "SJ405"),
}


def objective_outcomes(
    objectives: Sequence[DoseObjective], vois: Sequence[VoiDose], activity_mbq: Float[np.ndarray, " injections"]
) -> tuple[ObjectiveOutcome, ...]:
    """Evaluates every objective on the dose of these activities.

    Args:
      objectives: targets, limits and goals, by VOI name or role.
      vois: the VOIs with their dose per MBq.
      activity_mbq: (n_injections,) activity of each injection in the patient, MBq.

    Returns:
      One outcome per objective and VOI it applies to.

    Raises:
      ConfigError: an objective names neither a VOI nor a role.
      InputError: an objective is on D_x or V_x of a VOI whose voxel doses are unknown.
    """
    return tuple(_outcome(objective, voi, activity_mbq) for objective, voi in resolve_objectives(objectives, vois))


def outcome_checks(outcomes: Sequence[ObjectiveOutcome], moment: Moment) -> tuple[Check, ...]:
    """Returns one check per objective that is not met.

    Args:
      outcomes: result of `objective_outcomes`.
      moment: "predicted" for a plan (SJ401 to SJ403), "delivered" for a verification (SJ404 to SJ406). A lung limit
        raises SJ303 or SJ304 at both.
    """
    return tuple(
        make_check(
            _missed_code(outcome, moment),
            where=outcome.objective.label,
            value=outcome.value_gy,
            limit=outcome.objective.dose_gy,
            source=outcome.objective.source,
        )
        for outcome in outcomes
        if not outcome.met
    )


def _outcome(
    objective: DoseObjective, voi: VoiDose, activity_mbq: Float[np.ndarray, " injections"]
) -> ObjectiveOutcome:
    value = voi.value_gy(objective, activity_mbq) + (voi.previous_gy if objective.cumulative else 0.0)
    over = value >= objective.dose_gy * (1 - TOLERANCE)
    under = value <= objective.dose_gy * (1 + TOLERANCE)
    fraction = voi.volume_fraction_at(objective.dose_gy, activity_mbq) if objective.kind == "V" else None
    return ObjectiveOutcome(
        objective=replace(objective, voi=voi.name),
        voi=voi.name,
        role=voi.role,
        value_gy=value,
        value_fraction=fraction,
        met=over if objective.direction == "at least" else under,
    )


def _missed_code(outcome: ObjectiveOutcome, moment: Moment) -> str:
    goal, target, limit = _CODES[moment]
    if outcome.objective.purpose == "goal":
        return goal
    if outcome.objective.direction == "at least":
        return target
    if outcome.role == "lungs":
        return "SJ304" if outcome.objective.cumulative else "SJ303"
    return limit
