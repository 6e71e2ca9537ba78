"""The folder of a plan or verification, made once and made again after a review."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sirtjax.dicom import Approval
    from sirtjax.workflows import Case, Products, Result

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
    """Plan or verify a case into a folder; the result, and a sentence for each thing without a DICOM object.

    Args:
      folder: where to.
      kind: "plan" or "verify".
      case: the case.
      products: steps that are made already.
      objects: write DICOM objects too.
      pdf: write report.pdf; a DICOM object holds it anyway.
      approval: who answers for all masks.
      identity: printed in the report in place of the pseudonym.
      on_step: called with the name of each step as it begins.
    """
    from sirtjax import workflows
    from sirtjax.reports._alignment_page import alignment_page
    from sirtjax.reports._dicom_results import case_references, write_dicom_results
    from sirtjax.reports._files import REPORT_PDF, write_results
    from sirtjax.reports._steps_folder import save_steps

    work = workflows.plan_case if kind == "plan" else workflows.verify_case
    hooks = workflows.automatic_hooks(find_lesions=case.masks.find_lesions, on_step=on_step)
    result, maps, products = work(case, products=products, hooks=hooks)
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
    return result, left_out
