"""`sirtjax models`: the segmentation models that are installed, and those a site brings along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sirtjax.cli import _console
from sirtjax.cli._options import AsJson
from sirtjax.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from sirtjax.preprocess import FixedPreprocessing, NnunetPreprocessing
    from sirtjax.segmentation import Model, ModelEntry

# Files in which models bring their licence along.
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "license.txt")
NO_LICENCE = "No licence text came with this model. Ask where it is from before using it."

app = typer.Typer(no_args_is_help=True, help="List, import and describe segmentation models; nothing is downloaded.")


@app.callback()
def _models() -> None:
    """List, import and describe segmentation models; nothing is downloaded."""


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """The models that are installed: those of the package, and those in the user's folder."""
    from sirtjax import segmentation

    installed = segmentation.models()
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
    name: Annotated[str, typer.Argument(help="Name of an installed model, or a model's folder.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """What a model is, where it is from, and the text of its licence."""
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
        str | None, typer.Argument(help="Name of an installed model; none for the folder of your own.")
    ] = None,
) -> None:
    """The folder of a model, or the one where your own are kept (SIRTJAX_MODELS names another)."""
    from sirtjax import segmentation

    print(segmentation.models_folder() if name is None else segmentation.find_model(name).path)


@app.command("import")
def import_model(
    source: Annotated[
        Path, typer.Argument(help="Folder that nnU-Net v2 trained, or weights of a MONAI UNet.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option(help="What to call it; by default after the data set.")] = None,
    task: Annotated[str | None, typer.Option(help="What it finds, such as liver or lesions; by its labels.")] = None,
    configuration: Annotated[
        str | None, typer.Option(help="Which, of several in a data set's folder: 3d_fullres, 3d_lowres ...")
    ] = None,
    fold: Annotated[list[str] | None, typer.Option(help="Fold to take, 0 to 4 or all; repeat. By default all.")] = None,
    checkpoint: Annotated[str, typer.Option(help="File in each fold's folder.")] = "checkpoint_final.pth",
    description: Annotated[
        Path | None, typer.Option(help="What MONAI weights are for (TOML), see docs/models.md.", show_default=False)
    ] = None,
    licence: Annotated[str, typer.Option(help="Short name of its licence, such as Apache-2.0.")] = "",
    licence_file: Annotated[
        Path | None, typer.Option(help="The licence's text; by default LICENSE in the folder.", show_default=False)
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store kernels in half precision: half the size.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a model of this name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a trained model into your models' folder, offline, without PyTorch; nothing in its files is executed.

    Then `sirtjax segment liver --model NAME` runs it. A cascade brings its first stage along, from beside it.
    """
    from sirtjax import segmentation

    text = _licence_text(source, licence_file)
    with _console.progress("import") as report:
        report("reading")
        if source.is_dir():
            if description is not None:
                raise ConfigError("--description is for MONAI weights; an nnU-Net's folder says itself what it is")
            model = segmentation.import_nnunet(
                source,
                configuration=configuration,
                folds=fold,
                checkpoint=checkpoint,
                name=name,
                task=task,
                licence=licence,
            )
        else:
            if description is None:
                raise ConfigError(f"{source}: MONAI weights don't say what they are for; give --description FILE.toml")
            model = segmentation.import_monai(source, description, name=name, task=task, licence=licence)
        report("writing")
        target = segmentation.models_folder() / model.spec.name
        segmentation.save_model(target, model, licence_text=text, storage="float16" if half else "float32", force=force)
    if not text.strip() or text == NO_LICENCE:
        _console.note(f"note: {NO_LICENCE}")
    if as_json:
        _console.emit_json(_entry_table(segmentation.find_model(model.spec.name)))
    else:
        _console.note(f"{_summary(model)}; written to {target}")
        print(model.spec.name)


def _licence_text(source: Path, file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: the licence's text cannot be read ({error})") from error
    folder = source if source.is_dir() else source.parent
    for place in (folder, folder.parent):
        for name in LICENCE_FILES:
            if (place / name).is_file():
                return (place / name).read_text(encoding="utf-8", errors="replace")
    return NO_LICENCE


def _summary(model: Model) -> str:
    networks = f"{len(model.folds)} network{'s' if len(model.folds) > 1 else ''}"
    stages = " after a first stage" if model.previous is not None else ""
    return f"{model.spec.name}: {networks}{stages}, task {model.spec.task}, labels {', '.join(model.spec.labels)}"


def _row(entry: ModelEntry) -> list[str]:
    place = "package" if entry.shipped else "yours"
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
    """What else is done to an image before, where anything is."""
    if how.kind != "fixed":
        return []
    mask = [] if how.mask is None else [("looks at", f"the {how.mask.organ} and {how.mask.margin_mm:g} mm around it")]
    return [*mask, *([("filter", "median of 3 x 3 x 3 voxels")] if how.median else [])]


def _entry_table(entry: ModelEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": str(entry.path),
        "shipped": entry.shipped,
        "problem": entry.problem or None,
        "sha256": entry.sha256 or None,
        "spec": None if entry.spec is None else entry.spec.model_dump(mode="json"),
    }
