"""Registration networks with their weights: description, folder, and the ones that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import jax
from pydantic import Field, ValidationError

from sirtjax import networks
from sirtjax.config import Table
from sirtjax.errors import ConfigError, ModelError
from sirtjax.io import MODEL_NAME, Storage, load_checkpoint, save_checkpoint
from sirtjax.networks import CascadeConfig, Variables
from sirtjax.preprocess import FixedPreprocessing, IntensityScale
from sirtjax.volume import Volume

Count = Annotated[int, Field(ge=8, le=256)]


class RegistrationModelSpec(Table):
    """Everything about a registration network except its weights.

    Attributes:
      name: name of the model.
      network: the cascades of networks.
      preprocessing: voxel size and intensities of both images.
      shape: number of voxels of the grid on which both images are compared.
      source: source of the model.
      licence: short name of the licence.
    """

    name: Annotated[str, Field(pattern=MODEL_NAME)]
    network: CascadeConfig
    preprocessing: FixedPreprocessing
    shape: tuple[Count, Count, Count]
    source: str = ""
    licence: str = ""

    def scale_of(self, volume: Volume) -> IntensityScale:
        """Returns how the network scales an image.

        Args:
          volume: image, CT in HU or MR.

        Raises:
          ConfigError: the network does not compare images of this kind.
        """
        scale = self.preprocessing.scale_of("CT" if volume.unit == "HU" else "MR")
        if scale is None or volume.unit not in ("HU", "1"):
            known = " and ".join(one.modality for one in self.preprocessing.intensities)
            raise ConfigError(
                f"the network {self.name} compares {known} images, this one has the unit {volume.unit}; "
                "choose another preset"
            )
        return scale


@dataclass(frozen=True, kw_only=True)
class RegistrationModel:
    """A registration network that is ready to run.

    Attributes:
      spec: description of the model.
      variables: variables of all cascades.
    """

    spec: RegistrationModelSpec
    variables: Variables


def save_registration_model(
    path: Path | str,
    model: RegistrationModel,
    *,
    licence_text: str = "",
    storage: Storage = "float32",
    force: bool = False,
) -> None:
    """Writes a registration network as a checkpoint folder, atomically.

    Args:
      path: folder to create.
      model: model to write.
      licence_text: text of the licence, printed on request.
      storage: "float16" halves the size and rounds kernels to 11 bits.
      force: replace an existing model.

    Raises:
      ModelError: the weights contain values other than finite numbers.
      OutputError: the folder exists and `force` is not given, or cannot be written.

    Examples:
      >>> from tempfile import TemporaryDirectory
      >>> from sirtjax import registration_networks
      >>> model = registration_networks.load_registration_model("velocity")
      >>> with TemporaryDirectory() as folder:
      ...     registration_networks.save_registration_model(f"{folder}/mine", model)
      ...     registration_networks.load_registration_model(f"{folder}/mine").spec.name
      'velocity'
    """
    table = {"registration": model.spec.model_dump(mode="json")}
    save_checkpoint(path, model.variables, table, licence=licence_text, storage=storage, force=force)


def load_registration_model(name_or_path: Path | str) -> RegistrationModel:
    """Returns a registration network with verified weights.

    Args:
      name_or_path: name of a model that came with the package, or the folder of a model.

    Raises:
      ModelError: there is no such model, it is damaged, or it is not a registration network.

    Examples:
      >>> from sirtjax import registration_networks
      >>> model = registration_networks.load_registration_model("velocity")
      >>> model.spec.preprocessing.spacing_mm, model.spec.shape
      ((5.0, 5.0, 5.0), (80, 64, 64))
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in list_registration_models():
        path = _bundled() / name_or_path
    elif not path.is_dir():
        names = ", ".join(list_registration_models()) or "none"
        raise ModelError(
            f"{name_or_path}: no registration network found; give the folder of one, or one of the names: {names}"
        )
    description = path / "checkpoint.json"
    # Without it, reading the folder raises the error that explains what is missing.
    return _read(path.resolve(), description.stat().st_mtime_ns if description.is_file() else 0)


def list_registration_models() -> tuple[str, ...]:
    """Returns the names of the registration networks that came with the package.

    Examples:
      >>> from sirtjax import registration_networks
      >>> registration_networks.list_registration_models()
      ('velocity',)
    """
    folder = _bundled()
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()


def _bundled() -> Path:
    # Segmentation models are listed by the folders next to it; the underscore sets this one apart.
    return Path(str(resources.files("sirtjax"))) / "models" / "_registration"


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> RegistrationModel:
    """Reads a model once per state of its folder."""
    weights, table = load_checkpoint(path)
    spec = _spec(table, path)
    expected = jax.eval_shape(lambda: networks.initialise_cascades(spec.network, seed=0))
    shapes = [{jax.tree_util.keystr(key): leaf.shape for key, leaf in _leaves(tree)} for tree in (expected, weights)]
    if shapes[0] != shapes[1]:
        odd = sorted(key for key in shapes[0] | shapes[1] if shapes[0].get(key) != shapes[1].get(key))
        raise ModelError(f"{path}: its weights do not belong to its network ({odd[0]}); export the model again")
    return RegistrationModel(spec=spec, variables=weights)


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _spec(table: Mapping[str, object], path: Path) -> RegistrationModelSpec:
    if "registration" not in table:
        raise ModelError(f"{path}: is a model, but not a registration network; choose another model")
    try:
        return RegistrationModelSpec.model_validate(table["registration"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: its description is not usable: {where}: {first['msg']}; export it again") from error
