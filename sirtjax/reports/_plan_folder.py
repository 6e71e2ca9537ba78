"""The folder of a plan or verification, made once and made again after a review."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.dicom import Approval
    from sirtjax.workflows import Case, Maps, Products, Result

DICOM_FOLDER = "dicom"


def fill_plan_folder(
    folder: Path,
    kind: str,
    case: Case,
    *,
    products: Products | None = None,
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
      approval: who approved all masks; None if nobody did.
      identity: text that the report shows in place of the pseudonym.
      on_step: called with the name of each step when it begins.

    Returns:
      The result, and one sentence for each item without a DICOM object.
    """
    from sirtjax import workflows

    work = workflows.plan_case if kind == "plan" else workflows.verify_case
    hooks = workflows.automatic_hooks(find_lesions=case.masks.find_lesions, on_step=on_step)
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
    maps: Maps,
    products: Products,
    *,
    objects: bool = False,
    pdf: bool = True,
    approval: Approval | None = None,
    identity: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[str, ...]:
    """Writes a plan or verification to a folder: reports, results, images, steps and, if requested, DICOM objects.

    Args:
      folder: output folder; it exists.
      case: the case.
      result: the numbers.
      maps: images on the working grid.
      products: steps that led to them.
      objects: whether to write DICOM objects.
      pdf: whether to write report.pdf.
      approval: who approved all masks; None if nobody did.
      identity: text that the report shows in place of the pseudonym.
      on_step: called with the name of each part when it begins.

    Returns:
      One sentence for each item without a DICOM object.
    """
    from sirtjax.reports._alignment_page import alignment_page
    from sirtjax.reports._dicom_results import case_references, write_dicom_results
    from sirtjax.reports._files import REPORT_PDF, write_results
    from sirtjax.reports._steps_folder import save_steps

    on_step("registration page")
    page = alignment_page(products, result.provenance)
    write_results(folder, result, maps, identity=identity, registration_page=page, pdf=pdf, on_step=on_step)
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
