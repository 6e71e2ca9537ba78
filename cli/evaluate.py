"""The command `sirtjax evaluate registration`: metrics of one or many registrations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, format_number, note, progress, use_compilation_cache
from sirtjax.cli._options import AsJson, FloLabels, FloPoints, ForceFile, LabelNames, RefLabels, RefPoints
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.metrics import RegistrationQuality
    from sirtjax.studies import RegistrationCase, RegistrationStudy

app = typer.Typer(no_args_is_help=True, help="Evaluate a registration or a segmentation.")


@app.callback()
def _evaluate() -> None:
    """Evaluate a registration or a segmentation."""


@app.command()
def registration(
    transform: Annotated[
        str | None,
        typer.Argument(help="ITK or NIfTI transform from reference to floating points, or identity."),
    ] = None,
    ref_labels: RefLabels = None,
    flo_labels: FloLabels = None,
    reference: Annotated[
        Path | None, typer.Option(help="Reference image: its grid, and the image of an RTSTRUCT.")
    ] = None,
    floating: Annotated[Path | None, typer.Option(help="Floating image, required for its RTSTRUCT.")] = None,
    ref_points: RefPoints = None,
    flo_points: FloPoints = None,
    label_names: LabelNames = None,
    organ: Annotated[
        list[str] | None,
        typer.Option(help="Mask evaluated by its surface (default: liver), others by centroid; repeatable."),
    ] = None,
    keep_holes: Annotated[
        bool, typer.Option("--keep-holes", help="Do not add labels enclosed by an organ to the organ mask.")
    ] = False,
    cases: Annotated[Path | None, typer.Option(help="Table of cases (CSV), used instead of TRANSFORM.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV table to write, one row per case.")] = None,
    force: ForceFile = False,
    as_json: AsJson = False,
) -> None:
    """Compute Dice, surface and centroid distances, TRE and folding of transforms.

    Example: sirtjax evaluate registration transform.tfm --ref-labels ref.nii.gz --flo-labels flo.nii.gz
    --label-names 1=liver,2=lesion1. With --cases, the exit code is 1 if a case could not be evaluated.
    """
    from sirtjax.studies import RegistrationCase, read_registration_cases

    organs = tuple(organ or ("liver",))
    one_case = (transform, ref_labels, flo_labels, reference, floating, ref_points, flo_points)
    if cases is not None:
        if any(value is not None for value in one_case):
            raise ConfigError("--cases names the files of every case; omit TRANSFORM and the options of one case")
        listed = read_registration_cases(cases, names=label_names, organs=organs)
        _many(listed, keep_holes=keep_holes, output=output, force=force, as_json=as_json)
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
        names=label_names,
        organs=organs,
    )
    _one(files, keep_holes=keep_holes, output=output, force=force, as_json=as_json)


def _one(files: RegistrationCase, *, keep_holes: bool, output: Path | None, force: bool, as_json: bool) -> None:
    use_compilation_cache()
    from sirtjax import studies

    with progress("evaluate") as on_step:
        on_step("measuring")
        quality = studies.evaluate_registration_case(files, keep_holes=keep_holes, output=output, force=force)
    if as_json:
        emit_json(studies.quality_to_json(quality))
    else:
        _print(files.case, quality)
    for line in quality.notes:
        note(line)
    studies.check_measured(files.case, quality)


def _many(listed: list[RegistrationCase], *, keep_holes: bool, output: Path | None, force: bool, as_json: bool) -> None:
    use_compilation_cache()
    from sirtjax import studies

    with progress("evaluate") as on_step:
        study = studies.evaluate_registration_cases(
            listed, keep_holes=keep_holes, output=output, force=force, on_case=on_step
        )
    if as_json:
        emit_json(study.to_json())
    else:
        _print_many(study)
    for one in study.outcomes:
        for line in () if one.quality is None else one.quality.notes:
            note(f"{one.case}: {line}")
    study.check_complete()


def _print(case: str, quality: RegistrationQuality) -> None:
    columns = ["mask", "kind", "DSC", "MSD mm", "HD95 mm", "HD mm", "MCD mm", "ref mL", "warped mL", "volume %"]
    rows = []
    for label in quality.labels:
        distances = (label.msd_mm, label.hd95_mm, label.hd_mm, label.mcd_mm)
        rows.append(
            [
                label.name,
                "out_of_view" if label.out_of_view else label.kind,
                format_number(label.dsc, ".3f"),
                *(format_number(x, ".2f") for x in distances),
                f"{label.reference_ml:.1f}",
                f"{label.warped_ml:.1f}",
                f"{100 * label.volume_change:+.1f}",
            ]
        )
    emit_table(case, columns, rows)
    whole, organ = quality.jacobian, quality.organ_jacobian
    lines = [["RMSD", f"{format_number(quality.rmsd_mm, '.2f')} mm"]]
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
                    f"{found.minimum:.3f} to {found.maximum:.3f}, std of log {format_number(found.log_std, '.3f')}, "
                    f"folding {folding:.3g} % (corners {corners:.3g} %)",
                ]
            )
    emit_table("registration", ["measure", "value"], lines)


def _print_many(study: RegistrationStudy) -> None:
    rows = []
    for one in study.outcomes:
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
                format_number(one.quality.rmsd_mm, ".2f"),
                format_number(_mean([label.dsc for label in organs]), ".3f"),
                format_number(_mean([label.msd_mm for label in organs]), ".2f"),
                format_number(_mean(landmarks), ".2f"),
                "-" if target is None else f"{target.mean_mm:.2f}",
                f"{100 * one.quality.jacobian.folding_fraction:.3g}",
            ]
        )
    rrmsd = "none" if study.rrmsd_mm is None else f"{study.rrmsd_mm:.2f} mm"
    columns = ["case", "status", "RMSD mm", "DSC organs", "MSD mm", "MCD mm", "TRE mm", "folding %"]
    emit_table(f"RRMSD {rrmsd} over {study.count} of {len(study.outcomes)} cases", columns, rows)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
