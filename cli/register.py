"""The command `sirtjax register`: two images in, the transform between them and a report out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli._console import emit_json, emit_table, format_number, note, progress, use_compilation_cache
from sirtjax.cli._options import (
    FloLabels,
    FloPoints,
    Force,
    LabelNames,
    Modality,
    Output,
    RefLabels,
    RefPoints,
)

if TYPE_CHECKING:
    from sirtjax.reports import RegisteredFiles

SOURCES = "Series and modality"


def _source(*flags: str, text: str) -> Any:
    return typer.Option(*flags, help=text, show_default=False, rich_help_panel=SOURCES)


def register(
    reference: Annotated[Path, typer.Argument(help="Reference image: NIfTI, NRRD, DICOM file or folder.")],
    floating: Annotated[Path, typer.Argument(help="Floating image, registered to the reference.")],
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Preset: image, cnn, cnn-lm, descriptor, descriptor-guided, network, network-refined (default: masks)."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML), used instead of a preset.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a preset value, e.g. weights.image=0.5; repeatable."),
    ] = None,
    initial_transform: Annotated[
        Path | None, typer.Option(help="Initial ITK transform or field, from reference to floating points.")
    ] = None,
    ref_labels: RefLabels = None,
    flo_labels: FloLabels = None,
    label_names: LabelNames = None,
    masks: Annotated[str | None, typer.Option(help="Use only these masks, e.g. liver,lesion1.")] = None,
    keep_holes: Annotated[
        bool, typer.Option("--keep-holes", help="Do not add labels enclosed by the liver to the liver mask.")
    ] = False,
    segment_livers: Annotated[
        bool, typer.Option("--segment-livers", help="Segment the liver of each image that has no mask named liver.")
    ] = False,
    ref_points: RefPoints = None,
    flo_points: FloPoints = None,
    ref_series: Annotated[
        str | None, _source("--ref-series", text="DICOM series of the reference image: UID, number or description.")
    ] = None,
    flo_series: Annotated[
        str | None, _source("--flo-series", text="DICOM series of the floating image: UID, number or description.")
    ] = None,
    ref_modality: Annotated[
        Modality | None, _source("--ref-modality", text="Modality of the reference image if a NIfTI file.")
    ] = None,
    flo_modality: Annotated[
        Modality | None, _source("--flo-modality", text="Modality of the floating image if a NIfTI file.")
    ] = None,
    save_displacement: Annotated[
        bool, typer.Option("--save-displacement", help="Also write displacement.nii.gz (ITK, ANTs).")
    ] = False,
    field_grid: Annotated[
        Literal["lattice", "reference"] | None,
        typer.Option(help="Grid of displacement.nii.gz: lattice (default; exact, a few MB) or reference voxels."),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not write report.html.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the voxel sampling.")] = 0,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json on stdout.")] = False,
) -> None:
    """Register a floating image to a reference image (affine, then deformable).

    The transform maps points of the reference to the floating image, which is how images are resampled. The exit code
    is 0 only for the status success; check report.html before you use the result.
    """
    from sirtjax.errors import ConfigError

    if field_grid is not None and not save_displacement:
        raise ConfigError(
            f"--field-grid {field_grid}: sets the grid of the displacement field; add --save-displacement"
        )
    use_compilation_cache()
    from sirtjax.registration import ImageFiles
    from sirtjax.reports import register_files

    with progress("register") as on_step:
        done = register_files(
            ImageFiles(
                image=reference,
                labels=ref_labels or (),
                points=ref_points,
                series=ref_series,
                modality=ref_modality,
            ),
            ImageFiles(
                image=floating,
                labels=flo_labels or (),
                points=flo_points,
                series=flo_series,
                modality=flo_modality,
            ),
            output,
            preset=preset,
            config=config,
            settings=override or (),
            initial_transform=initial_transform,
            label_names=label_names,
            masks=None if masks is None else [name for name in masks.split(",") if name.strip()],
            keep_holes=keep_holes,
            segment_livers=segment_livers,
            field_grid=(field_grid or "lattice") if save_displacement else None,
            page=not no_report,
            seed=seed,
            force=force,
            on_step=on_step,
            on_note=note,
        )
    _print(done, as_json=as_json)
    done.check_usable()


def _print(done: RegisteredFiles, *, as_json: bool) -> None:
    record = done.record
    if as_json:
        emit_json(record)
    else:
        moments = list(record["quality"])
        measures = list(dict.fromkeys(key for figures in record["quality"].values() for key in figures))
        blank = [""] * (len(moments) - 1)
        rows = [[key, *(format_number(record["quality"][moment].get(key)) for moment in moments)] for key in measures]
        folding = record["folding_fraction"]
        rows.append(["folded voxels (%)", *blank, format_number(None if folding is None else 100 * folding)])
        rows += [[f"fit {key}", *blank, format_number(value)] for key, value in record["fit"].items()]
        emit_table(str(record["status"]), ["measure", *moments], rows)
        note(f"{record['cause']}; {record['remedy']}")
    for line in record["notes"]:
        note(f"note: {line}")
    note(f"written to {done.output}")
