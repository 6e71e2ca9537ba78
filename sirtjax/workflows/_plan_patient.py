"""Checks that a plan and a verification are of the same patient.

Three things can show it, in this order: keyed hashes of the DICOM patient's identifiers (if both runs used the same key
and both images name their patient), the pseudonym of the case, and an input that both have in common (a file with the
same SHA-256). The geometry of an image cannot: it changes from scan to scan of one patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from sirtjax import dosimetry
from sirtjax.dosimetry import Check
from sirtjax.errors import InputError
from sirtjax.io import PatientFingerprint
from sirtjax.workflows._case import NO_PSEUDONYM, Case
from sirtjax.workflows._case_images import CaseImages
from sirtjax.workflows._comparison_record import Agreement, ComparisonRow
from sirtjax.workflows._plan_record import TreatmentPlan
from sirtjax.workflows._provenance_record import InputFile

Verdict = Literal["same", "other", "unknown"]


def refuse_other_patient(case: Case, images: CaseImages, plan: TreatmentPlan, path: Path) -> None:
    """Refuses the plan of another patient, unless the case accepts it by `PLAN_PATIENT`.

    Raises:
      InputError: identifiers of the DICOM headers contradict each other, or the pseudonyms differ and no identifier
        shows that the patient is the same.
    """
    what = _contradiction(case, images, plan)
    if what is not None and "PLAN_PATIENT" not in case.accept:
        raise InputError(
            f"{path}: the plan of another patient: {what} of plan and case differ; use the plan of this patient, or "
            'accept = ["PLAN_PATIENT"] if a person has checked that they are one'
        )


def compare_patient(
    case: Case, images: CaseImages, plan: TreatmentPlan, inputs: Mapping[str, InputFile]
) -> tuple[ComparisonRow, tuple[Check, ...]]:
    """Returns the evidence that the plan is of this patient, and a check if it is weak or missing.

    Args:
      case: the case.
      images: images of the case.
      plan: the plan, not refused.
      inputs: files and hashes of the verification, as in its provenance.
    """
    contradiction = _contradiction(case, images, plan)
    if contradiction is not None:
        check = dosimetry.make_check("SJ513", where=contradiction)
        return _row("differs", "accepted by the case", case, plan), (check,)
    if _by_headers(images, plan) == "same":
        return _row("agrees", "by the identifiers of the DICOM headers", case, plan), ()
    shared = sorted(role for role, one in inputs.items() if _of_one_patient(role) and _in_plan(one, plan))
    if shared:
        return _row("agrees", f"by the content of {', '.join(shared)}", case, plan), ()
    why = _why_unknown(images, plan)
    if _by_pseudonym(case, plan) == "same":
        return _row("agrees", "by the pseudonym", case, plan), (dosimetry.make_check("SJ512", where=why),)
    return _row("unknown", "nothing to compare", case, plan), (dosimetry.make_check("SJ511", where=why),)


def _contradiction(case: Case, images: CaseImages, plan: TreatmentPlan) -> str | None:
    """The evidence that the patients differ."""
    headers = _by_headers(images, plan)
    if headers == "other":
        return "the identifiers of the DICOM headers (ID, name, date of birth)"
    return "the pseudonyms" if headers == "unknown" and _by_pseudonym(case, plan) == "other" else None


def _by_headers(images: CaseImages, plan: TreatmentPlan) -> Verdict:
    mark = images.activity.source.patient
    if mark.key is None or mark.key != plan.patient.key:
        return "unknown"
    if mark.contradicts(plan.patient):
        return "other"
    return "same" if mark.confirms(plan.patient) else "unknown"


def _by_pseudonym(case: Case, plan: TreatmentPlan) -> Verdict:
    if NO_PSEUDONYM in (case.patient.id, plan.patient_id) or not plan.patient_id:
        return "unknown"
    return "same" if case.patient.id == plan.patient_id else "other"


def _why_unknown(images: CaseImages, plan: TreatmentPlan) -> str:
    here = images.activity.source.patient
    if not _stated(here):
        return "the activity image does not name a patient"
    if not _stated(plan.patient):
        return "the plan has no identifiers of its patient"
    if here.key is None or here.key != plan.patient.key:
        return "the identifiers of plan and image are hashed with different keys (another user or computer)"
    return "plan and image state different identifiers of the patient"


def _stated(mark: PatientFingerprint) -> bool:
    return any(part is not None for part in (mark.number, mark.name, mark.born))


def _of_one_patient(role: str) -> bool:
    """Whether no two patients can have the same file in this role: lines and transforms may be templates."""
    return role in ("activity", "ct", "diagnostic", "territories") or role.endswith(" mask")


def _in_plan(one: InputFile, plan: TreatmentPlan) -> bool:
    sha256 = one.get("sha256")
    return sha256 is not None and any(other.get("sha256") == sha256 for other in plan.inputs.values())


def _row(agreement: Agreement, how: str, case: Case, plan: TreatmentPlan) -> ComparisonRow:
    return ComparisonRow("patient", plan.patient_id or "not stated", f"{case.patient.id} ({how})", agreement)
