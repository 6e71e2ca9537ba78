"""The commands `sirtjax segment liver|lesions|lungs|body|organs`: structures of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli import _console
from sirtjax.cli._option_records import with_records
from sirtjax.cli._options import AsJson, ForceFile, LabelOutput, LiverName, Series
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.reports import AtlasSegmentedFile, Segmented, SegmentedFile
    from sirtjax.segmentation import SegmentationFiles, Structure

Modality = Literal["CT", "MR"]
ATLASES = "Atlases (--method atlas)"
DIAGNOSTIC = "Diagnostic image (--with)"

app = typer.Typer(no_args_is_help=True, help="Segment liver, lesions, lungs, body or organs.")


def _atlas(text: str, **limits: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=ATLASES, **limits)


def _with(flag: str, text: str) -> Any:
    return typer.Option(flag, help=text, show_default=False, rich_help_panel=DIAGNOSTIC)


@dataclass(frozen=True, kw_only=True)
class DiagnosticArguments:
    """Options of a diagnostic image that helps to segment a low-dose CT."""

    diagnostic: Annotated[
        Path | None, _with("--with", "Diagnostic CT or MR of the patient: its liver is warped to IMAGE and corrected.")
    ] = None
    labels: Annotated[
        Path | None, _with("--with-labels", "Liver mask on the diagnostic image (default: found by the model).")
    ] = None
    liver_name: LiverName = None
    diagnostic_series: Annotated[
        str | None, _with("--with-series", "DICOM series of the diagnostic image: UID, number or description.")
    ] = None
    diagnostic_modality: Annotated[
        Modality | None, _with("--with-modality", "Modality of the diagnostic image if a NIfTI file.")
    ] = None
    diagnostic_preset: Annotated[
        str | None, _with("--with-preset", "Registration preset that works without masks (default: image).")
    ] = None


@dataclass(frozen=True, kw_only=True)
class SegmentArguments:
    """Options that all structures share."""

    image: Annotated[
        Path, typer.Argument(help="CT or MR: NIfTI, NRRD or DICOM file, or DICOM folder.", show_default=False)
    ]
    output: LabelOutput
    model: Annotated[
        str | None,
        typer.Option("--model", help="Installed model (see `sirtjax models list`) or its folder.", show_default=False),
    ] = None
    modality: Annotated[
        Modality | None, typer.Option(help="Modality of the image if a NIfTI file.", show_default=False)
    ] = None
    device: Annotated[
        Literal["cpu", "gpu", "tpu"] | None,
        typer.Option("--device", help="Device for the network (default: selected by JAX).", show_default=False),
    ] = None
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average predictions over flips (slightly better, much slower).")
    ] = False
    series: Series = None
    save_probabilities: Annotated[
        bool,
        typer.Option(
            "--save-probabilities", help="Also write OUTPUT_probability and OUTPUT_uncertainty (entropy, nats)."
        ),
    ] = False
    preview: Annotated[
        Path | None, typer.Option(help="Picture to write (.png): three planes with contours.", show_default=False)
    ] = None
    force: ForceFile = False
    as_json: AsJson = False

    def files(self) -> SegmentationFiles:
        """Returns the files to write, checked before the work begins."""
        from sirtjax.segmentation import segmentation_files

        return segmentation_files(
            self.output, save_probabilities=self.save_probabilities, preview=self.preview, force=self.force
        )


@app.callback()
def _structures() -> None:
    """Segment liver, lesions, lungs, body or organs."""


@app.command()
@with_records
def liver(
    arguments: SegmentArguments,
    diagnostic: DiagnosticArguments,
    method: Annotated[
        Literal["network", "atlas"], typer.Option(help="Method: a network, or registered atlases.")
    ] = "network",
    atlas: Annotated[Path | None, _atlas("Folder of atlases, see docs/atlas.md.", show_default=False)] = None,
    preset: Annotated[
        Literal["image", "descriptor"], _atlas("Registration preset; both work without masks.")
    ] = "image",
    fusion: Annotated[Literal["majority", "weighted", "staple"], _atlas("Fusion of the warped livers.")] = "weighted",
    min_atlases: Annotated[int, _atlas("Smallest number of usable atlases; STAPLE needs 3.", min=1)] = 1,
    min_similarity: Annotated[
        float, _atlas("Exclude atlases with a lower image similarity at the liver surface.", min=0, max=1)
    ] = 0.25,
    atlas_modality: Annotated[Modality, _atlas("Modality of the atlases.")] = "CT",
    atlas_label: Annotated[
        list[int] | None,
        _atlas("Value of the liver in the label maps of the atlases; repeatable.", min=1, show_default=False),
    ] = None,
) -> None:
    """Segment the liver (including lesions) on CT or MR.

    With --method network, quality flags are printed to stderr. With --method atlas, each image of the folder is
    registered to IMAGE, its liver is warped, and the livers are fused. With --with, the liver of a diagnostic image
    is warped to IMAGE, corrected by the network and compared with the network's own liver.
    """
    files = arguments.files()
    given = [value for value in vars(diagnostic).values() if value is not None]
    if given and (diagnostic.diagnostic is None or method == "atlas"):
        raise ConfigError("--with-labels, --with-preset and their like require --with and --method network; add both")
    if method == "network":
        if atlas is not None:
            raise ConfigError("--atlas requires --method atlas; add it or omit --atlas")
        if diagnostic.diagnostic is not None:
            _segment_with(diagnostic.diagnostic, diagnostic, arguments, files)
            return
        _segment("liver", arguments, files)
        return
    if arguments.model is not None or arguments.device is not None or arguments.mirror:
        raise ConfigError("--model, --device and --mirror are for --method network; leave them out")
    if atlas is None:
        raise ConfigError("--method atlas needs a folder of atlases; give --atlas DIR")
    _console.use_compilation_cache()
    from sirtjax.reports import segment_file_by_atlas

    with _console.progress("segment liver") as on_step:
        done = segment_file_by_atlas(
            arguments.image,
            atlas,
            files,
            preset=preset,
            fusion=fusion,
            min_atlases=min_atlases,
            min_similarity=min_similarity,
            modality=arguments.modality or "CT",
            atlas_modality=atlas_modality,
            atlas_values=atlas_label,
            series=arguments.series,
            force=arguments.force,
            on_step=on_step,
        )
    _print_atlas(done, as_json=arguments.as_json)


@app.command()
@with_records
def lesions(
    arguments: SegmentArguments,
    liver: Annotated[
        Path | None,
        typer.Option(
            help="Liver mask including lesions, which are searched for up to 6 mm beyond it.", show_default=False
        ),
    ] = None,
    liver_name: LiverName = None,
    min_volume_ml: Annotated[
        float | None,
        typer.Option(min=0, help="Smallest lesion to keep, mL (default: value of the model).", show_default=False),
    ] = None,
) -> None:
    """Segment liver lesions on CT or MR.

    Without --liver, the liver is segmented first, by the lesion model or by the model "liver".
    """
    files = arguments.files()
    _segment("lesions", arguments, files, liver=liver, liver_name=liver_name, min_volume_ml=min_volume_ml)


@app.command()
@with_records
def lungs(arguments: SegmentArguments) -> None:
    """Segment the lungs (CT: by HU; other images: with --model)."""
    _by_hu_or_network("lungs", arguments)


@app.command()
@with_records
def body(arguments: SegmentArguments) -> None:
    """Segment the body (CT: by HU; other images: with --model)."""
    _by_hu_or_network("body", arguments)


@app.command()
@with_records
def organs(arguments: SegmentArguments) -> None:
    """Segment liver, spleen, kidneys, stomach, heart, lungs, gallbladder and bowel on CT or MR (research)."""
    _segment("organs", arguments, arguments.files())


def _by_hu_or_network(structure: Structure, arguments: SegmentArguments) -> None:
    if arguments.model is None:
        if arguments.save_probabilities or arguments.device is not None or arguments.mirror:
            raise ConfigError(
                f"{structure} by HU have no probabilities, device or flips; add --model, or omit "
                "--save-probabilities, --device and --mirror"
            )
        if arguments.modality == "MR":
            raise ConfigError(f"{structure} are found by HU only on a CT; for an MR give --model")
    _segment(structure, arguments, arguments.files())


def _segment(
    structure: Segmented,
    arguments: SegmentArguments,
    files: SegmentationFiles,
    *,
    liver: Path | None = None,
    liver_name: str | None = None,
    min_volume_ml: float | None = None,
) -> None:
    _console.use_compilation_cache()
    from sirtjax.reports import segment_file

    with _console.progress(f"segment {structure}") as on_step:
        done = segment_file(
            arguments.image,
            structure,
            files,
            model=arguments.model,
            modality=arguments.modality,
            series=arguments.series,
            device=arguments.device,
            mirror=arguments.mirror,
            liver=liver,
            liver_name=liver_name,
            min_volume_ml=min_volume_ml,
            force=arguments.force,
            on_step=on_step,
            on_note=_console.note,
        )
    for flag in done.found.flags:
        _console.note(f"review it: {flag.message} [{flag.code}]")
    if arguments.as_json:
        _console.emit_json(done.to_json())
    else:
        _print(done)


def _segment_with(
    image: Path, diagnostic: DiagnosticArguments, arguments: SegmentArguments, files: SegmentationFiles
) -> None:
    _console.use_compilation_cache()
    from sirtjax.reports import DiagnosticFiles, segment_file_by_diagnostic

    with _console.progress("segment liver") as on_step:
        done = segment_file_by_diagnostic(
            arguments.image,
            DiagnosticFiles(
                image=image,
                liver=diagnostic.labels,
                liver_name=diagnostic.liver_name,
                series=diagnostic.diagnostic_series,
                modality=diagnostic.diagnostic_modality,
                preset=diagnostic.diagnostic_preset or "image",
            ),
            files,
            model=arguments.model,
            modality=arguments.modality,
            series=arguments.series,
            device=arguments.device,
            mirror=arguments.mirror,
            force=arguments.force,
            on_step=on_step,
        )
    for flag in done.segmented.found.flags:
        _console.note(f"review it: {flag.message} [{flag.code}]")
    if arguments.as_json:
        _console.emit_json(done.to_json())
    else:
        _print(done.segmented, rows=done.rows())
    _console.note(f"transform and record: {done.transform}, {done.result}")


def _print(done: SegmentedFile, *, rows: Sequence[list[str]] = ()) -> None:
    quality, timings = done.found.quality, done.timings_s
    volumes = done.found.volumes_ml.items() if done.structure == "organs" else ()
    rows = [*([name, f"{volume:.1f} mL"] for name, volume in volumes), ["found by", done.found.method], *rows]
    if quality is not None:
        rows.append(["estimated DSC", f"{quality.dsc:.2f} ({quality.low:.2f} to {quality.high:.2f})"])
    if done.found.removed_as_noise:
        rows.append(["removed as noise", f"{done.found.removed_as_noise} components"])
    rows += [[stage, f"{seconds:.2f} s"] for stage, seconds in timings.items()]
    rows.append(["in all", f"{sum(timings.values()):.2f} s"])
    _console.emit_table("automatic, not verified", [done.structure, f"{done.volume_ml:.1f} mL"], rows)
    _console.note(f"written to {done.files.labels}")


def _print_atlas(done: AtlasSegmentedFile, *, as_json: bool) -> None:
    found = done.found
    for one in found.atlases:
        if not one.used:
            _console.note(f"atlas {one.name} left out: {one.status}, {one.cause}")
    for line in found.notes:
        _console.note(f"note: {line}")
    if as_json:
        _console.emit_json(done.to_json())
        return
    rows = []
    for one in found.atlases:
        numbers = (one.similarity, one.weight, one.sensitivity, one.specificity, one.dsc)
        rows.append([one.name, one.status, *("" if n is None else f"{n:.3f}" for n in numbers), f"{one.seconds:.1f}"])
    columns = ["atlas", "status", "similarity", "weight", "sensitivity", "specificity", "DSC with result", "s"]
    pairs = done.pairwise_dsc
    agreement = f", atlases among themselves DSC {sum(pairs) / len(pairs):.3f}" if pairs else ""
    _console.emit_table(
        f"liver {found.volume_ml:.0f} mL by {found.fusion} fusion of {len(found.agreement_dsc)} atlases{agreement}",
        columns,
        rows,
    )
    _console.note(f"written to {done.files.labels}")
