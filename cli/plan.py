"""The verbs `sirtjax plan` and `sirtjax verify`: a case in, a folder with the report out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sirtjax.cli import _case_options as option
from sirtjax.cli._console import emit_json, emit_table, note, progress, use_compilation_cache, use_patient_key
from sirtjax.cli._options import AsJson, CaseFileOrOptions, Force, Identify, Output, Pdf, Resume, Set, Unset

if TYPE_CHECKING:
    from sirtjax.workflows import AlignmentRecord, Case, RegistrationSummary, Result


def plan(
    output: Output,
    case: CaseFileOrOptions = None,
    studies: option.Studies = None,
    role: option.Roles = None,
    force: Force = False,
    resume: Resume = False,
    identify: Identify = None,
    override: Set = None,
    unset: Unset = None,
    as_json: AsJson = False,
    pdf: Pdf = True,
    patient_id: option.PatientId = None,
    protocol: option.Protocol = None,
    activity: option.Activity = None,
    activity_unit: option.ActivityUnit = None,
    activity_nuclide: option.ActivityNuclide = None,
    ct: option.Ct = None,
    diagnostic: option.Diagnostic = None,
    diagnostic_modality: option.DiagnosticModality = None,
    liver: option.Liver = None,
    lesions: option.Lesions = None,
    lungs: option.Lungs = None,
    masks_on: option.MasksOn = None,
    territories: option.Territories = None,
    lines: option.Lines = None,
    territory_names: option.Names = None,
    registration: option.Registration = None,
    registration_preset: option.RegistrationPreset = None,
    guide_liver: option.GuideLiver = None,
    lung_shunt: option.LungShunt = None,
    injection: option.Injections = None,
    choose: option.Choose = None,
    residual: option.Residual = None,
) -> None:
    """Plan a treatment: masks and territories on the SPECT, doses, bounds and the activity to prescribe."""
    _run("plan", dict(locals()))


def verify(
    output: Output,
    case: CaseFileOrOptions = None,
    studies: option.Studies = None,
    role: option.Roles = None,
    force: Force = False,
    resume: Resume = False,
    identify: Identify = None,
    override: Set = None,
    unset: Unset = None,
    as_json: AsJson = False,
    pdf: Pdf = True,
    patient_id: option.PatientId = None,
    protocol: option.Protocol = None,
    activity: option.Activity = None,
    activity_unit: option.ActivityUnit = None,
    activity_nuclide: option.ActivityNuclide = None,
    ct: option.Ct = None,
    diagnostic: option.Diagnostic = None,
    diagnostic_modality: option.DiagnosticModality = None,
    liver: option.Liver = None,
    lesions: option.Lesions = None,
    lungs: option.Lungs = None,
    masks_on: option.MasksOn = None,
    territories: option.Territories = None,
    lines: option.Lines = None,
    territory_names: option.Names = None,
    registration: option.Registration = None,
    registration_preset: option.RegistrationPreset = None,
    guide_liver: option.GuideLiver = None,
    lung_shunt: option.LungShunt = None,
    injection: option.Injections = None,
    plan: option.Plan = None,
    calibration: option.Calibration = None,
) -> None:
    """Verify a treatment: the dose delivered, from the 90Y PET, beside the dose planned."""
    _run("verify", dict(locals()))


SETTINGS = ("output", "case", "studies", "role", "force", "resume", "identify", "override", "unset", "as_json", "pdf")


def _run(verb: str, given: dict[str, Any]) -> None:
    use_compilation_cache()
    use_patient_key()
    from sirtjax import io
    from sirtjax.reports import DICOM_FOLDER, fill_plan_folder, load_steps

    output, force, resume = given["output"], given["force"], given["resume"]
    objects = given["studies"] is not None
    case = _case(verb, given)
    with progress(verb) as on_step, io.atomic_folder(output, force=force or resume, own=("steps/*",)) as folder:
        products = load_steps(output / "steps", case, on_note=note) if resume else None
        result, left_out = fill_plan_folder(
            folder,
            verb,
            case,
            products=products,
            objects=objects,
            pdf=given["pdf"],
            identity=given["identify"],
            on_step=on_step,
        )
    _print(result, case, output, as_json=given["as_json"])
    for sentence in left_out:
        note(sentence)
    if objects:
        note(f"DICOM objects: {output / DICOM_FOLDER}")
    if verb == "verify":
        _exit_by_checks(result)


def _exit_by_checks(result: Result) -> None:
    """Ends with exit code 1 if a check of the delivered dose is an error: a script must not take it for a success."""
    errors = [check.code for check in result.checks if check.severity == "error"]
    if errors:
        note(f"verify: exit code 1 because of {', '.join(sorted(set(errors)))}; all results are written")
        raise typer.Exit(1)


def _case(verb: str, given: dict[str, Any]) -> Case:
    """The case of a file, of options, or of a folder of studies."""
    from sirtjax.cli._case_studies import case_of_studies
    from sirtjax.errors import ConfigError

    options = {name: value for name, value in given.items() if name not in SETTINGS}
    if given["studies"] is None:
        if given["role"]:
            raise ConfigError("--role goes with --dicom; in a case file, choose a series by `series`")
        case = option.chosen_case(given["case"], options, overrides=given["override"], unset=given["unset"])
        if verb == "plan":
            option.check_choices(case, given["case"])
        return case
    if given["case"] is not None:
        raise ConfigError(f"{given['case']}: a case file and --dicom are given; give one of them")
    said = {name: value for name, value in options.items() if value is not None and value != []}
    roles, overrides, unset = (given[name] or [] for name in ("role", "override", "unset"))
    return case_of_studies(given["studies"], verb, said, roles=roles, overrides=overrides, unset=unset)


def _print(result: Result, case: Case, output: Path, *, as_json: bool) -> None:
    from sirtjax.workflows import result_to_json

    if as_json:
        emit_json(result_to_json(result))
    else:
        title = f"{result.kind} for {case.patient.id}, protocol {result.protocol}"
        emit_table(title, ["territory", "activity (MBq)", "lower", "upper", "decided by"], _injection_rows(result))
        emit_table("doses", ["VOI", "mL", "T/N", "mean (Gy)", "D70 (Gy)"], _voi_rows(result))
        emit_table("targets and limits", *_objective_table(result))
        if result.registration is not None:
            note(registration_line(result.registration))
        for check in result.checks:
            note(f"{check.severity}: {check.message} [{check.code}]")
    note(f"report: {output / 'report.html'}")


def registration_line(summary: AlignmentRecord | RegistrationSummary) -> str:
    """How the diagnostic image was registered, in one line."""
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
        [row.territory, _number(row.activity_mbq), _number(row.lower_mbq), _number(row.upper_mbq), row.binding]
        for row in result.injections
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


def _voi_rows(result: Result) -> list[list[str]]:
    return [
        [voi.name, _number(voi.volume_ml), _number(voi.tn_ratio), _number(voi.mean_gy), _number(voi.d_gy.get("70"))]
        for voi in result.vois
    ]


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"
