"""The command `sirtjax evaluate contours`: the uncertainty of contours, from observers or from a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, emit_text, note
from sirtjax.cli._options import AsJson, LabelNames
from sirtjax.errors import ConfigError


def contours(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Mask files (NIfTI, SEG), one per observer, on one grid.", show_default=False),
    ] = None,
    label_names: LabelNames = None,
    label: Annotated[list[str] | None, typer.Option(help="Compare only this structure; repeatable.")] = None,
    probability: Annotated[
        Path | None,
        typer.Option(help="Probabilities of a network (segment --save-probabilities) instead of masks."),
    ] = None,
    correlation_mm: Annotated[
        float | None, typer.Option(help="Correlation length of the contour's errors; required with --probability.")
    ] = None,
    keep_holes: Annotated[
        bool, typer.Option("--keep-holes", help="Do not add labels enclosed by the liver to the liver mask.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the uncertainty of contours: how much observers differ, or how certain a network is.

    Example: sirtjax evaluate contours anna.nii.gz ben.nii.gz carla.nii.gz --label-names 1=liver,2=lesion.
    Prints the standard deviation and the correlation length of the displacement, as a table for the case file.
    """
    from sirtjax.studies import compare_observers, read_contour_probability

    if (probability is None) != (correlation_mm is None) or (
        probability is not None and (files or label_names or label)
    ):
        raise ConfigError("--probability and --correlation-mm belong together, without mask files and labels")
    if probability is not None and correlation_mm is not None:
        certain = read_contour_probability(probability, correlation_mm=correlation_mm)
        emit_json(certain.to_json()) if as_json else emit_text(certain.case_table())
        return
    study = compare_observers(files or [], names=label_names, only=label or (), keep_holes=keep_holes)
    for line in study.notes:
        note(line)
    if as_json:
        emit_json(study.to_json())
        return
    rows = [
        [name, f"{one.size_mm:.2f}", f"{one.correlation_mm:.0f}", str(one.points)]
        for name, one in study.structures.items()
    ]
    columns = ["structure", "sd mm", "correlation mm", "points"]
    emit_table(f"Variation between {study.observers} observers", columns, rows)
    emit_text(study.case_table())
