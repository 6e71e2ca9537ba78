"""Importing a trained model of another framework into the folder of the user models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sirtjax.errors import ConfigError
from sirtjax.segmentation._import_monai import import_monai
from sirtjax.segmentation._import_nnunet import CHECKPOINT, import_nnunet
from sirtjax.segmentation._model import Model, save_model
from sirtjax.segmentation._model_library import models_folder

# Files in which models have their licence.
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "license.txt")
NO_LICENCE = "No licence text came with this model. Check its origin before you use it."


def import_model(
    source: Path,
    *,
    name: str | None = None,
    task: str | None = None,
    configuration: str | None = None,
    folds: Sequence[str] | None = None,
    checkpoint: str = CHECKPOINT,
    description: Path | None = None,
    licence: str = "",
    licence_file: Path | None = None,
    float16: bool = False,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[Model, Path, bool]:
    """Imports a trained nnU-Net v2 or a network of MONAI; nothing in its files is executed.

    Args:
      source: folder of a trained nnU-Net, or weights of a MONAI UNet, SegResNet, SegResNetDS or DynUNet.
      name: name of the model; None for the name of the data set.
      task: structure that the model segments; None to derive it from the labels.
      configuration: configuration of an nnU-Net, such as "3d_fullres", if the folder has several.
      folds: folds to import, "0" to "4" or "all"; None for all.
      checkpoint: name of the file in the folder of each fold.
      description: TOML file that describes MONAI weights, see docs/models.md.
      licence: short name of the licence.
      licence_file: text of the licence; None to search for it in the folder.
      float16: store convolution kernels in float16.
      force: overwrite a model of this name.
      on_step: called with the name of each step.

    Returns:
      The model, its folder, and whether a licence text was found.

    Raises:
      ConfigError: a description is missing or not allowed, or the licence cannot be read.
      ModelError: the files are not a supported model.
    """
    text = _licence_text(source, licence_file)
    on_step("reading")
    if source.is_dir():
        if description is not None:
            raise ConfigError(
                "--description is for MONAI weights; the folder of an nnU-Net contains its own description"
            )
        model = import_nnunet(
            source,
            configuration=configuration,
            folds=folds,
            checkpoint=checkpoint,
            name=name,
            task=task,
            licence=licence,
        )
    else:
        if description is None:
            raise ConfigError(f"{source}: MONAI weights have no description; add --description FILE.toml")
        model = import_monai(source, description, name=name, task=task, licence=licence)
    on_step("writing")
    target = models_folder() / model.spec.name
    save_model(target, model, licence_text=text, storage="float16" if float16 else "float32", force=force)
    return model, target, bool(text.strip()) and text != NO_LICENCE


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
