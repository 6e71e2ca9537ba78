"""`sirtjax evaluate`: how good a result is, against a reference; one verb a kind of result."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sirtjax.cli._console import emit_json, emit_table, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson
from sirtjax.errors import ComputationError, ConfigError, OutputError
from sirtjax.studies import (
    RegistrationCase,
    RegistrationOutcome,
    measure_registration,
    measure_registrations,
    read_registration_cases,
    write_registrations,
)

if TYPE_CHECKING:
    from sirtjax.metrics import RegistrationQuality

app = typer.Typer(no_args_is_help=True, help="Measure how good a result is, see docs/evaluation.md.")


@app.callback()
def _results() -> None:
    """Measure how good a result is, see docs/evaluation.md."""


def _labels(side: str, word: str) -> Any:
    text = f"Masks on the {word}: NIfTI, RTSTRUCT or SEG; FILE#NAME or FILE#1=NAME,2=NAME names them; repeat."
    return typer.Option(f"--{side}-labels", help=text, show_default=False)


@app.command()
def registration(
    transform: Annotated[
        str | None,
        typer.Argument(help="ITK or NIfTI transform, from reference to floating points, or identity."),
    ] = None,
    ref_labels: Annotated[list[str] | None, _labels("ref", "reference")] = None,
    flo_labels: Annotated[list[str] | None, _labels("flo", "floating image")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Reference image: its grid, and what an RTSTRUCT was drawn on.")
    ] = None,
    floating: Annotated[Path | None, typer.Option(help="Floating image, which its RTSTRUCT needs.")] = None,
    ref_points: Annotated[
        Path | None, typer.Option(help="Landmark points: .mrk.json of 3D Slicer, or .csv (x,y,z: LPS mm).")
    ] = None,
    flo_points: Annotated[Path | None, typer.Option(help="The same points there, by label or order.")] = None,
    names: Annotated[
        str | None, typer.Option(help="Names of the values of NIfTI label maps: 1=liver,2=lesion1.")
    ] = None,
    organ: Annotated[
        list[str] | None,
        typer.Option(help="Counts by its surface, other masks by their mass centre; repeat; by default liver."),
    ] = None,
    as_drawn: Annotated[
        bool, typer.Option("--as-drawn", help="Don't add to an organ what its label map has inside it.")
    ] = False,
    cases: Annotated[Path | None, typer.Option(help="Table of cases (CSV) in place of one TRANSFORM.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Table to write (.csv), a row a case.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Overlap, surface and mass centre distances, RMSD, target error and folding of a registration, or of many.

    Example: sirtjax evaluate registration transform.tfm --ref-labels ref.nii.gz --flo-labels flo.nii.gz
    --names 1=liver,2=lesion1. With --cases, the exit code is 1 if any case could not be measured.
    """
    organs = tuple(organ or ("liver",))
    one_case = (transform, ref_labels, flo_labels, reference, floating, ref_points, flo_points)
    _check_output(output, force)
    if cases is not None:
        if any(value is not None for value in one_case):
            raise ConfigError("--cases names the files of every case; leave out TRANSFORM and the options of one case")
        listed = read_registration_cases(cases, names=names, organs=organs)
        _many(listed, as_drawn=as_drawn, output=output, force=force, as_json=as_json)
        return
    if transform is None or not ref_labels or not flo_labels:
        raise ConfigError("give TRANSFORM (or identity) with --ref-labels and --flo-labels, or a table with --cases")
    files = RegistrationCase(
        case=Path(transform).name,
        transform=transform,
        ref_labels=tuple(ref_labels),
        flo_labels=tuple(flo_labels),
        reference=reference,
        floating=floating,
        ref_points=ref_points,
        flo_points=flo_points,
        names=names,
        organs=organs,
    )
    _one(files, as_drawn=as_drawn, output=output, force=force, as_json=as_json)


def _check_output(output: Path | None, force: bool) -> None:
    if output is not None and output.exists() and not force:
        raise OutputError(f"{output}: exists already; choose another name or give --force")


def _one(files: RegistrationCase, *, as_drawn: bool, output: Path | None, force: bool, as_json: bool) -> None:
    use_compilation_cache()
    with progress("evaluate") as report:
        report("measuring")
        quality = measure_registration(files, as_drawn=as_drawn)
    if output is not None:
        write_registrations(
            output, [RegistrationOutcome(case=files.case, quality=quality, reason=_reason(quality))], force=force
        )
    if as_json:
        emit_json(_as_json(quality))
    else:
        _print(files.case, quality)
    for said in quality.notes:
        note(said)
    if quality.lost:
        raise ComputationError(
            f"{files.case}: {_reason(quality)}; there is no RMSD. Look at the transform, and whether the masks "
            "belong to its images"
        )


