"""The command `sirtjax evaluate segmentation`: metrics of masks compared with reference masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, format_number, note, progress
from sirtjax.cli._options import AsJson, ForceFile, LabelNames
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.metrics import Connectivity
    from sirtjax.studies import BodySize, MeasuredSegmentation, SegmentationCase, SegmentationRules, SegmentationStudy

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
    predicted: Annotated[Path | None, typer.Argument(help="Mask to evaluate (NIfTI, SEG).", show_default=False)] = None,
    reference: Annotated[Path | None, typer.Argument(help="Reference mask (NIfTI, SEG).", show_default=False)] = None,
    label_names: LabelNames = None,
    label: Annotated[list[str] | None, typer.Option(help="Evaluate only this label; repeatable.")] = None,
    lesions: Annotated[
        list[str] | None, typer.Option(help="Label whose connected components are lesions; repeatable.")
    ] = None,
    liver: Annotated[str, typer.Option(help="Name of the liver.")] = "liver",
    keep_holes: Annotated[
        bool, typer.Option("--keep-holes", help="Do not add labels enclosed by the liver to the liver mask.")
    ] = False,
    tolerance_mm: Annotated[float, typer.Option(min=0, help="Tolerance of the surface Dice, mm.")] = 2.0,
    connectivity: Annotated[int, typer.Option(help="Voxel connectivity of a lesion: 6, 18 or 26.")] = 26,
    min_volume_ml: Annotated[float, typer.Option(min=0, help="Exclude lesions smaller than this, mL.")] = 0.0,
    height_m: Annotated[float | None, typer.Option(help="Body height for the ratio of BSA activities, m.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Body weight for the ratio of BSA activities, kg.")] = None,
    tumour_ml: Annotated[float | None, typer.Option(help="Tumour volume for the ratio of BSA activities, mL.")] = None,
    cases: Annotated[Path | None, typer.Option(help="Table of cases (CSV), used instead of two files.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV table to write, one row per case and label.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Box plots to write (.png, .pdf or .svg).")] = None,
    force: ForceFile = False,
    as_json: AsJson = False,
) -> None:
    """Compute Dice, volumes, surface distances and lesion detection; compare models.

    Example: sirtjax evaluate segmentation found.nii.gz drawn.nii.gz --label-names 1=liver,2=lesion --lesions lesion.
    With --cases, the column "model" names the model of each row; the exit code is 1 if a case could not be evaluated.
    """
    from sirtjax import studies

    if connectivity not in CONNECTIVITIES:
        raise ConfigError(f"--connectivity is {connectivity}; expected 6, 18 or 26")
    rules = studies.SegmentationRules(
        labels=tuple(label or ()),
        lesions=tuple(lesions or ()),
        liver=liver,
        tolerance_mm=tolerance_mm,
        connectivity=CONNECTIVITIES[connectivity],
        min_volume_ml=min_volume_ml,
        keep_holes=keep_holes,
    )
    body = _body(height_m, weight_kg, tumour_ml)
    listed = _listed(predicted, reference, label_names, cases, body)
    with progress("evaluate") as on_step:
        study = studies.evaluate_segmentation_cases(
            listed, rules=rules, output=output, plot=plot, force=force, on_case=on_step
        )
    if as_json:
        emit_json(study.to_json())
    else:
        _print(study)
    study.check_complete()


def _body(height_m: float | None, weight_kg: float | None, tumour_ml: float | None) -> BodySize | None:
    if height_m is None and weight_kg is None and tumour_ml is None:
        return None
    if height_m is None or weight_kg is None or tumour_ml is None:
        raise ConfigError("--height-m, --weight-kg and --tumour-ml go together; give all three")
    from sirtjax.studies import BodySize

    return BodySize(height_m=height_m, weight_kg=weight_kg, tumour_ml=tumour_ml)


def _listed(
    predicted: Path | None, reference: Path | None, label_names: str | None, cases: Path | None, body: BodySize | None
) -> list[SegmentationCase]:
    from sirtjax.studies import SegmentationCase, read_segmentation_cases

    if cases is not None:
        if predicted is not None or body is not None:
            raise ConfigError("--cases names the files of every case; omit PREDICTED and REFERENCE, height and weight")
        from dataclasses import replace

        return [
            replace(
                one,
                predicted_names=one.predicted_names or label_names,
                reference_names=one.reference_names or label_names,
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
            predicted_names=label_names,
            reference_names=label_names,
            body=body,
        )
    ]


def _print(study: SegmentationStudy) -> None:
    measured, rules = study.measured, study.rules
    rows = []
    for one in measured:
        head = [one.case, one.model, one.label]
        if one.reason:
            rows.append([*head, "failed", *["-"] * len(SHOWN)])
            continue
        state = f"empty {one.empty}" if one.empty else "measured"
        rows.append([*head, state, *(format_number(one.figures[name], ".3f") for name in SHOWN)])
    emit_table("segmentation", ["case", "model", "label", "status", *TITLES], rows)
    counted = [one for one in measured if "detected" in one.figures]
    if counted:
        _print_lesions(counted, rules)
    ratios = [one for one in measured if "activity_ratio" in one.figures]
    if ratios:
        lines = [[one.case, one.model, format_number(one.figures["activity_ratio"], ".3f")] for one in ratios]
        emit_table("ratio of activities (BSA)", ["case", "model", "RA"], lines)
    if len({one.case for one in measured}) > 1:
        _print_summary(study)
    _print_tests(study)
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
            format_number(one.figures["sensitivity"], ".3f"),
            format_number(one.figures["precision"], ".3f"),
        ]
        for one in counted
    ]
    title = (
        f"lesions: {rules.connectivity} neighbours, from {rules.min_volume_ml:g} mL, any common voxel is a detection; "
        "per case, none drawn: no sensitivity"
    )
    emit_table(title, ["case", "model", "label", "drawn", "TP", "FN", "FP", "sensitivity", "precision"], rows)


def _print_summary(study: SegmentationStudy) -> None:
    rows = [
        [
            row["metric"],
            row["model"],
            row["label"],
            f"{format_number(row['mean'], '.3f')} ± {format_number(row['sd'], '.3f')}",
            format_number(row["median"], ".3f"),
            f"{format_number(row['minimum'], '.3f')} to {format_number(row['maximum'], '.3f')}",
            f"{row['measured']} of {row['cases']}",
        ]
        for row in study.summary
    ]
    emit_table(
        "over the cases that have the figure", ["metric", "model", "label", "mean", "median", "range", "cases"], rows
    )


def _print_tests(study: SegmentationStudy) -> None:
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
        for label, metric, first, second, test in study.paired_tests
    ]
    if rows:
        columns = ["metric", "label", "models", "mean difference", "test", "p", "p < 0.05", "cases"]
        emit_table("paired tests, chosen by Shapiro and Wilk's", columns, rows)
    several = [[metric, label, f"{p:.3g}"] for label, metric, p in study.group_tests]
    if several:
        emit_table("all models (Kruskal-Wallis)", ["metric", "label", "p"], several)
