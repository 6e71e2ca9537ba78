"""The folder of a plan or verification, written first and written again after a review."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sirtjax.dicom import Approval
    from sirtjax.workflows import Case, Result, ResultVolumes, Step, StepResults

DICOM_FOLDER = "dicom"


def fill_plan_folder(
    folder: Path,
    kind: str,
    case: Case,
    *,
    products: StepResults | None = None,
    objects: bool = False,
    pdf: bool = True,
    approval: Approval | None = None,
    identity: str | None = None,
    on_step: Callable[[str], None],
) -> tuple[Result, tuple[str, ...]]:
    """Plans or verifies a case and writes all results to a folder.

    Args:
      folder: output folder; it exists.
      kind: "plan" or "verify".
      case: the case.
      products: completed steps, which are used as they are.
      objects: whether to write DICOM objects.
      pdf: whether to write report.pdf.
      approval: the approval of all masks; None if they are not approved.
      identity: text that the report shows instead of the pseudonym.
      on_step: called with the name of each step when it begins.

    Returns:
      The result, and one sentence for each item without a DICOM object or with values that DICOM cannot store.
    """
    from sirtjax import workflows

    work = workflows.plan_case if kind == "plan" else workflows.verify_case
    hooks = workflows.automatic_hooks(segment_lesions=case.masks.segment_lesions, on_step=on_step)
    result, maps, products = work(case, products=products, hooks=hooks)
    left_out = write_plan_folder(
        folder,
        case,
        result,
        maps,
        products,
        objects=objects,
        pdf=pdf,
        approval=approval,
        identity=identity,
        on_step=on_step,
    )
    return result, left_out


def write_plan_folder(
    folder: Path,
    case: Case,
    result: Result,
    maps: ResultVolumes,
    products: StepResults,
    *,
    objects: bool = False,
    pdf: bool = True,
    approval: Approval | None = None,
    identity: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[str, ...]:
    """Writes a plan or verification to a folder: reports, results, images and steps.

    DICOM objects are optional.

    Args:
      folder: output folder; it exists.
      case: the case.
      result: plan or verification.
      maps: images on the working grid.
      products: steps that led to them.
      objects: whether to write DICOM objects.
      pdf: whether to write report.pdf.
      approval: the approval of all masks; None if they are not approved.
      identity: text that the report shows instead of the pseudonym.
      on_step: called with the name of each part when it begins.

    Returns:
      One sentence for each item without a DICOM object, or with values that DICOM cannot store.
    """
    from sirtjax.reports._alignment_page import alignment_page, plan_alignment_page
    from sirtjax.reports._dicom_results import case_references, write_dicom_results
    from sirtjax.reports._files import REPORT_PDF, write_results
    from sirtjax.reports._steps_folder import save_steps

    on_step("registration page")
    page = alignment_page(products, result.provenance)
    write_results(
        folder,
        result,
        maps,
        identity=identity,
        registration_page=page,
        plan_page=plan_alignment_page(products, maps, result.provenance),
        pdf=pdf,
        on_step=on_step,
    )
    left_out: tuple[str, ...] = ()
    if objects:
        on_step("DICOM objects")
        references = case_references(case)
        document = (folder / REPORT_PDF).read_bytes() if pdf else None
        written = write_dicom_results(
            folder / DICOM_FOLDER,
            result,
            maps,
            products,
            references,
            approval=approval,
            identity=identity,
            pdf=document,
        )
        left_out = written.left_out
    on_step("steps")
    save_steps(folder / "steps", case, products, registration_page=page)
    return left_out


@dataclass(frozen=True, kw_only=True)
class WrittenPlan:
    """A plan or verification that was written to a folder.

    Attributes:
      result: result without its images.
      left_out: one sentence per item without a DICOM object, or with values that DICOM cannot store.
    """

    result: Result
    left_out: tuple[str, ...]


def write_plan(
    case: Case,
    output: Path,
    *,
    kind: Literal["plan", "verify"] = "plan",
    resume: bool = False,
    force: bool = False,
    objects: bool = False,
    pdf: bool = True,
    identity: str | None = None,
    case_file: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> WrittenPlan:
    """Plans or verifies a case and writes the report, results, images and steps to a folder.

    Args:
      case: the case.
      output: folder to write; it appears when it is complete.
      kind: "plan" or "verify".
      resume: reuse the completed steps in OUTPUT/steps, and overwrite the folder.
      force: overwrite an existing folder.
      objects: also write DICOM objects to OUTPUT/dicom.
      pdf: write report.pdf.
      identity: patient name printed in the report; None for the pseudonym.
      case_file: file of the case; it is refused in the output folder, as other inputs are.
      on_step: called with the name of each step.
      on_note: called with each remark.

    Raises:
      OutputError: the folder exists and neither `resume` nor `force` is set, it contains an input of the run or a
        plan of another patient, a mask that was edited manually would be recomputed (`resume`) or lost (`force`).
      InputError: a file or a value of the case is not valid.
    """
    from sirtjax import io
    from sirtjax.reports._steps_files import own_step_files
    from sirtjax.reports._steps_folder import load_steps

    refuse_replacement(output, case, case_file=case_file, force=force, resume=resume)
    with io.atomic_folder(output, force=force or resume, own=own_step_files(output)) as folder:
        products = load_steps(output / "steps", case, by_results=True, on_note=on_note) if resume else None
        result, left_out = fill_plan_folder(
            folder, kind, case, products=products, objects=objects, pdf=pdf, identity=identity, on_step=on_step
        )
    return WrittenPlan(result=result, left_out=left_out)


def refuse_replacement(
    output: Path, case: Case, *, case_file: Path | None = None, force: bool = False, resume: bool = False
) -> None:
    """Refuses to replace a folder that contains what the run must not overwrite.

    Args:
      output: output folder, which need not exist.
      case: the case.
      case_file: file of the case; None if there is none.
      force: the folder is to be replaced.
      resume: the folder is to be continued.

    Raises:
      OutputError: it contains an input of the run, the results of another patient, or with `force` a result that a
        person edited.
    """
    from sirtjax.reports._overwritten import refuse_folder_of_other_patient, refuse_inputs_in_output
    from sirtjax.reports._steps_files import refuse_edited_steps

    refuse_inputs_in_output(output, case, case_file=case_file)
    if resume or force:
        refuse_folder_of_other_patient(output, case)
    if force and not resume:
        refuse_edited_steps(output / "steps")


def run_step(
    case: Case,
    step: Step,
    output: Path,
    *,
    rerun: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> StepResults:
    """Runs one planning step and its prerequisites and writes their files to OUTPUT/steps.

    Args:
      case: the case.
      step: name of the step.
      output: folder of the plan; completed steps in it are reused.
      rerun: run the step even if its files exist.
      on_step: called with the name of each step.
      on_note: called with each remark.

    Returns:
      The results of all completed steps.

    Raises:
      OutputError: the folder is of another patient, an input of the case is in OUTPUT/steps, or a mask that was edited
        manually would be recomputed although its step is not the one to rerun.
    """
    from sirtjax import workflows
    from sirtjax.reports._alignment_page import alignment_page
    from sirtjax.reports._overwritten import refuse_folder_of_other_patient, refuse_inputs_in_output
    from sirtjax.reports._steps_folder import load_steps, save_steps

    refuse_inputs_in_output(output / "steps", case)
    refuse_folder_of_other_patient(output, case)
    discard = step if rerun else None
    products = load_steps(output / "steps", case, by_results=True, discard=discard, on_note=on_note)
    if rerun:
        products = replace(products, **{step: None})
    hooks = workflows.automatic_hooks(segment_lesions=case.masks.segment_lesions, on_step=on_step)
    products = workflows.run_until(case, step, products=products, hooks=hooks)
    page = None
    if products.registration is not None and products.images is not None:
        page = alignment_page(products, workflows.provenance(case, products.images, registration=""))
    save_steps(output / "steps", case, products, registration_page=page, with_resampling=True)
    return products
