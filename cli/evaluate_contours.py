"""The command `sirtjax evaluate contours`: the variation between contours of several observers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sirtjax.cli._console import emit_json, emit_table, emit_text
from sirtjax.cli._options import AsJson, LabelNames


def contours(
    files: Annotated[
        list[Path], typer.Argument(help="Mask files (NIfTI, SEG), one per observer, on one grid.", show_default=False)
    ],
    label_names: LabelNames = None,
    label: Annotated[list[str] | None, typer.Option(help="Compare only this structure; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how much contours of several observers differ, for the uncertainty of a case.

    Example: sirtjax evaluate contours anna.nii.gz ben.nii.gz carla.nii.gz --label-names 1=liver,2=lesion.
    Prints the standard deviation and the correlation length of the displacement, as a table for the case file.
    """
    from sirtjax.studies import compare_observers

    study = compare_observers(files, names=label_names, only=label or ())
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
