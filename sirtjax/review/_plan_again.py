"""Opening the folder of a plan for review, and planning again with the reviewed masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sirtjax import io
from sirtjax.parsing import parse_json
from sirtjax.review._replan import REVIEW
from sirtjax.review._session import Session

if TYPE_CHECKING:
    from sirtjax.dicom import Approval
    from sirtjax.workflows import Case, StepResults


def open_review(
    output: Path,
    *,
    case_file: Path | None = None,
    pdf: bool = True,
    on_step: Callable[[str], None] = lambda step: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> Session:
    """Returns a session that reviews the masks of a plan and plans again with them.

    Args:
      output: folder that `sirtjax plan` or `verify` wrote.
      case_file: the case file, if its files have moved; None to read the case in the folder.
      pdf: write report.pdf when planning again.
      on_step: called with the name of each step.
      on_note: called with each remark.
    """
    from sirtjax.reports import load_saved_case, load_steps
    from sirtjax.workflows import load_case

    case = load_saved_case(output / "steps") if case_file is None else load_case(case_file)
    on_step("images and masks")
    products = load_steps(output / "steps", case, on_note=on_note)

    def replan(products: StepResults, on_step: Callable[[str], None]) -> None:
        plan_again(output, case, products, on_step, approval=session.approval(), pdf=pdf)

    session = Session(output, products, replan)
    return session


def plan_again(
    output: Path,
    case: Case,
    products: StepResults,
    on_step: Callable[[str], None],
    *,
    approval: Approval | None = None,
    pdf: bool = True,
) -> None:
    """Recomputes the plan or verification of a folder; its review stays in it.

    DICOM objects are written if the folder has some, and are approved if all masks are.

    Args:
      output: the folder.
      case: case of the plan.
      products: results of the completed steps, with the reviewed masks.
      on_step: called with the name of each step.
      approval: approval of all masks; None if some are not approved.
      pdf: write report.pdf.
    """
    from sirtjax.reports import DICOM_FOLDER, fill_plan_folder, own_step_files

    results: Any = parse_json((output / "results.json").read_text(encoding="utf-8"))
    kind = results["kind"]
    objects = (output / DICOM_FOLDER).is_dir()
    with io.atomic_folder(output, force=True, own=own_step_files(output), keep=(REVIEW,), private=True) as folder:
        fill_plan_folder(
            folder,
            "plan" if kind == "plan" else "verify",
            case,
            products=products,
            objects=objects,
            pdf=pdf,
            approval=approval,
            on_step=on_step,
        )