def _many(listed: list[RegistrationCase], *, as_drawn: bool, output: Path | None, force: bool, as_json: bool) -> None:
    from sirtjax import metrics

    use_compilation_cache()
    with progress("evaluate") as report:
        outcomes = measure_registrations(listed, as_drawn=as_drawn, on_case=report)
    if output is not None:
        write_registrations(output, outcomes, force=force)
    measured = [one.quality.rmsd_mm for one in outcomes if one.quality is not None and not one.quality.lost]
    rrmsd = metrics.rrmsd_mm(measured) if measured else None
    if as_json:
        told = [
            {
                "case": one.case,
                "status": one.status,
                "reason": one.reason,
                "quality": None if one.quality is None else _as_json(one.quality),
            }
            for one in outcomes
        ]
        emit_json({"cases": told, "rrmsd_mm": rrmsd, "rrmsd_cases": len(measured)})
    else:
        _print_many(outcomes, rrmsd, len(measured))
    for one in outcomes:
        for said in () if one.quality is None else one.quality.notes:
            note(f"{one.case}: {said}")
    bad = [one for one in outcomes if one.status != "measured"]
    if bad:
        raise ComputationError(
            f"{len(bad)} of {len(outcomes)} cases could not be measured and are not in the RRMSD; the first is "
            f"{bad[0].case}: {bad[0].reason}"
        )


def _reason(quality: RegistrationQuality) -> str:
    return f"lost: {', '.join(quality.lost)}" if quality.lost else ""


def _print(case: str, quality: RegistrationQuality) -> None:
    columns = ["mask", "kind", "DSC", "MSD mm", "HD95 mm", "HD mm", "MCD mm", "ref mL", "warped mL", "volume %"]
    rows = []
    for label in quality.labels:
        distances = (label.msd_mm, label.hd95_mm, label.hd_mm, label.mcd_mm)
        rows.append(
            [
                label.name,
                "lost" if label.lost else label.kind,
                _number(label.dsc, ".3f"),
                *(_number(x, ".2f") for x in distances),
                f"{label.reference_ml:.1f}",
                f"{label.warped_ml:.1f}",
                f"{100 * label.volume_change:+.1f}",
            ]
        )
    emit_table(case, columns, rows)
    whole, organ = quality.jacobian, quality.organ_jacobian
    lines = [["RMSD", f"{_number(quality.rmsd_mm, '.2f')} mm"]]
    if quality.target is not None:
        error = quality.target
        lines.append(
            [
                f"TRE of {error.count} points",
                f"mean {error.mean_mm:.2f}, p95 {error.p95_mm:.2f}, max {error.max_mm:.2f} mm",
            ]
        )
    for where, found in (("whole transform", whole), ("organs", organ)):
        if found is not None:
            folding, corners = 100 * found.folding_fraction, 100 * found.corner_folding_fraction
            lines.append(
                [
                    f"Jacobian, {where}",
                    f"{found.minimum:.3f} to {found.maximum:.3f}, std of log {_number(found.log_std, '.3f')}, "
                    f"folding {folding:.3g} % (corners {corners:.3g} %)",
                ]
            )
    emit_table("registration", ["measure", "value"], lines)


def _print_many(outcomes: list[RegistrationOutcome], rrmsd: float | None, count: int) -> None:
    rows = []
    for one in outcomes:
        if one.quality is None:
            rows.append([one.case, one.status, *["-"] * 6])
            continue
        labels = one.quality.labels
        organs = [label for label in labels if label.kind == "organ"]
        landmarks = [label.mcd_mm for label in labels if label.kind == "landmark"]
        target = one.quality.target
        rows.append(
            [
                one.case,
                one.status,
                _number(one.quality.rmsd_mm, ".2f"),
                _number(_mean([label.dsc for label in organs]), ".3f"),
                _number(_mean([label.msd_mm for label in organs]), ".2f"),
                _number(_mean(landmarks), ".2f"),
                "-" if target is None else f"{target.mean_mm:.2f}",
                f"{100 * one.quality.jacobian.folding_fraction:.3g}",
            ]
        )
    told = "none" if rrmsd is None else f"{rrmsd:.2f} mm"
    columns = ["case", "status", "RMSD mm", "DSC organs", "MSD mm", "MCD mm", "TRE mm", "folding %"]
    emit_table(f"RRMSD {told} over {count} of {len(outcomes)} cases", columns, rows)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _as_json(quality: RegistrationQuality) -> Any:
    labels = [asdict(label) | {"volume_change": label.volume_change} for label in quality.labels]
    target = None
    if quality.target is not None:
        target = {key: value for key, value in asdict(quality.target).items() if key != "each_mm"}
        target["each_mm"] = quality.target.each_mm.tolist()
    return _finite(
        {
            "rmsd_mm": quality.rmsd_mm,
            "lost": list(quality.lost),
            "labels": labels,
            "target": target,
            "jacobian": asdict(quality.jacobian),
            "organ_jacobian": None if quality.organ_jacobian is None else asdict(quality.organ_jacobian),
            "notes": list(quality.notes),
        }
    )


def _finite(value: Any) -> Any:
    """JSON has no NaN: what could not be measured is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
