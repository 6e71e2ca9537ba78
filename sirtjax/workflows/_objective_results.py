"""The protocol's objectives on a dose: the rows of a report, and the evaluation of a delivered dose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sirtjax import dosimetry
from sirtjax.dosimetry import Check, DoseObjective, ObjectiveOutcome, VoiDose
from sirtjax.workflows._case import Case
from sirtjax.workflows._deposit import ActivityAndDose
from sirtjax.workflows._derived import PlacedVoi
from sirtjax.workflows._plan_record import TreatmentPlan
from sirtjax.workflows._prescribing import ROLES, Role, target_names
from sirtjax.workflows._results import ObjectiveResult, VoiResult
from sirtjax.workflows._setting import DosimetryContext

# The unit of a delivered dose is the delivered treatment itself.
_ONE_TREATMENT = np.ones(1)


def objective_results(
    outcomes: Sequence[ObjectiveOutcome], plan: TreatmentPlan | None = None, *, only_planned: bool = False
) -> tuple[ObjectiveResult, ...]:
    """Returns one row per objective and VOI, with the plan's value next to it.

    Args:
      outcomes: the objectives on the predicted or delivered dose.
      plan: plan of a verification.
      only_planned: whether the objectives are in the plan and not in the case.
    """
    return tuple(_row(outcome, plan, only_planned) for outcome in outcomes)


def delivered_objectives(
    case: Case,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    rows: Sequence[VoiResult],
    objectives: Sequence[DoseObjective],
    plan: TreatmentPlan | None,
) -> tuple[tuple[ObjectiveResult, ...], tuple[Check, ...]]:
    """Evaluates every objective of the case and of its plan on the delivered dose.

    A lesion is a target if the case names it, if an injection reaches it, or if the plan has a target on it.

    Args:
      case: the case.
      setting: the mapped case.
      deposit: the delivered activity and dose.
      rows: the VOIs of the report; an objective on a mean dose is compared with the mean of its row.
      objectives: objectives of the case: the protocol's and the patient's own.
      plan: plan whose objectives are also evaluated if the case does not have them and the VOI exists.

    Returns:
      One row per objective and VOI, and a check for each that is not met.
    """
    vois = _delivered_vois(case, setting, deposit, rows, plan)
    own = dosimetry.objective_outcomes(objectives, vois, _ONE_TREATMENT)
    added: tuple[ObjectiveOutcome, ...] = ()
    if plan is not None:
        known = {objective_key(outcome.objective) for outcome in own}
        names = {voi.name for voi in vois}
        missing = [row for row in plan.objectives if row.voi in names and objective_key(row) not in known]
        added = dosimetry.objective_outcomes([_objective(row) for row in missing], vois, _ONE_TREATMENT)
    rows_of_report = objective_results(own, plan) + objective_results(added, plan, only_planned=True)
    return rows_of_report, dosimetry.outcome_checks((*own, *added), "delivered")


def objective_key(objective: DoseObjective | ObjectiveResult) -> tuple[object, ...]:
    """Returns the properties that identify an objective: VOI, direction, kind, dose, volume and purpose."""
    one = objective
    return (one.voi, one.direction, one.kind, one.dose_gy, one.volume_fraction, one.purpose, one.cumulative)


def _delivered_vois(
    case: Case,
    setting: DosimetryContext,
    deposit: ActivityAndDose,
    rows: Sequence[VoiResult],
    plan: TreatmentPlan | None,
) -> list[VoiDose]:
    mean_gy = {row.name: row.mean_gy for row in rows}
    targets = target_names(case, setting)
    planned = {row.voi for row in plan.objectives if row.role == "tumour"} if plan is not None else set()
    named = set(case.prescription.targets or ())
    voxel_ml = setting.mapped.geometry.voxel_volume_ml
    found = []
    for voi in setting.vois:
        role: Role | None = "tumour" if voi.name in targets | planned else ROLES.get(voi.kind)
        if role is None or not (voi.territories or voi.name in planned | named):
            continue
        found.append(
            VoiDose(
                name=voi.name,
                role=role,
                territories=voi.territories,
                # The subtraction of a background can leave a cold lesion below zero.
                mean_gy_per_mbq=np.asarray([max(mean_gy[voi.name], 0.0)]),
                dose_at_fraction=partial(_dose_at_fraction_gy, _histogram(voi, deposit, voxel_ml)),
            )
        )
    lungs = VoiDose(
        name="lungs",
        role="lungs",
        territories=(),
        mean_gy_per_mbq=np.asarray([deposit.lung_dose_gy]),
        previous_gy=case.dose.previous_lung_gy,
    )
    return [*found, lungs]


def _histogram(voi: PlacedVoi, deposit: ActivityAndDose, voxel_ml: float) -> Callable[[], dosimetry.Dvh]:
    """The histogram of a VOI, computed once and only if an objective needs it."""
    known: list[dosimetry.Dvh] = []

    def histogram() -> dosimetry.Dvh:
        if not known:
            known.append(dosimetry.dvh_from_arrays(deposit.dose_gy, voi.weight, voxel_ml, name=voi.name, signed=True))
        return known[0]

    return histogram


def _dose_at_fraction_gy(
    histogram: Callable[[], dosimetry.Dvh], treatments: NDArray[np.float64], fraction: float
) -> float:
    return float(treatments[0]) * histogram().dose_at_percent_gy(100 * fraction)


def _objective(row: ObjectiveResult) -> DoseObjective:
    return DoseObjective(
        voi=row.voi,
        direction=row.direction,
        dose_gy=row.dose_gy,
        source=row.source,
        kind=row.kind,
        volume_fraction=row.volume_fraction,
        purpose=row.purpose,
        cumulative=row.cumulative,
    )


def _row(outcome: ObjectiveOutcome, plan: TreatmentPlan | None, only_planned: bool) -> ObjectiveResult:
    objective = outcome.objective
    before = None
    if plan is not None:
        before = next((row for row in plan.objectives if objective_key(row) == objective_key(objective)), None)
    planned_gy = _planned_gy(objective, plan) if before is None else before.value_gy
    return ObjectiveResult(
        name=objective.label,
        voi=outcome.voi,
        role=outcome.role,
        direction=objective.direction,
        kind=objective.kind,
        purpose=objective.purpose,
        dose_gy=objective.dose_gy,
        volume_fraction=objective.volume_fraction,
        cumulative=objective.cumulative,
        value_gy=outcome.value_gy,
        value_fraction=outcome.value_fraction,
        met=outcome.met,
        source=objective.source,
        planned_gy=planned_gy,
        planned_fraction=None if before is None else before.value_fraction,
        planned_met=None if before is None else before.met,
        only_planned=only_planned,
    )


def _planned_gy(objective: DoseObjective, plan: TreatmentPlan | None) -> float | None:
    """The planned dose of an objective that the plan does not have, from its VOI table: means only."""
    if plan is None or objective.kind != "mean" or objective.cumulative:
        return None
    if objective.voi == "lungs":
        return plan.lung_dose_gy
    mean: float | None = plan.vois.get(objective.voi, {}).get("mean_gy")
    return mean
