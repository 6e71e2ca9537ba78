"""The commands `sirtjax plan` and `sirtjax verify`: a case in, a folder with the report out."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from sirtjax.cli import _case_options as option
from sirtjax.cli._console import (
    emit_json,
    emit_table,
    err,
    log,
    note,
    progress,
    use_compilation_cache,
    use_patient_key,
)
from sirtjax.cli._option_records import with_records
from sirtjax.cli._options import (
    AsJson,
    CaseFileOrOptions,
    Force,
    Output,
    PatientName,
    Pdf,
    Resume,
    Set,
    Uncertainty,
    Unset,
)

if TYPE_CHECKING:
    from sirtjax.workflows import AlignmentRecord, Case, CaseOptions, RegistrationSummary, Result


@dataclass(frozen=True, kw_only=True)
class PlanArguments:
    """Options of `plan` and `verify` that do not describe the case."""

    output: Output
    case: CaseFileOrOptions = None
    studies: option.Studies = None
    role: option.Roles = None
    force: Force = False
    resume: Resume = False
    patient_name: PatientName = None
    override: Set = None
    unset: Unset = None
    as_json: AsJson = False
    pdf: Pdf = True
    uncertainty: Uncertainty = None


@with_records
def plan(
    arguments: PlanArguments,
    options: option.CaseArguments,
    strategy: option.Strategy = None,
    residual_fraction: option.Residual = None,
) -> None:
    """Plan a treatment: absorbed dose, activity bounds and prescribed activity."""
    run_plan("plan", arguments, options.case_options(strategy=strategy, residual_fraction=residual_fraction))


@with_records
def verify(
    arguments: PlanArguments,
    options: option.CaseArguments,
    plan: option.PlanFile = None,
    calibration: option.Calibration = None,
) -> None:
    """Compute the delivered dose from post-treatment PET and compare it with the plan."""
    run_plan("verify", arguments, options.case_options(plan=plan, calibration=calibration))


def run_plan(kind: Literal["plan", "verify"], arguments: PlanArguments, options: CaseOptions | None = None) -> None:
    """Plan or verify the case, print the result and end with exit code 1 if a delivered dose is an error."""
    use_compilation_cache()
    use_patient_key()
    from sirtjax.reports import DICOM_FOLDER, write_plan
    from sirtjax.workflows import CaseOptions, choose_uncertainty

    case = choose_uncertainty(_case(kind, arguments, options or CaseOptions()), arguments.uncertainty)
    objects = arguments.studies is not None
    with progress(kind) as on_step:
        done = write_plan(
            case,
            arguments.output,
            kind=kind,
            resume=arguments.resume,
            force=arguments.force,
            objects=objects,
            pdf=arguments.pdf,
            identity=arguments.patient_name,
            case_file=arguments.case,
            on_step=on_step,
            on_note=note,
        )
    _print(done.result, case, arguments.output, as_json=arguments.as_json)
    for sentence in done.left_out:
        note(sentence)
    if objects:
        note(f"DICOM objects: {arguments.output / DICOM_FOLDER}")
    if kind == "verify":
        _exit_by_checks(done.result)


def _exit_by_checks(result: Result) -> None:
    """Ends with exit code 1 if a check of the delivered dose is an error: a script must not take it for a success."""
    errors = [check.code for check in result.checks if check.severity == "error"]
    if errors:
        note(f"verify: exit code 1 because of {', '.join(sorted(set(errors)))}; all results are written")
        raise typer.Exit(1)


def _case(kind: Literal["plan", "verify"], arguments: PlanArguments, options: CaseOptions) -> Case:
    """Returns the case of a file, of options, or of a folder of studies."""
    from sirtjax import workflows
    from sirtjax.errors import ConfigError

    overrides, unset = arguments.override or (), arguments.unset or ()
    if arguments.studies is None:
        if arguments.role:
            raise ConfigError("--role requires --dicom; in a case file, choose a series by `series`")
        case = workflows.read_case(arguments.case, options, overrides=overrides, unset=unset)
        if kind == "plan":
            workflows.check_choices(case, arguments.case)
        return case
    if arguments.case is not None:
        raise ConfigError(f"{arguments.case}: a case file and --dicom are given; give one of them")
    return workflows.case_from_studies(
        arguments.studies,
        kind,
        options,
        roles=arguments.role or (),
        overrides=overrides,
        unset=unset,
        on_note=note,
        ask=_ask if _can_ask() else None,
    )


def _can_ask() -> bool:
    """Returns whether a person sees a question and can answer it."""
    return sys.stdin.isatty() and err.is_terminal and log.level < logging.ERROR


def _ask() -> str:
    """Ask for a change to the roles; exit if the answer is q."""
    answer: str = typer.prompt(
        "Enter to go on, ROLE=SERIES to change (as ct=2, diagnostic=none), q to stop",
        default="",
        show_default=False,
        err=True,
    ).strip()
    if answer.lower() == "q":
        raise typer.Exit(130)
    return answer


def _print(result: Result, case: Case, output: Path, *, as_json: bool) -> None:
    from sirtjax.reports import measured_tables, optimal_tables, uncertainty_tables
    from sirtjax.workflows import result_to_json

    if as_json:
        emit_json(result_to_json(result))
    else:
        title = f"{result.kind} for {case.patient.id}, protocol {result.protocol}"
        emit_table(title, ["territory", "activity (MBq)", "lower", "upper", "decided by"], _injection_rows(result))
        emit_table("doses", *_voi_table(result))
        if result.optimal is not None:
            best = optimal_tables(result.optimal)[0]
            emit_table("optimal activity", list(best.header), [list(row) for row in best.rows])
        emit_table("lungs", ["part of the mean dose", "Gy"], _lung_rows(result))
        for table in measured_tables(result.measured_activity) if result.measured_activity else ():
            emit_table(f"after treatment: {table.title.lower()}", list(table.header), [list(row) for row in table.rows])
        emit_table("targets and limits", *_objective_table(result))
        for table in uncertainty_tables(result.uncertainty) if result.uncertainty else ():
            emit_table(table.title, list(table.header), [list(row) for row in table.rows])
        if result.registration is not None:
            note(registration_line(result.registration))
        for check in result.checks:
            note(f"{check.severity}: {check.message} [{check.code}]")
    note(f"report: {output / 'report.html'}")


def registration_line(summary: AlignmentRecord | RegistrationSummary) -> str:
    """The registration of the diagnostic image, in one line."""
    parts = [f"registration: {summary.method}"]
    if summary.preset is not None:
        parts.append(f"preset {summary.preset}")
    if summary.status is not None:
        parts.append(summary.status + (" (accepted by the case)" if summary.accepted else ""))
    parts += [
        f"{key} {' to '.join(f'{one:.3g}' for one in (summary.quality['start'][key], summary.quality['final'][key]))}"
        for key in ("dsc liver", "msd_mm liver")
        if key in summary.quality.get("start", {}) and key in summary.quality.get("final", {})
    ]
    return ", ".join(parts)


def _injection_rows(result: Result) -> list[list[str]]:
    return [
        [
            row.territory,
            _number(row.activity_mbq),
            _number(row.lower_mbq),
            _number(row.upper_mbq),
            row.limiting_objective,
        ]
        for row in result.injections
    ]


def _lung_rows(result: Result) -> list[list[str]]:
    from sirtjax.reports import lung_reassignment_rows

    spill_gy = result.lung_spill_dose_gy
    blurred = [
        [f"without blur: {name}", f"{_number(corrected)}, uncorrected {_number(measured)}"]
        for name, measured, corrected, *_ in lung_reassignment_rows(result)
    ]
    return [
        ["shunted activity", _number(result.lung_shunt_dose_gy)],
        ["betas from the liver", "not included: no lung mask" if spill_gy is None else _number(spill_gy)],
        ["all", _number(result.lung_dose_gy)],
        *blurred,
    ]


def _objective_table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Each target, limit and goal with its dose, in a verification next to the dose of the plan."""
    from sirtjax.reports import dose_text

    planned = result.comparison is not None
    rows = [
        [
            row.name,
            *([dose_text(row.planned_gy, row.planned_fraction)] if planned else []),
            dose_text(row.value_gy, row.value_fraction),
            "yes" if row.met else "no",
        ]
        for row in result.objectives
    ]
    said = "predicted" if result.kind == "plan" else "delivered"
    return ["objective", *(["planned"] if planned else []), said, "met"], rows


def _voi_table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Each VOI with mean and D70, by the dose method of the limits and by the other method if there is one."""
    methods = [result.dose_method, *([result.other_dose_method] if result.other_dose_method else [])]
    header = ["VOI", "mL", "T/N", *(f"{what} {method} (Gy)" for method in methods for what in ("mean", "D70"))]
    rows = []
    for voi in result.vois:
        row = [
            voi.name,
            _number(voi.volume_ml),
            _number(voi.tn_ratio),
            _number(voi.mean_gy),
            _number(voi.d_gy.get("70")),
        ]
        if result.other_dose_method is not None:
            other = voi.other_dose
            row += ["-", "-"] if other is None else [_number(other.mean_gy), _number(other.d_gy.get("70"))]
        rows.append(row)
    return header, rows


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"
