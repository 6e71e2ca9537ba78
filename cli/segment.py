"""`sirtjax segment`: organs from images, one verb an organ."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sirtjax.cli import _console
from sirtjax.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from sirtjax.segmentation import AtlasSegmentation

Method = Literal["atlas"]
Fusion = Literal["majority", "weighted", "staple"]
Preset = Literal["image", "descriptor"]
Modality = Literal["CT", "MR"]

app = typer.Typer(no_args_is_help=True, help="Segment an organ of an image.")


@app.callback()
def _organs() -> None:
    """Segment an organ of an image."""


@app.command()
def liver(
    image: Annotated[Path, typer.Argument(help="CT or MR: NIfTI file, DICOM file or folder.", show_default=False)],
    method: Annotated[Method, typer.Option(help="How: by registered atlases.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Label map to write (.nii or .nii.gz).", show_default=False)
    ],
    atlas: Annotated[
        Path | None, typer.Option(help="Folder of atlases, see docs/atlas.md.", show_default=False)
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Registration preset; both take no masks.")] = "image",
    fusion: Annotated[Fusion, typer.Option(help="How the livers of the atlases are fused.")] = "weighted",
    min_atlases: Annotated[int, typer.Option(min=1, help="Fail where fewer are usable; STAPLE needs 3.")] = 1,
    min_likeness: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out atlases whose images resemble less at the liver's surface.")
    ] = 0.25,
    modality: Annotated[Modality, typer.Option(help="What the image is.")] = "CT",
    atlas_modality: Annotated[Modality, typer.Option(help="What the images of the atlases are.")] = "CT",
    atlas_label: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Value of the liver in the atlases' label maps; repeat.", show_default=False),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Series of a DICOM folder: UID or description.", show_default=False)
    ] = None,
    save_probabilities: Annotated[
        bool, typer.Option("--save-probabilities", help="Also write the fused probability, OUTPUT_probability.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """The liver of a CT or MR.

    By atlases: each image of the folder is registered to the patient's, its liver carried along, and the livers
    are fused; the largest part is written on the grid of the patient's image.
    """
    if atlas is None:
        raise ConfigError(f"--method {method} needs a folder of atlases; give --atlas DIR")
    likely = _probability_path(output) if save_probabilities else None
    for path in (output, likely):
        _check_output(path, force=force)
    _console.use_compilation_cache()
    from sirtjax import io, registration, segmentation, spatial

    files = segmentation.list_atlases(atlas, values=atlas_label)
    if fusion == "staple" and len(files) < segmentation.STAPLE_LEAST:
        raise ConfigError(
            f"{atlas}: {len(files)} atlases, but STAPLE needs {segmentation.STAPLE_LEAST}; choose another --fusion"
        )
    config = registration.load_preset(preset)
    with _console.progress("segment liver") as report:
        report("reading")
        patient = io.read_image(image, series=series, modality=modality).volume
        found = segmentation.segment_liver_by_atlas(
            patient,
            (segmentation.read_atlas(one, modality=atlas_modality) for one in files),
            config=config,
            register=registration.register,
            fusion=fusion,
            min_atlases=min_atlases,
            min_likeness=min_likeness,
            report=report,
        )
        report("writing")
        if likely is not None:
            io.write_nifti(likely, spatial.resample(found.probability, patient.geometry, fill=0.0), force=force)
        io.write_nifti(output, found.liver, force=force)
    for one in found.atlases:
        if not one.used:
            _console.note(f"atlas {one.name} left out: {one.status}, {one.cause}")
    for line in found.notes:
        _console.note(f"note: {line}")
    if as_json:
        _console.emit_json(_as_json(found, method=method, preset=preset, output=output, likely=likely))
    else:
        _print(found, output)


def _probability_path(output: Path) -> Path:
    for suffix in (".nii.gz", ".nii"):
        if output.name.lower().endswith(suffix):
            stem = output.name[: -len(suffix)]
            return output.with_name(f"{stem}_probability{output.name[-len(suffix) :]}")
    return output.with_name(f"{output.name}_probability")


def _check_output(path: Path | None, *, force: bool) -> None:
    """Refuse before the minutes of work what can't be written after them."""
    if path is None:
        return
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise OutputError(f"{path}: expected a name that ends in .nii or .nii.gz")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; choose another name or give --force")


def _as_json(
    found: AtlasSegmentation, *, method: str, preset: str, output: Path, likely: Path | None
) -> dict[str, Any]:
    pairs = _pairs(found)
    return {
        "method": method,
        "preset": preset,
        "fusion": found.fusion,
        "volume_ml": found.volume_ml,
        "threshold": found.threshold,
        "agreement": {
            "dsc_mean": sum(pairs) / len(pairs) if pairs else None,
            "dsc_min": min(pairs) if pairs else None,
        },
        "atlases": [asdict(one) for one in found.atlases],
        "notes": list(found.notes),
        "seconds": found.seconds,
        "output": str(output),
        "probability": None if likely is None else str(likely),
    }


def _pairs(found: AtlasSegmentation) -> list[float]:
    """DSC of each atlas used with each other one."""
    count = len(found.agreement_dsc)
    return [float(found.agreement_dsc[a, b]) for a in range(count) for b in range(a)]


def _print(found: AtlasSegmentation, output: Path) -> None:
    rows = []
    for one in found.atlases:
        numbers = (one.likeness, one.weight, one.sensitivity, one.specificity, one.dsc)
        rows.append([one.name, one.status, *("" if n is None else f"{n:.3f}" for n in numbers), f"{one.seconds:.1f}"])
    columns = ["atlas", "status", "likeness", "weight", "sensitivity", "specificity", "DSC with result", "s"]
    pairs = _pairs(found)
    agreement = f", atlases among themselves DSC {sum(pairs) / len(pairs):.3f}" if pairs else ""
    _console.emit_table(
        f"liver {found.volume_ml:.0f} mL by {found.fusion} fusion of {len(found.agreement_dsc)} atlases{agreement}",
        columns,
        rows,
    )
    _console.note(f"written to {output}")
