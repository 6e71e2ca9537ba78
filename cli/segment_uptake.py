"""The command `sirtjax uptake`: lesions on PET by their uptake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson, ForceFile, LabelOutput, LiverName, Series
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.reports import UptakeFile


def _list_rules(asked: bool) -> None:
    if asked:
        from sirtjax.segmentation import get_uptake_rule, list_uptake_rules

        for name in list_uptake_rules():
            print(f"{name}\t{get_uptake_rule(name).source}")
        raise typer.Exit


def uptake(
    pet: Annotated[Path, typer.Argument(help="PET: NIfTI, NRRD or DICOM file, or DICOM folder.")],
    output: LabelOutput,
    min_volume_ml: Annotated[float, typer.Option(min=0.0, help="Smallest lesion to keep, mL.")],
    rule: Annotated[str | None, typer.Option(help="Named rule, e.g. percist or percent-41 (see --list-rules).")] = None,
    threshold: Annotated[float | None, typer.Option(help="Fixed SUV, used instead of a rule.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Fraction of the maximum, used instead of a rule.")] = None,
    liver: Annotated[Path | None, typer.Option(help="Liver mask: the region to search, and the reference.")] = None,
    liver_name: LiverName = None,
    margin_mm: Annotated[float, typer.Option(min=0.0, help="Distance beyond the liver to search, mm.")] = 0.0,
    regions: Annotated[
        Path | None, typer.Option(help="Masks around each lesion, for a fraction of the maximum.")
    ] = None,
    reference_mm: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Centre of the liver reference sphere, LPS, mm (default: automatic)."),
    ] = None,
    series: Series = None,
    unit: Annotated[
        Literal["SUV", "Bq/mL"] | None, typer.Option(help="Voxel unit of a NIfTI file: SUV or Bq/mL.")
    ] = None,
    injected_mbq: Annotated[float | None, typer.Option(help="Activity at injection for SUV, MBq.")] = None,
    injection_to_reference_h: Annotated[
        float | None, typer.Option(help="Time from injection to the image's reference time for SUV, h.")
    ] = None,
    half_life_h: Annotated[float | None, typer.Option(help="Half-life of the nuclide for SUV, h.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Body weight for SUV, kg.")] = None,
    force: ForceFile = False,
    as_json: AsJson = False,
    list_rules: Annotated[
        bool,
        typer.Option("--list-rules", callback=_list_rules, is_eager=True, help="List the rules with sources and exit."),
    ] = False,
) -> None:
    """Segment PET lesions by threshold (SUV, fraction of maximum, PERCIST).

    Activity, times, half-life and weight for SUV are read from a DICOM series unless they are provided as options.
    Lesions are named lesion-1, lesion-2, ... from the largest, or as their regions.
    """
    from sirtjax.reports import SuvInputs, segment_uptake_file

    centre_mm = None if reference_mm is None else _point(reference_mm)
    with _console.progress("uptake") as on_step:
        done = segment_uptake_file(
            pet,
            output,
            min_volume_ml=min_volume_ml,
            rule=rule,
            threshold=threshold,
            fraction=fraction,
            liver=liver,
            liver_name=liver_name,
            margin_mm=margin_mm,
            regions=regions,
            reference_mm=centre_mm,
            series=series,
            unit=unit,
            suv=SuvInputs(
                injected_mbq=injected_mbq,
                injection_to_reference_h=injection_to_reference_h,
                half_life_h=half_life_h,
                weight_kg=weight_kg,
            ),
            force=force,
            on_step=on_step,
        )
    if as_json:
        _console.emit_json(done.to_json())
    else:
        _print(done)


def _point(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--reference-mm must be three numbers x,y,z in mm, got {text!r}") from None
    return x, y, z


def _print(done: UptakeFile) -> None:
    found, measured, unit = done.found, done.lesions, done.unit
    at = "" if found.threshold is None else f", {unit} {found.threshold:.3g}"
    rows = [
        [
            one.name,
            f"{one.volume_ml:.2f}",
            f"{one.maximum:.4g}",
            f"{one.mean:.4g}",
            f"{one.peak:.4g}",
            f"{one.total:.4g}",
        ]
        for one in measured
    ]
    columns = ["lesion", "mL", f"{unit} max", "mean", "peak 1 mL", "mean x mL"]
    _console.emit_table(f"{found.rule.name}{at}: {found.rule.source}", columns, rows)
    if found.reference is not None:
        centre = ", ".join(f"{x:.0f}" for x in found.reference.centre_mm)
        _console.note(
            f"liver reference {found.reference.mean:.3g} ± {found.reference.sd:.2g} in a sphere of "
            f"{found.reference.diameter_mm:g} mm at ({centre}) mm LPS, placed {found.reference.placed}"
        )
    if not measured:
        _console.note("no lesion meets the rule")
    _console.note(f"written to {done.output}")
