"""`sirtjax evaluate segmentation`: how good masks are, against masks that are taken for right."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sirtjax.cli._console import emit_json, emit_table, note, progress
from sirtjax.cli._options import AsJson
from sirtjax.errors import ComputationError, ConfigError, OutputError
from sirtjax.studies import (
    BodySize,
    MeasuredSegmentation,
    SegmentationCase,
    SegmentationRules,
    box_groups,
    compare_all,
    compare_models,
    measure_segmentations,
    read_segmentation_cases,
    summary,
    write_measured,
)

if TYPE_CHECKING:
    from sirtjax.metrics import Connectivity

CONNECTIVITIES: dict[int, Connectivity] = {6: 6, 18: 18, 26: 26}
SHOWN = (
    "dsc",
    "volume_ratio",
    "msd_mm",
    "hd95_mm",
    "hd_mm",
    "surface_dsc",
    "false_negative_rate",
    "false_positive_rate",
)
TITLES = ["DSC", "RV", "MSD mm", "HD95 mm", "HD mm", "surface DSC", "FNR", "FPR"]


def segmentation(
    predicted: Annotated[Path | None, typer.Argument(help="Mask to judge: NIfTI or SEG.", show_default=False)] = None,
    reference: Annotated[Path | None, typer.Argument(help="Mask taken for right.", show_default=False)] = None,
    names: Annotated[str | None, typer.Option(help="Names of label values, both files: 1=liver,2=lesion.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Measure this label alone; repeat.")] = None,
    lesions: Annotated[list[str] | None, typer.Option(help="Count this label's components as lesions.")] = None,
    liver: Annotated[str, typer.Option(help="Name of the liver.")] = "liver",
    as_drawn: Annotated[
        bool, typer.Option("--as-drawn", help="Don't add to the liver what its label map has inside it.")
    ] = False,
    tolerance_mm: Annotated[float, typer.Option(min=0, help="Of the surface DSC.")] = 2.0,
    connectivity: Annotated[int, typer.Option(help="Of a lesion: 6, 18 or 26.")] = 26,
    minimum_ml: Annotated[float, typer.Option(min=0, help="Leave out lesions smaller than this.")] = 0.0,
    height_m: Annotated[float | None, typer.Option(help="For the ratio of BSA activities.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="For the ratio of BSA activities.")] = None,
    tumour_ml: Annotated[float | None, typer.Option(help="For the ratio of BSA activities.")] = None,
    cases: Annotated[Path | None, typer.Option(help="Table of cases (CSV) in place of two files.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Table to write (.csv).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Box plots to write (.png).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace outputs that exist.")] = False,
    as_json: AsJson = False,
) -> None:
    """Overlap, volumes, surface distances and lesions found, per case and summed up; models compared by paired tests.

    Example: sirtjax evaluate segmentation found.nii.gz drawn.nii.gz --names 1=liver,2=lesion --lesions lesion.
    With --cases, a column "model" names what is compared; the exit code is 1 if any case could not be measured.
    """
    _check_outputs((output, plot), force)
    if connectivity not in CONNECTIVITIES:
        raise ConfigError(f"--connectivity is {connectivity}; expected 6, 18 or 26")
    rules = SegmentationRules(
        labels=tuple(label or ()),
        lesions=tuple(lesions or ()),
        liver=liver,
        tolerance_mm=tolerance_mm,
        connectivity=CONNECTIVITIES[connectivity],
        minimum_ml=minimum_ml,
        as_drawn=as_drawn,
    )
    body = _body(height_m, weight_kg, tumour_ml)
    listed = _listed(predicted, reference, names, cases, body)
    with progress("evaluate") as report:
        measured = measure_segmentations(listed, rules=rules, on_case=report)
    if output is not None:
        write_measured(output, measured, force=force)
    if plot is not None:
        _draw(plot, measured, force)
    if as_json:
        emit_json(_as_json(measured, rules))
    else:
        _print(measured, rules)
    bad = [one for one in measured if one.reason]
    if bad:
        raise ComputationError(
            f"{len(bad)} of {len(listed)} cases could not be measured; the first is {bad[0].case}: {bad[0].reason}"
        )


def _check_outputs(paths: tuple[Path | None, ...], force: bool) -> None:
    for path in paths:
        if path is not None and path.exists() and not force:
            raise OutputError(f"{path}: exists already; choose another name or give --force")


def _body(height_m: float | None, weight_kg: float | None, tumour_ml: float | None) -> BodySize | None:
    if height_m is None and weight_kg is None and tumour_ml is None:
        return None
    if height_m is None or weight_kg is None or tumour_ml is None:
        raise ConfigError("--height-m, --weight-kg and --tumour-ml go together; give all three")
    return BodySize(height_m=height_m, weight_kg=weight_kg, tumour_ml=tumour_ml)


def _listed(
    predicted: Path | None, reference: Path | None, names: str | None, cases: Path | None, body: BodySize | None
) -> list[SegmentationCase]:
    if cases is not None:
        if predicted is not None or body is not None:
            raise ConfigError(
                "--cases names the files of every case; leave out PREDICTED and REFERENCE, height and weight"
            )
        from dataclasses import replace

        return [
            replace(
                one,
                predicted_names=one.predicted_names or names,
                reference_names=one.reference_names or names,
            )
            for one in read_segmentation_cases(cases)
        ]
    if predicted is None or reference is None:
        raise ConfigError("give PREDICTED and REFERENCE, or a table with --cases")
    name = predicted.name.removesuffix(".gz").removesuffix(".nii")
    return [
        SegmentationCase(
            case=name,
            predicted=predicted,
            reference=reference,
            predicted_names=names,
            reference_names=names,
            body=body,
        )
    ]


def _draw(path: Path, measured: list[MeasuredSegmentation], force: bool) -> None:
    from sirtjax import io, reports

    groups = box_groups(measured)
    if not groups:
        raise ComputationError(f"{path}: no case could be measured, so there is nothing to draw")
    figure = reports.box_plots(groups)
    with io.atomic_path(path, force=force) as temporary:
        figure.savefig(temporary, dpi=150)


def _print(measured: list[MeasuredSegmentation], rules: SegmentationRules) -> None:
    rows = []
    for one in measured:
        head = [one.case, one.model, one.label]
        if one.reason:
            rows.append([*head, "failed", *["-"] * len(SHOWN)])
            continue
        state = f"empty {one.empty}" if one.empty else "measured"
        rows.append([*head, state, *(_number(one.figures[name]) for name in SHOWN)])
    emit_table("segmentation", ["case", "model", "label", "status", *TITLES], rows)
    counted = [one for one in measured if "detected" in one.figures]
    if counted:
        _print_lesions(counted, rules)
    ratios = [one for one in measured if "activity_ratio" in one.figures]
    if ratios:
        lines = [[one.case, one.model, _number(one.figures["activity_ratio"])] for one in ratios]
        emit_table("ratio of activities (BSA)", ["case", "model", "RA"], lines)
    if len({one.case for one in measured}) > 1:
        _print_summary(measured)
    _print_tests(measured)
    for one in measured:
        if one.reason:
            note(f"{one.case}: {one.reason}")


def _print_lesions(counted: list[MeasuredSegmentation], rules: SegmentationRules) -> None:
    names = ("reference_count", "detected", "missed", "false_positives")
    rows = [
        [
            one.case,
            one.model,
            one.label,
            *(f"{one.figures[name]:.0f}" for name in names),
            _number(one.figures["sensitivity"]),
            _number(one.figures["precision"]),
        ]
        for one in counted
    ]
    title = (
        f"lesions: {rules.connectivity} neighbours, from {rules.minimum_ml:g} mL, any common voxel is a detection; "
        "per case, none drawn: no sensitivity"
    )
    emit_table(title, ["case", "model", "label", "drawn", "TP", "FN", "FP", "sensitivity", "precision"], rows)


def _print_summary(measured: list[MeasuredSegmentation]) -> None:
    rows = [
        [
            row["metric"],
            row["model"],
            row["label"],
            f"{_number(row['mean'])} ± {_number(row['sd'])}",
            _number(row["median"]),
            f"{_number(row['minimum'])} to {_number(row['maximum'])}",
            f"{row['measured']} of {row['cases']}",
        ]
        for row in summary(measured)
    ]
    emit_table(
        "over the cases that have the figure", ["metric", "model", "label", "mean", "median", "range", "cases"], rows
    )


def _print_tests(measured: list[MeasuredSegmentation]) -> None:
    rows = [
        [
            metric,
            label,
            f"{first} - {second}",
            f"{test.mean_difference:+.4g}",
            test.test,
            f"{test.p:.3g}",
            "yes" if test.significant else "no",
            str(test.count),
        ]
        for label, metric, first, second, test in compare_models(measured)
    ]
    if rows:
        columns = ["metric", "label", "models", "mean difference", "test", "p", "p < 0.05", "cases"]
        emit_table("paired tests, chosen by Shapiro and Wilk's", columns, rows)
    several = [[metric, label, f"{p:.3g}"] for label, metric, p in compare_all(measured)]
    if several:
        emit_table("all models (Kruskal-Wallis)", ["metric", "label", "p"], several)


def _as_json(measured: list[MeasuredSegmentation], rules: SegmentationRules) -> dict[str, Any]:
    tests = [
        {
            "label": label,
            "metric": metric,
            "first": first,
            "second": second,
            "test": test.test,
            "p": test.p,
            "mean_difference": test.mean_difference,
            "normality_p": list(test.normality_p),
            "cases": test.count,
        }
        for label, metric, first, second, test in compare_models(measured)
    ]
    several = [{"label": label, "metric": metric, "p": p} for label, metric, p in compare_all(measured)]
    return {
        "rules": {
            "tolerance_mm": rules.tolerance_mm,
            "connectivity": rules.connectivity,
            "minimum_ml": rules.minimum_ml,
        },
        "cases": [
            {
                "case": one.case,
                "model": one.model,
                "label": one.label,
                "empty": one.empty,
                "reason": one.reason,
                "figures": {name: _finite(value) for name, value in one.figures.items()},
            }
            for one in measured
        ],
        "summary": [{key: _finite(value) for key, value in row.items()} for row in summary(measured)],
        "paired_tests": tests,
        "kruskal_wallis": several,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
