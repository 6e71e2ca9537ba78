"""The command `sirtjax accumulate`: the dose of several treatments together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson, Force, Output, PatientName, Pdf, Set, Unset

if TYPE_CHECKING:
    from sirtjax.workflows import AccumulatedResult

Treatments = Annotated[
    Path, typer.Argument(help="File of the treatments (TOML, docs/accumulation.md).", show_default=False)
]


def accumulate(
    treatments: Treatments,
    output: Output,
    force: Force = False,
    patient_name: PatientName = None,
    override: Set = None,
    unset: Unset = None,
    as_json: AsJson = False,
    pdf: Pdf = True,
) -> None:
    """Add the doses and BEDs of several treatments voxel by voxel.

    Exits with code 1 if a cumulative limit on liver or lungs is exceeded.
    """
    use_compilation_cache()
    from sirtjax.reports import write_accumulation
    from sirtjax.workflows import accumulation_to_json, load_accumulation

    case = load_accumulation(treatments, overrides=override or (), unset=unset or ())
    with progress("accumulate") as on_step:
        result = write_accumulation(case, output, force=force, pdf=pdf, identity=patient_name, on_step=on_step)
    if as_json:
        emit_json(accumulation_to_json(result))
    else:
        _print(result)
    note(f"report: {output / 'report.html'}")
    errors = sorted({check.code for check in result.checks if check.severity == "error"})
    if errors:
        note(f"accumulate: exit code 1 because of {', '.join(errors)}; all results are written")
        raise typer.Exit(1)


def _print(result: AccumulatedResult) -> None:
    from sirtjax.reports import limit_table, sum_table, transform_table

    emit_table(f"accumulated dose for {result.patient_id or 'anonymous'}", *sum_table(result))
    emit_table("transforms to the reference", *transform_table(result))
    emit_table("cumulative limits", *limit_table(result))
    for check in result.checks:
        note(f"{check.severity}: {check.message} [{check.code}]")
