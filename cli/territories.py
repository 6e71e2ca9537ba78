"""The command `sirtjax territories`: divide the liver into perfusion territories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson, ForceFile, LabelOutput, LiverName

if TYPE_CHECKING:
    from sirtjax.territories import TerritoryFractions


def territories(
    liver: Annotated[Path, typer.Argument(help="Liver mask: NIfTI, NRRD, RTSTRUCT or SEG.")],
    output: LabelOutput,
    lines: Annotated[
        list[Path] | None,
        typer.Option("--lines", help="File with the dividing lines of one surface (.json, .mrk.json); repeatable."),
    ] = None,
    masks: Annotated[list[Path] | None, typer.Option("--masks", help="File of territory masks; repeatable.")] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Territory name, from the patient's right to left; repeatable."),
    ] = None,
    seed: Annotated[
        list[str] | None,
        typer.Option("--seed", help="Point x,y,z (LPS, mm) in each territory except the last; one per surface."),
    ] = None,
    liver_name: LiverName = None,
    reference: Annotated[Path | None, typer.Option(help="Image on which an RTSTRUCT was contoured.")] = None,
    activity: Annotated[
        Path | None, typer.Option(help="SPECT or PET in the liver's frame, to add the fractions of activity.")
    ] = None,
    drawing_error_mm: Annotated[
        float | None,
        typer.Option(min=0.0, help="RMS distance allowed between surface and lines, mm (default: estimated)."),
    ] = None,
    allow_crossing: Annotated[
        bool, typer.Option("--allow-crossing", help="Accept surfaces that cross inside the liver.")
    ] = False,
    overlap: Annotated[
        Literal["nearest", "first", "error"], typer.Option(help="Territory of liver that is in several masks.")
    ] = "nearest",
    gap: Annotated[
        Literal["leave", "nearest"],
        typer.Option(help="Liver outside all masks: leave it unassigned or assign it to the nearest territory."),
    ] = "leave",
    force: ForceFile = False,
    as_json: AsJson = False,
) -> None:
    """Divide the liver into perfusion territories from drawn lines or masks.

    Every dividing surface is fitted through lines drawn on two or more slices. The first name is the territory on the
    patient's right of the first surface (or with its seed), the last name is the remaining liver.
    """
    from sirtjax.reports import divide_liver_file

    with _console.progress("territories") as on_step:
        done = divide_liver_file(
            liver,
            output,
            lines=lines or (),
            masks=masks or (),
            names=name or (),
            seeds=seed or (),
            liver_name=liver_name,
            reference=reference,
            activity=activity,
            drawing_error_mm=drawing_error_mm,
            allow_crossing=allow_crossing,
            overlap=overlap,
            gap=gap,
            force=force,
            on_step=on_step,
            on_note=_console.note,
        )
    if as_json:
        _console.emit_json(done.to_json())
    else:
        _print(done.shares, output)


def _print(shares: TerritoryFractions, output: Path) -> None:
    names = (*shares.names, "(no territory)")
    volumes = (*shares.volume_ml, shares.gap_ml)
    columns = ["territory", "mL", "% of liver"]
    rows = [
        [name, f"{volume:.1f}", f"{100 * volume / shares.liver_volume_ml:.1f}"]
        for name, volume in zip(names, volumes, strict=True)
    ]
    if shares.activity_fraction is not None and shares.gap_activity_fraction is not None:
        columns.append("% of activity")
        for row, fraction in zip(rows, (*shares.activity_fraction, shares.gap_activity_fraction), strict=True):
            row.append(f"{100 * fraction:.1f}")
    _console.emit_table("Perfusion territories", columns, rows)
    if shares.overlap_ml or shares.outside_ml:
        _console.note(
            f"the masks overlapped in {shares.overlap_ml:.1f} mL and reached {shares.outside_ml:.1f} mL "
            "outside the liver"
        )
    _console.note(f"written: {output}")
