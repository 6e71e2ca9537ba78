"""A verification next to its plan: what both have in common, and the checks of what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from sirtjax import dosimetry
from sirtjax.dosimetry import Check
from sirtjax.workflows._case import Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._comparison_record import Agreement, ComparisonRow, PlanComparison
from sirtjax.workflows._objective_results import objective_key
from sirtjax.workflows._plan_patient import compare_patient
from sirtjax.workflows._plan_record import TreatmentPlan
from sirtjax.workflows._provenance_record import InputFile
from sirtjax.workflows._results import Result

# VOIs with a mask of their own; the others follow from them.
CONTOURED = ("liver", "lesion", "viable tumour", "lungs")
# Inputs that change with the treatment: only the plan's own activity image among them means something.
ACQUIRED = ("activity", "ct")
FRAMES = ("activity", "ct", "diagnostic")


def compare_with_plan(
    case: Case, images: CaseImages, result: Result, plan: TreatmentPlan
) -> tuple[PlanComparison, tuple[Check, ...]]:
    """Compares a verification with its plan.

    Args:
      case: the case of the verification.
      images: images of the case.
      result: result of the verification, with injections, objectives and provenance.
      plan: the plan, of the same patient.

    Returns:
      The comparison as rows of a table, and a check for each difference.
    """
    inputs = result.provenance["inputs"]
    patient, found = compare_patient(case, images, plan, inputs)
    rows, checks = [patient], list(found)
    for more_rows, more_checks in (
        _protocol(result, plan),
        _nuclide(result, plan),
        _method(result, plan),
        _territories(result, plan),
        _activities(result, plan),
        _vois(result, plan),
        _objectives(result, plan),
        _frames(inputs, plan),
        _inputs(inputs, plan),
    ):
        rows += more_rows
        checks += more_checks
    if plan.unreviewed_masks:
        checks.append(dosimetry.make_check("SJ526", where="; ".join(plan.unreviewed_masks)))
    return PlanComparison(created=plan.created, lung_dose_gy=plan.lung_dose_gy, rows=tuple(rows)), tuple(checks)


Found = tuple[list[ComparisonRow], list[Check]]


def _protocol(result: Result, plan: TreatmentPlan) -> Found:
    same = result.protocol == plan.protocol
    where = f"protocol {plan.protocol} in the plan, {result.protocol} here"
    checks = [] if same else [dosimetry.make_check("SJ514", where=where)]
    return [ComparisonRow("protocol", plan.protocol, result.protocol, _agreement(same))], checks


def _nuclide(result: Result, plan: TreatmentPlan) -> Found:
    rows = [ComparisonRow("nuclide", plan.nuclide, result.nuclide, _agreement(plan.nuclide == result.nuclide))]
    if plan.nuclide != result.nuclide:
        where = f"{plan.nuclide} in the plan, {result.nuclide} here"
        return rows, [dosimetry.make_check("SJ515", where=where)]
    same = plan.nuclide_record == result.nuclide_record
    rows.append(ComparisonRow("dose constant", plan.nuclide_record, result.nuclide_record, _agreement(same)))
    where = f"{plan.nuclide_record} in the plan, {result.nuclide_record} here"
    return rows, [] if same else [dosimetry.make_check("SJ527", where=where)]


def _method(result: Result, plan: TreatmentPlan) -> Found:
    same = plan.dose_method == result.dose_method
    row = ComparisonRow("dose method", plan.dose_method, result.dose_method, _agreement(same))
    where = f"{plan.dose_method} in the plan, {result.dose_method} here"
    return [row], [] if same else [dosimetry.make_check("SJ528", where=where)]


def _territories(result: Result, plan: TreatmentPlan) -> Found:
    before = {one.name: one.volume_ml for one in plan.territories}
    here = {one.name: one.volume_ml for one in result.territories}
    rows = [ComparisonRow("territories", _listed(before), _listed(here), _agreement(before.keys() == here.keys()))]
    checks = []
    if before.keys() != here.keys():
        checks.append(dosimetry.make_check("SJ518", where=_difference("territories", before, here)))
    more_rows, more_checks = _volumes(before, here)
    return rows + more_rows, checks + more_checks


def _activities(result: Result, plan: TreatmentPlan) -> Found:
    delivered = {one.territory: one.activity_mbq for one in result.injections}
    checks = list(dosimetry.injected_territory_checks(planned_mbq=plan.planned_mbq, delivered_mbq=delivered))
    rows = []
    for name in dict.fromkeys((*plan.planned_mbq, *delivered)):
        planned_mbq, delivered_mbq = plan.planned_mbq.get(name), delivered.get(name)
        over: tuple[Check, ...] = ()
        if planned_mbq is not None and delivered_mbq is not None:
            over = dosimetry.delivered_activity_checks(name, planned_mbq=planned_mbq, delivered_mbq=delivered_mbq)
        checks += over
        agrees = planned_mbq is not None and delivered_mbq is not None and not over
        row = ComparisonRow(f"activity, {name}", _mbq(planned_mbq), _mbq(delivered_mbq), _agreement(agrees))
        rows.append(row)
    return rows, checks


def _vois(result: Result, plan: TreatmentPlan) -> Found:
    before = {
        name: float(row["mask_ml"] or row["volume_ml"]) for name, row in plan.vois.items() if row["kind"] in CONTOURED
    }
    here = {row.name: row.mask_ml or row.volume_ml for row in result.vois if row.kind in CONTOURED}
    rows = [ComparisonRow("VOIs", _listed(before), _listed(here), _agreement(before.keys() == here.keys()))]
    checks = []
    if before.keys() != here.keys():
        checks.append(dosimetry.make_check("SJ516", where=_difference("VOIs", before, here)))
    more_rows, more_checks = _volumes(before, here)
    return rows + more_rows, checks + more_checks


def _volumes(before: Mapping[str, float], here: Mapping[str, float]) -> Found:
    rows: list[ComparisonRow] = []
    checks: list[Check] = []
    for name in (name for name in before if name in here):
        changed = dosimetry.planned_volume_checks(name, planned_ml=before[name], found_ml=here[name])
        checks += changed
        row = ComparisonRow(f"volume, {name}", _ml(before[name]), _ml(here[name]), _agreement(not changed))
        rows.append(row)
    return rows, checks


def _objectives(result: Result, plan: TreatmentPlan) -> Found:
    """Whether both have the same targets and limits on the VOIs that both have."""
    names = {row.name for row in result.vois} & plan.vois.keys() | {"lungs"}
    before = {objective_key(row): row for row in plan.objectives if row.voi in names}
    here = {objective_key(row): row for row in result.objectives if row.voi in names}
    only_before = [row.name for key, row in before.items() if key not in here or here[key].only_planned]
    only_here = [row.name for key, row in here.items() if key not in before]
    same = not only_before and not only_here
    rows = [ComparisonRow("targets and limits", str(len(before)), str(len(here)), _agreement(same))]
    parts = [f"only in the plan: {', '.join(only_before)}"] if only_before else []
    parts += [f"only in this case: {', '.join(only_here)}"] if only_here else []
    return rows, [] if same else [dosimetry.make_check("SJ525", where="; ".join(parts))]


def _stated(inputs: Mapping[str, InputFile], role: str, key: Literal["sha256", "frame_of_reference_uid"]) -> str | None:
    entry = inputs.get(role)
    return None if entry is None else entry.get(key)


def _frames(inputs: Mapping[str, InputFile], plan: TreatmentPlan) -> Found:
    rows, other = [], []
    for role in FRAMES:
        if role not in inputs and role not in plan.inputs:
            continue
        before = _stated(plan.inputs, role, "frame_of_reference_uid")
        here = _stated(inputs, role, "frame_of_reference_uid")
        known = before is not None and here is not None
        agreement = _agreement(before == here) if known else "unknown"
        rows.append(ComparisonRow(f"frame of reference, {role}", before or "–", here or "–", agreement))
        other += [role] if agreement == "differs" else []
    return rows, [dosimetry.make_check("SJ519", where=", ".join(other))] if other else []


def _inputs(inputs: Mapping[str, InputFile], plan: TreatmentPlan) -> Found:
    rows: list[ComparisonRow] = []
    other: list[str] = []
    checks: list[Check] = []
    for role in dict.fromkeys((*plan.inputs, *inputs)):
        if role == "plan":
            continue
        before, here = _stated(plan.inputs, role, "sha256"), _stated(inputs, role, "sha256")
        known = before is not None and here is not None
        agreement = _agreement(before == here) if known else "unknown"
        rows.append(ComparisonRow(f"SHA-256, {role}", (before or "–")[:16], (here or "–")[:16], agreement))
        if agreement == "differs" and role not in ACQUIRED:
            other.append(role)
        if agreement == "agrees" and role == "activity":
            checks.append(dosimetry.make_check("SJ521"))
    if other:
        checks.append(dosimetry.make_check("SJ520", where=", ".join(other)))
    return rows, checks


def _agreement(same: bool) -> Agreement:
    return "agrees" if same else "differs"


def _difference(what: str, before: Mapping[str, object], here: Mapping[str, object]) -> str:
    missing, added = [n for n in before if n not in here], [n for n in here if n not in before]
    parts = [f"{what} of the plan that are missing: {', '.join(missing)}"] if missing else []
    parts += [f"{what} that the plan does not have: {', '.join(added)}"] if added else []
    return "; ".join(parts)


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _mbq(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g} MBq"


def _ml(value: float) -> str:
    return f"{value:.4g} mL"
