"""The command `sirtjax warp`: an image, masks, an activity map or points through transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sirtjax.cli import _console
from sirtjax.cli._console import use_compilation_cache
from sirtjax.cli._options import AsJson, ForceFile


def warp(
    source: Annotated[
        Path,
        typer.Argument(help="Image, masks (NIfTI, NRRD, DICOM) or points (.csv, .mrk.json, .fcsv)."),
    ],
    transform: Annotated[
        list[Path],
        typer.Option("--transform", "-t", help="Transform (.h5, .tfm, .mat, .nii.gz); repeatable, applied in order."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write: .nii.gz; masks also .seg.nrrd; points .csv, .mrk.json."),
    ],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", "-r", help="Image that defines the output grid (not needed for points)."),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="SOURCE contains masks: use nearest-neighbour interpolation."),
    ] = False,
    activity: Annotated[
        bool, typer.Option("--activity", help="SOURCE is an activity map: preserve its total activity.")
    ] = False,
    order: Annotated[
        Literal["linear", "cubic", "nearest"] | None,
        typer.Option(help="Interpolation of an image (default: linear)."),
    ] = None,
    invert: Annotated[
        bool,
        typer.Option("--invert", help="Apply the inverse, e.g. to move points from floating to reference."),
    ] = False,
    fill: Annotated[
        float | None, typer.Option(help="Value outside the image (default: -1024 for HU, otherwise 0).")
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="DICOM series of SOURCE (see `sirtjax series`).", show_default=False)
    ] = None,
    reference_series: Annotated[str | None, typer.Option(help="DICOM series of the reference image.")] = None,
    contoured_on: Annotated[
        Path | None, typer.Option(help="Image on which an RTSTRUCT was contoured (with --labels).")
    ] = None,
    force: ForceFile = False,
    as_json: AsJson = False,
) -> None:
    """Apply one or more transforms to an image, masks, an activity map or points.

    A transform maps points of its reference image to its floating image. Therefore images go from floating to
    reference, on the grid of --reference, and points from reference to floating. --invert reverses both directions.

    Several transforms are applied in the order in which an image goes through them: a SPECT registered to its CT, and
    that CT to the planning CT, takes the SPECT to the planning CT by

    sirtjax warp spect.nii.gz --activity -t spect-to-ct.h5 -t ct-to-planning.h5 -r planning.nii.gz -o out.nii.gz

    and a point of the planning CT to the SPECT by

    sirtjax warp points.csv -t spect-to-ct.h5 -t ct-to-planning.h5 -o out.csv
    """
    use_compilation_cache()
    from sirtjax.reports import warp_file

    with _console.progress("warp") as on_step:
        done = warp_file(
            source,
            transform,
            output,
            reference=reference,
            labels=labels,
            activity=activity,
            order=order,
            invert=invert,
            fill=fill,
            series=series,
            reference_series=reference_series,
            contoured_on=contoured_on,
            force=force,
            on_step=on_step,
            on_note=_console.note,
        )
    if as_json:
        _console.emit_json({"source": str(source), "output": str(output), **done})
    else:
        _print(done, output)


def _print(done: dict[str, Any], output: Path) -> None:
    if "masks" in done:
        rows = [
            [name, str(row["value"]), f"{row['before_ml']:.2f}", f"{row['after_ml']:.2f}"]
            for name, row in done["masks"].items()
        ]
        _console.emit_table(f"masks on {done['grid']}", ["mask", "value", "mL before", "mL after"], rows)
    elif "points" in done:
        _console.note(f"{done['points']} points moved to the {done['to']}, by up to {done['farthest_mm']:.1f} mm")
    elif "total_after" in done:
        per = "counts" if done["unit"] == "counts" else f"{done['unit']} x mL"
        _console.note(f"total {done['total_before']:.6g} {per} before, {done['total_after']:.6g} after")
    _console.note(f"written to {output}")
