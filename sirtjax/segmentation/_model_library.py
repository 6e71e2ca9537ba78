from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sirtjax.errors import ModelError
from sirtjax.io import read_description, user_data_folder
from sirtjax.segmentation._model import Model, ModelSpec, model_spec, read_model

# The file by which a model's folder is known.
DESCRIPTION = "checkpoint.json"
# Names the folder of a site's own models; without it they are kept where the system keeps a user's data.
VARIABLE = "SIRTJAX_MODELS"


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One installed model.

    Attributes:
      name: name for `load_model`.
      path: folder of the model.
      bundled: whether the model is bundled with the package.
      spec: description of the model; None if it cannot be read.
      problem: reason why the description cannot be read; empty for a sound model. Weights are not checked.
      licence_text: text of the licence.
      sha256: hash of the weights as they were saved.
    """

    name: str
    path: Path
    bundled: bool
    spec: ModelSpec | None
    problem: str = ""
    licence_text: str = ""
    sha256: str = ""


def models_folder() -> Path:
    """Returns the folder of the user's models.

    It is the folder named by SIRTJAX_MODELS, otherwise `sirtjax/models` in the user's data folder.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    return user_data_folder() / "sirtjax" / "models"


def list_models() -> tuple[ModelEntry, ...]:
    """Returns every installed model by name: first the user's, then the bundled ones.

    A model of the user takes precedence over a bundled one of the same name. Damaged ones are listed with the problem.
    """
    bundled = Path(str(resources.files("sirtjax"))) / "models"
    found: dict[str, ModelEntry] = {}
    for folder, is_bundled in ((models_folder(), False), (bundled, True)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_dir() and not path.name.startswith((".", "_")) and path.name not in found:
                found[path.name] = _entry(path, bundled=is_bundled)
    return tuple(found[name] for name in sorted(found))


def find_model(name_or_path: Path | str) -> ModelEntry:
    """Returns the model with this name, or the model in this folder, without checking its weights.

    A word without a slash is a name first: a folder of images called "liver" is not in the way of the model "liver".

    Raises:
      ModelError: there is no model of this name; the message lists the names.
    """
    path = Path(name_or_path)
    named = isinstance(name_or_path, str) and path.name == name_or_path
    if not named or (path / DESCRIPTION).is_file():
        if not path.is_dir():
            raise ModelError(f"{path}: no model folder found; use a model folder or the name of an installed model")
        return _entry(path, bundled=False)
    installed = list_models()
    for entry in installed:
        if entry.name == path.name:
            return entry
    names = ", ".join(entry.name for entry in installed) or "none"
    raise ModelError(
        f"no model is named {path.name!r}; installed: {names}. sirtjax models import adds one, or use a model's folder"
    )


def load_model(name_or_path: Path | str) -> Model:
    """Returns a model by its name or its folder (see `find_model`), with verified weights.

    Raises:
      ModelError: no such model, or a damaged one.
    """
    return read_model(find_model(name_or_path).path)


def _entry(path: Path, *, bundled: bool) -> ModelEntry:
    try:
        described = read_description(path)
        spec = model_spec(described["table"], path=path)
    except ModelError as error:
        return ModelEntry(name=path.name, path=path, bundled=bundled, spec=None, problem=str(error))
    return ModelEntry(
        name=path.name,
        path=path,
        bundled=bundled,
        spec=spec,
        licence_text=described["licence"],
        sha256=described["sha256"],
    )
