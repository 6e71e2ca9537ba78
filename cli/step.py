"""The command `sirtjax step`: one planning step at a time, with its results in files to review and correct."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson, CaseFile, Output, Set, Unset
from sirtjax.cli.plan import PlanArguments, run_plan

if TYPE_CHECKING:
    from sirtjax.workflows import Alignment, StepResults


class StepName(StrEnum):
    """The seven steps of thesis section 8.3, and status; the prescription is `sirtjax plan --resume`."""

    images = "images"
    liver = "liver"
    lesions = "lesions"
    territories = "territories"
    registration = "registration"
    resampling = "resampling"
    prescription = "prescription"
    status = "status"


def step(
    name: Annotated[
        StepName, typer.Argument(help="Step to run, with its prerequisites, or status.", show_default=False)
    ],
    case: CaseFile,
    output: Output,
    rerun: Annotated[bool, typer.Option("--rerun", help="Rerun the step even if its output exists.")] = False,
    override: Set = None,
    unset: Unset = None,
    as_json: AsJson = False,
) -> None:
    """Run one planning step and write its files to OUTPUT/steps, or list the steps that are out of date."""
    if name is StepName.prescription:
        run_plan(
            "plan",
            PlanArguments(output=output, case=case, resume=True, override=override, unset=unset, as_json=as_json),
        )
        return
    use_compilation_cache()
    from sirtjax import reports, workflows

    loaded = workflows.load_case(case, overrides=override or (), unset=unset or ())
    if name is StepName.status:
        states = reports.saved_step_states(output / "steps", loaded)
        if as_json:
            emit_json([{"step": one.step, "state": one.state, "reasons": list(one.reasons)} for one in states])
        else:
            rows = [[one.step, one.state, "; ".join(one.reasons)] for one in states]
            emit_table(f"steps of {loaded.patient.id}", ["step", "state", "reasons"], rows)
        return
    (wanted,) = (known for known in workflows.STEPS if known == name.value)
    with progress(f"step {name.value}") as on_step:
        products = reports.run_step(loaded, wanted, output, rerun=rerun, on_step=on_step, on_note=note)
    rows = _summary(products)
    if as_json:
        emit_json([dict(zip(("step", "what", "value"), row, strict=True)) for row in rows])
    else:
        emit_table(f"steps of {loaded.patient.id}", ["step", "what", "value"], rows)
    note(f"files: {output / 'steps'}")


def _summary(products: StepResults) -> list[list[str]]:
    rows: list[list[str]] = []
    if products.images is not None:
        for role in ("activity", "ct", "diagnostic"):
            image = getattr(products.images, role)
            if image is not None:
                rows.append(["images", role, str(image.volume.geometry)])
    for kind, vois in (("liver", (products.liver, products.lungs)), ("lesions", products.lesions or ())):
        rows += [[kind, voi.name, f"{voi.volume_ml:.1f} mL"] for voi in vois if voi is not None]
    if products.territories is not None and products.territories.labels is not None:
        labels = products.territories.labels
        rows += [["territories", name, f"{labels.volume_ml(name):.1f} mL"] for _, name in labels.names]
    if products.registration is not None:
        rows += _registration_rows(products.registration)
    if products.resampling is not None:
        rows.append(["resampling", "working grid", str(products.resampling.geometry)])
    return rows


def _registration_rows(alignment: Alignment) -> list[list[str]]:
    from sirtjax.spatial import AffineTransform

    what = "affine" if isinstance(alignment.transform, AffineTransform) else "affine and displacement field"
    rows = [["registration", "transform", what]]
    record = alignment.record
    if record is None:
        return rows
    told = {"method": record.method, "preset": record.preset, "status": record.status}
    rows += [["registration", name, value] for name, value in told.items() if value is not None]
    moments = [moment for moment in ("start", "affine", "final") if moment in record.quality]
    for key in dict.fromkeys(key for moment in moments for key in record.quality[moment]):
        values = [f"{moment} {record.quality[moment].get(key, float('nan')):.4g}" for moment in moments]
        rows.append(["registration", key, ", ".join(values)])
    if record.folding_fraction is not None:
        rows.append(["registration", "folded", f"{100 * record.folding_fraction:.3g} %"])
    return rows + [["registration", "note", line] for line in record.notes]
