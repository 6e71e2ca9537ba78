"""`sirtjax segment`: organs from images, one verb an organ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sirtjax.cli._segment_atlas import AtlasOptions, Fusion, Modality, Preset, liver_by_atlas
from sirtjax.cli._segment_structure import Options, segment_structure
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.segmentation import Structure

Method = Literal["network", "atlas"]
Device = Literal["cpu", "gpu", "tpu"]
ATLASES = "By atlases (--method atlas)"

app = typer.Typer(no_args_is_help=True, help="Segment an organ of an image.")

Image = Annotated[Path, typer.Argument(help="CT or MR: NIfTI file, DICOM file or folder.", show_default=False)]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Label map to write (.nii, .nii.gz or .seg.nrrd).", show_default=False)
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Installed model (sirtjax models list) or a model's folder.", show_default=False),
]
ImageModality = Annotated[
    Modality | None, typer.Option(help="What the image is, where a NIfTI file doesn't say.", show_default=False)
]
DeviceName = Annotated[Device | None, typer.Option("--device", help="Where the network runs.", show_default=False)]
Mirror = Annotated[bool, typer.Option("--mirror", help="Average over flips: better by little, slower by much.")]
Series = Annotated[str | None, typer.Option(help="Series of a DICOM folder: UID or description.", show_default=False)]
SaveProbabilities = Annotated[
    bool,
    typer.Option("--save-probabilities", help="Also write OUTPUT_probability and OUTPUT_uncertainty (entropy, nats)."),
]
Preview = Annotated[Path | None, typer.Option(help="Picture of three planes with contours (.png).", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")]


@app.callback()
def _organs() -> None:
    """Segment an organ of an image."""


@app.command()
def liver(
    image: Image,
    output: Output,
    method: Annotated[Method, typer.Option(help="By a network, or by registered atlases.")] = "network",
    model: ModelName = None,
    modality: ImageModality = None,
    device: DeviceName = None,
    mirror: Mirror = False,
    series: Series = None,
    save_probabilities: SaveProbabilities = False,
    preview: Preview = None,
    atlas: Annotated[
        Path | None,
        typer.Option(help="Folder of atlases, see docs/atlas.md.", show_default=False, rich_help_panel=ATLASES),
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="Registration preset; both take no masks.", rich_help_panel=ATLASES)
    ] = "image",
    fusion: Annotated[
        Fusion, typer.Option(help="How the livers of the atlases are fused.", rich_help_panel=ATLASES)
    ] = "weighted",
    min_atlases: Annotated[
        int, typer.Option(min=1, help="Fail where fewer are usable; STAPLE needs 3.", rich_help_panel=ATLASES)
    ] = 1,
    min_likeness: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Leave out atlases whose images resemble less at the liver's surface.",
            rich_help_panel=ATLASES,
        ),
    ] = 0.25,
    atlas_modality: Annotated[
        Modality, typer.Option(help="What the images of the atlases are.", rich_help_panel=ATLASES)
    ] = "CT",
    atlas_label: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Value of the liver in the atlases' label maps; repeat.",
            show_default=False,
            rich_help_panel=ATLASES,
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """The liver of a CT or MR, its lesions included.

    By a network: the model "liver" unless --model names another; the result is on the grid of the image, and what
    speaks against using it unseen is told. By atlases: each image of the folder is registered to the patient's, its
    liver carried along, and the livers are fused.
    """
    from sirtjax.segmentation import segmentation_files

    files = segmentation_files(output, save_probabilities=save_probabilities, preview=preview, force=force)
    if method == "atlas":
        if model is not None or device is not None or mirror:
            raise ConfigError("--model, --device and --mirror are for --method network; leave them out")
        how = AtlasOptions(
            atlas=atlas,
            preset=preset,
            fusion=fusion,
            min_atlases=min_atlases,
            min_likeness=min_likeness,
            modality=modality or "CT",
            atlas_modality=atlas_modality,
            atlas_label=atlas_label,
        )
        liver_by_atlas(image, files, how, series=series, force=force, as_json=as_json)
        return
    if atlas is not None:
        raise ConfigError("--atlas is for --method atlas; give that, or leave it out")
    options = _options(model, modality, series, device, mirror, force, as_json)
    segment_structure(image, "liver", files, options)


@app.command()
def lesions(
    image: Image,
    output: Output,
    liver: Annotated[
        Path | None,
        typer.Option(help="Liver mask, lesions included: they stay within 6 mm of it.", show_default=False),
    ] = None,
    liver_name: Annotated[
        str | None, typer.Option(help="Which mask of that file is the liver.", show_default=False)
    ] = None,
    minimum_ml: Annotated[
        float | None,
        typer.Option(min=0, help="Drop lesions smaller than this, mL; by default as the model.", show_default=False),
    ] = None,
    model: ModelName = None,
    modality: ImageModality = None,
    device: DeviceName = None,
    mirror: Mirror = False,
    series: Series = None,
    save_probabilities: SaveProbabilities = False,
    preview: Preview = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """The lesions in the liver of a CT or MR, by a network.

    The model "lesions" unless --model names another. Without --liver the liver is found first, by the lesion model or
    by the model "liver"; that is a draft, and is told.
    """
    from sirtjax.segmentation import segmentation_files

    files = segmentation_files(output, save_probabilities=save_probabilities, preview=preview, force=force)
    options = _options(
        model,
        modality,
        series,
        device,
        mirror,
        force,
        as_json,
        liver=liver,
        liver_name=liver_name,
        minimum_ml=minimum_ml,
    )
    segment_structure(image, "lesions", files, options)


@app.command()
def lungs(
    image: Image,
    output: Output,
    model: ModelName = None,
    modality: ImageModality = None,
    device: DeviceName = None,
    mirror: Mirror = False,
    series: Series = None,
    save_probabilities: SaveProbabilities = False,
    preview: Preview = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """The lungs of a CT by their HU; of other images by the network that --model names."""
    _by_hu_or_network(
        "lungs", image, output, model, modality, device, mirror, series, save_probabilities, preview, force, as_json
    )


@app.command()
def body(
    image: Image,
    output: Output,
    model: ModelName = None,
    modality: ImageModality = None,
    device: DeviceName = None,
    mirror: Mirror = False,
    series: Series = None,
    save_probabilities: SaveProbabilities = False,
    preview: Preview = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """The body of a CT by its HU, lungs and all else inside included; of other images by the network of --model."""
    _by_hu_or_network(
        "body", image, output, model, modality, device, mirror, series, save_probabilities, preview, force, as_json
    )


def _by_hu_or_network(
    structure: Structure,
    image: Path,
    output: Path,
    model: str | None,
    modality: Modality | None,
    device: Device | None,
    mirror: bool,
    series: str | None,
    save_probabilities: bool,
    preview: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    if model is None and (save_probabilities or device is not None or mirror):
        raise ConfigError(
            f"{structure} by HU have no probabilities, device or flips; give --model, or leave out "
            "--save-probabilities, --device and --mirror"
        )
    if model is None and modality == "MR":
        raise ConfigError(f"{structure} are found by HU on a CT alone; for an MR give --model")
    from sirtjax.segmentation import segmentation_files

    files = segmentation_files(output, save_probabilities=save_probabilities, preview=preview, force=force)
    segment_structure(image, structure, files, _options(model, modality, series, device, mirror, force, as_json))


def _options(
    model: str | None,
    modality: Modality | None,
    series: str | None,
    device: Device | None,
    mirror: bool,
    force: bool,
    as_json: bool,
    *,
    liver: Path | None = None,
    liver_name: str | None = None,
    minimum_ml: float | None = None,
) -> Options:
    return Options(
        model=model,
        modality=modality,
        series=series,
        device=device,
        mirror=mirror,
        force=force,
        as_json=as_json,
        liver=liver,
        liver_name=liver_name,
        minimum_ml=minimum_ml,
    )
