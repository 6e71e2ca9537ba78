"""The command `sirtjax models`: lists, describes and imports segmentation models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson
from sirtjax.errors import ModelError

if TYPE_CHECKING:
    from sirtjax.preprocess import FixedPreprocessing, NnunetPreprocessing
    from sirtjax.segmentation import Model, ModelEntry

app = typer.Typer(no_args_is_help=True, help="List, inspect and import segmentation models.")


@app.callback()
def _models() -> None:
    """List, inspect and import segmentation models."""


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List bundled and user models."""
    from sirtjax import segmentation

    installed = segmentation.list_models()
    if as_json:
        _console.emit_json([_entry_table(entry) for entry in installed])
        return
    rows = [_row(entry) for entry in installed]
    _console.emit_table(
        f"models; your own are in {segmentation.models_folder()}",
        ["name", "task", "modality", "labels", "networks", "licence", "from"],
        rows,
    )
    for entry in installed:
        if entry.problem:
            _console.note(f"{entry.name} can't be used: {entry.problem}")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of an installed model, or its folder.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a model's description, source and licence."""
    from sirtjax import segmentation

    entry = segmentation.find_model(name)
    if entry.spec is None:
        raise ModelError(entry.problem)
    if as_json:
        _console.emit_json(_entry_table(entry) | {"licence_text": entry.licence_text})
        return
    _console.emit_table(name, ["what", "value"], [[what, str(value)] for what, value in _facts(entry)])
    _console.emit_text(entry.licence_text)


@app.command()
def path(
    name: Annotated[
        str | None, typer.Argument(help="Name of an installed model (default: folder of the user models).")
    ] = None,
) -> None:
    """Print the folder of a model or of the user models.

    SIRTJAX_MODELS sets another folder of user models.
    """
    from sirtjax import segmentation

    print(segmentation.models_folder() if name is None else segmentation.find_model(name).path)


@app.command("import")
def import_model(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of a trained nnU-Net v2, or weights of a MONAI UNet, SegResNet or DynUNet.", show_default=False
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the model (default: name of the data set).")] = None,
    task: Annotated[
        str | None, typer.Option(help="Structure it segments, e.g. liver or lesions (default: from its labels).")
    ] = None,
    configuration: Annotated[
        str | None, typer.Option(help="nnU-Net configuration, e.g. 3d_fullres, if the folder has several.")
    ] = None,
    fold: Annotated[
        list[str] | None, typer.Option(help="Fold to import, 0 to 4 or all; repeatable (default: all).")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="Checkpoint file in the folder of each fold.")
    ] = "checkpoint_final.pth",
    description: Annotated[
        Path | None, typer.Option(help="Description of MONAI weights (TOML), see docs/models.md.", show_default=False)
    ] = None,
    licence: Annotated[str, typer.Option(help="Short name of the licence, e.g. Apache-2.0.")] = "",
    licence_file: Annotated[
        Path | None,
        typer.Option(help="File with the text of the licence (default: LICENSE in the folder).", show_default=False),
    ] = None,
    float16: Annotated[
        bool, typer.Option("--float16", help="Store convolution kernels in float16, at half the size.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing model of this name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a trained nnU-Net v2, or a MONAI UNet, SegResNet or DynUNet (offline, without PyTorch).

    Nothing in its files is executed. `sirtjax segment liver --model NAME` runs it. The first stage of a cascade is
    imported from the folder next to it.
    """
    from sirtjax import segmentation

    with _console.progress("import") as on_step:
        model, target, has_licence = segmentation.import_model(
            source,
            name=name,
            task=task,
            configuration=configuration,
            folds=fold,
            checkpoint=checkpoint,
            description=description,
            licence=licence,
            licence_file=licence_file,
            float16=float16,
            force=force,
            on_step=on_step,
        )
    if not has_licence:
        _console.note(f"note: {segmentation.NO_LICENCE}")
    if as_json:
        _console.emit_json(_entry_table(segmentation.find_model(model.spec.name)))
    else:
        _console.note(f"{_summary(model)}; written to {target}")
        print(model.spec.name)


def _summary(model: Model) -> str:
    networks = f"{len(model.folds)} network{'s' if len(model.folds) > 1 else ''}"
    stages = " after a first stage" if model.previous is not None else ""
    return f"{model.spec.name}: {networks}{stages}, task {model.spec.task}, labels {', '.join(model.spec.labels)}"


def _row(entry: ModelEntry) -> list[str]:
    place = "package" if entry.bundled else "yours"
    if entry.spec is None:
        return [entry.name, "unusable", "", "", "", "", place]
    spec = entry.spec
    labels = list(spec.labels)
    shown = ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")
    return [
        entry.name,
        spec.task,
        ", ".join(spec.modalities) or "not stated",
        shown,
        spec.network.architecture,
        spec.licence or "not stated",
        place,
    ]


def _facts(entry: ModelEntry) -> list[tuple[str, Any]]:
    spec = entry.spec
    if spec is None:
        return []
    return [
        ("task", spec.task),
        ("images", ", ".join(spec.channels)),
        ("modality", ", ".join(spec.modalities) or "not stated"),
        ("labels", ", ".join(f"{value} {label}" for label, value in spec.labels.items())),
        ("network", spec.network.architecture),
        ("spacing", " x ".join(f"{mm:g}" for mm in spec.preprocessing.spacing_mm) + " mm"),
        *_prepared(spec.preprocessing),
        ("tile", " x ".join(map(str, spec.tiles.shape))),
        ("flips", ", ".join(map(str, spec.mirror_axes)) or "none"),
        ("first stage", "none" if spec.previous is None else spec.previous.name),
        ("source", spec.source or "not stated"),
        ("licence", spec.licence or "not stated"),
        ("SHA-256", entry.sha256),
        ("folder", entry.path),
    ]


def _prepared(how: FixedPreprocessing | NnunetPreprocessing) -> list[tuple[str, Any]]:
    """Further preprocessing of an image, if there is any."""
    if how.kind != "fixed":
        return []
    mask = [] if how.mask is None else [("looks at", f"the {how.mask.organ} and {how.mask.margin_mm:g} mm around it")]
    return [*mask, *([("filter", "median of 3 x 3 x 3 voxels")] if how.median else [])]


def _entry_table(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": str(entry.path),
        "bundled": entry.bundled,
        "problem": entry.problem or None,
        "sha256": entry.sha256 or None,
        "spec": None if entry.spec is None else entry.spec.model_dump(mode="json"),
    }
